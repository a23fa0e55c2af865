// See linear_decoder.h.
#include "local/linear_decoder.h"

#include <ATen/ATen.h>

namespace localformer {

LinearDecoder::LinearDecoder(const FeatureShape& output, const FeatureShape& target,
                             at::Generator& generator)
    : scale_(target.height / output.height),
      channels_(target.channels),
      proj_(Linear::Create(output.channels, scale_ * scale_ * target.channels, true, generator)) {}

at::Tensor LinearDecoder::Forward(const at::Tensor& features, const ForwardContext& context) const {
  const int64_t b = features.size(0), h = features.size(1), w = features.size(2), r = scale_;
  const at::Tensor tokens = proj_.Forward(features, context.compute_type).to(at::kFloat);
  if (r == 1) return tokens;
  // Channel-major as in PyTorch's pixel_shuffle: index = (c * r + dy) * r + dx.
  return tokens.view({b, h, w, channels_, r, r})
      .permute({0, 1, 4, 2, 5, 3})
      .reshape({b, h * r, w * r, channels_});
}

ParameterList LinearDecoder::Parameters() const {
  ParameterList list;
  proj_.Collect("proj", &list);
  return list;
}

}  // namespace localformer
