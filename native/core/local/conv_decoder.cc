// See conv_decoder.h.
#include "local/conv_decoder.h"

#include <ATen/ATen.h>

namespace localformer {
namespace {

at::Tensor GroupNorm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  return at::group_norm(x, ConvDecoder::kGroups, weight, bias, 1e-5);
}

}  // namespace

ConvDecoder::ConvDecoder(const FeatureShape& output, const FeatureShape& target, int64_t hidden,
                         at::Generator& generator)
    : height_(target.height),
      width_(target.width),
      convolutions_(output.channels, hidden, target.channels, GroupNorm, generator) {}

at::Tensor ConvDecoder::Forward(const at::Tensor& features, const ForwardContext& context) const {
  // [B, C, H, W] in name; the bytes stay channels-last, which convolutions take as they are.
  at::Tensor x = features.to(context.compute_type).permute({0, 3, 1, 2});
  if (x.size(2) != height_ || x.size(3) != width_) {
    x = at::upsample_bilinear2d(x, {height_, width_}, /*align_corners=*/false);
  }
  return convolutions_.Forward(x, context.compute_type);
}

}  // namespace localformer
