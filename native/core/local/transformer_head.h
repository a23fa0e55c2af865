// Head `transformer`: Swin blocks on the output grid, then as `linear`.
// [B, H, W, C] -> [B, classes]. Parameters `blocks.{i}.*`, `norm.*`, `fc.*`.
#pragma once

#include "local/auxiliary_units.h"
#include "local/linear_head.h"

namespace localformer {

class TransformerHead : public Head {
 public:
  TransformerHead(const AuxiliarySite& site, int64_t depth, at::Generator& generator);
  at::Tensor Forward(const at::Tensor& features, const ForwardContext& context) const override;
  ParameterList Parameters() const override;
  void MoveBuffers(c10::Device device) override { blocks_.MoveBuffers(device); }

 private:
  AuxiliaryUnits blocks_;
  LinearHead linear_;
};

}  // namespace localformer
