// See mlp_head.h.
#include "local/mlp_head.h"

#include <ATen/ATen.h>

#include "fields.h"
#include "kernels/cpu.h"
#include "local/pooled_norm.h"

namespace localformer {

MlpHead::MlpHead(const HeadOptions& options, const AuxiliarySite& site, at::Generator& generator)
    : MlpHead(site.output.channels,
              AtLeast(1, options.hidden.value_or(site.output.channels), "headHidden"), site.classes,
              generator) {}

MlpHead::MlpHead(int64_t channels, int64_t hidden, int64_t classes, at::Generator& generator)
    : norm_(LayerNorm::Create(channels)),
      hidden_(Linear::Create(channels, hidden, true, generator)),
      fc_(Linear::Create(hidden, classes, true, generator)) {}

at::Tensor MlpHead::Forward(const at::Tensor& features, const ForwardContext& context) const {
  const at::Tensor pooled = HasVectorKernels(features.device(), at::kFloat)
                                ? norm_.Forward(features).mean({1, 2})
                                : PooledNorm(features, norm_, context);
  const at::Tensor hidden = at::gelu(hidden_.Forward(pooled, context.compute_type));
  return fc_.Forward(hidden, context.compute_type).to(at::kFloat);
}

ParameterList MlpHead::Parameters() const {
  ParameterList list;
  norm_.Collect("norm", &list);
  hidden_.Collect("hidden", &list);
  fc_.Collect("fc", &list);
  return list;
}

}  // namespace localformer
