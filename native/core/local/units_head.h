// A head that runs units of its own and then as `linear`: what `transformer` and `later-stages`
// share. [B, H, W, C] -> [B, classes]. Parameters of the units, then `norm.*`, `fc.*`.
#pragma once

#include "local/auxiliary_units.h"
#include "local/linear_head.h"

namespace localformer {

class UnitsHead : public Head {
 public:
  UnitsHead(AuxiliaryUnits units, int64_t classes, at::Generator& generator);
  at::Tensor Forward(const at::Tensor& features, const ForwardContext& context) const override;
  ParameterList Parameters() const override;
  void MoveBuffers(c10::Device device) override { units_.MoveBuffers(device); }
  bool is_heavy() const override { return true; }

 private:
  AuxiliaryUnits units_;  // May be empty.
  LinearHead linear_;
};

}  // namespace localformer
