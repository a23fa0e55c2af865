// See head.h.
#include "local/head.h"

#include <ATen/ATen.h>

namespace localformer {

LinearHead::LinearHead(const FeatureShape& input, int64_t classes, at::Generator& generator)
    : norm_(LayerNorm::Create(input.channels)),
      fc_(Linear::Create(input.channels, classes, true, generator)) {}

at::Tensor LinearHead::Forward(const at::Tensor& features) const {
  return fc_.Forward(norm_.Forward(features).mean({1, 2}));
}

ParameterList LinearHead::Parameters() const {
  ParameterList list;
  norm_.Collect("norm", &list);
  fc_.Collect("fc", &list);
  return list;
}

}  // namespace localformer
