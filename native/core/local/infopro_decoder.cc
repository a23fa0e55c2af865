// See infopro_decoder.h.
#include "local/infopro_decoder.h"

#include <ATen/ATen.h>

namespace localformer {
namespace {

at::Tensor BatchNorm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  return at::batch_norm(x, weight, bias, /*running_mean=*/{}, /*running_var=*/{}, /*training=*/true,
                        /*momentum=*/0.0, /*eps=*/1e-5, at::globalContext().userEnabledCuDNN());
}

}  // namespace

InfoProDecoder::InfoProDecoder(const FeatureShape& output, const FeatureShape& image,
                               at::Generator& generator)
    : height_(image.height),
      width_(image.width),
      convolutions_(output.channels, kHidden, image.channels, BatchNorm, generator) {}

at::Tensor InfoProDecoder::Forward(const at::Tensor& features,
                                   const ForwardContext& context) const {
  // [B, C, H, W] in name; the bytes stay channels-last, which convolutions take as they are.
  at::Tensor x = features.to(context.compute_type).permute({0, 3, 1, 2});
  // Unlike the decoder `conv`, InfoPro's code aligns the corners.
  x = at::upsample_bilinear2d(x, {height_, width_}, /*align_corners=*/true);
  return convolutions_.Forward(x, context.compute_type);
}

}  // namespace localformer
