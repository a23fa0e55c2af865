// See units_head.h.
#include "local/units_head.h"

#include <utility>

namespace localformer {

UnitsHead::UnitsHead(AuxiliaryUnits units, int64_t classes, at::Generator& generator)
    : units_(std::move(units)), linear_(units_.output().channels, classes, generator) {}

at::Tensor UnitsHead::Forward(const at::Tensor& features, const ForwardContext& context) const {
  return linear_.ForwardWhole(units_.Forward(features, context), context);
}

ParameterList UnitsHead::Parameters() const {
  ParameterList list = units_.Parameters();
  for (auto& parameter : linear_.Parameters()) list.push_back(std::move(parameter));
  return list;
}

}  // namespace localformer
