// Head `later-stages`: for every later stage one patch merging and one Swin block, then as
// `linear`; a small copy of the rest of the network (AugLocal, Ma et al., arXiv 2402.17318).
// [B, H, W, C] -> [B, classes].
// Parameters `stages.{i}.merging.*`, `stages.{i}.block.*`, `norm.*`, `fc.*`.
#pragma once

#include "local/auxiliary_units.h"
#include "local/linear_head.h"

namespace localformer {

class LaterStagesHead : public Head {
 public:
  LaterStagesHead(const AuxiliarySite& site, at::Generator& generator);
  at::Tensor Forward(const at::Tensor& features, const ForwardContext& context) const override;
  ParameterList Parameters() const override;
  void MoveBuffers(c10::Device device) override { stages_.MoveBuffers(device); }

 private:
  AuxiliaryUnits stages_;  // Empty in the last stage.
  LinearHead linear_;
};

}  // namespace localformer
