// See conv_decoder.h.
#include "local/conv_decoder.h"

#include <ATen/ATen.h>

namespace localformer {

ConvDecoder::ConvDecoder(const FeatureShape& output, const FeatureShape& target, int64_t hidden,
                         at::Generator& generator)
    : height_(target.height),
      width_(target.width),
      conv1_(Convolution::Create(output.channels, hidden, generator)),
      norm_(LayerNorm::Create(hidden)),
      conv2_(Convolution::Create(hidden, target.channels, generator)) {}

at::Tensor ConvDecoder::Forward(const at::Tensor& features, const ForwardContext& context) const {
  // [B, C, H, W] in name; the bytes stay channels-last, which convolutions take as they are.
  at::Tensor x = features.to(context.compute_type).permute({0, 3, 1, 2});
  if (x.size(2) != height_ || x.size(3) != width_) {
    x = at::upsample_bilinear2d(x, {height_, width_}, /*align_corners=*/false);
  }
  x = conv1_.Forward(x, context.compute_type).to(at::kFloat);
  x = at::relu(at::group_norm(x, kGroups, norm_.weight, norm_.bias, 1e-5));
  return conv2_.Forward(x, context.compute_type).to(at::kFloat).permute({0, 2, 3, 1});
}

ParameterList ConvDecoder::Parameters() const {
  ParameterList list;
  conv1_.Collect("conv1", &list);
  norm_.Collect("norm", &list);
  conv2_.Collect("conv2", &list);
  return list;
}

}  // namespace localformer
