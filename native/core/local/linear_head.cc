// See linear_head.h.
#include "local/linear_head.h"

#include <ATen/ATen.h>

#include "kernels/cpu.h"
#include "local/pooled_norm.h"

namespace localformer {

LinearHead::LinearHead(const HeadOptions&, const AuxiliarySite& site, at::Generator& generator)
    : LinearHead(site.output.channels, site.classes, generator) {}

LinearHead::LinearHead(int64_t channels, int64_t classes, at::Generator& generator)
    : norm_(LayerNorm::Create(channels)), fc_(Linear::Create(channels, classes, true, generator)) {}

at::Tensor LinearHead::Forward(const at::Tensor& features, const ForwardContext& context) const {
  if (HasVectorKernels(features.device(), at::kFloat)) return ForwardWhole(features, context);
  const at::Tensor pooled = PooledNorm(features, norm_, context);
  return fc_.Forward(pooled, context.compute_type).to(at::kFloat);
}

at::Tensor LinearHead::ForwardWhole(const at::Tensor& features,
                                    const ForwardContext& context) const {
  // A mean by way of its sum: the gradient is divided before it is as large as the map.
  const auto tokens = static_cast<double>(features.size(1) * features.size(2));
  const at::Tensor pooled = norm_.Forward(features).sum({1, 2}).div(tokens);
  return fc_.Forward(pooled, context.compute_type).to(at::kFloat);
}

ParameterList LinearHead::Parameters() const {
  ParameterList list;
  norm_.Collect("norm", &list);
  fc_.Collect("fc", &list);
  return list;
}

}  // namespace localformer
