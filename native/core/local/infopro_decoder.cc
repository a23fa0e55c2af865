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
      conv1_(Convolution::Create(output.channels, kHidden, generator)),
      norm_(LayerNorm::Create(kHidden)),
      conv2_(Convolution::Create(kHidden, image.channels, generator)) {}

at::Tensor InfoProDecoder::Forward(const at::Tensor& features,
                                   const ForwardContext& context) const {
  // [B, C, H, W] in name; the bytes stay channels-last, which convolutions take as they are.
  at::Tensor x = features.to(context.compute_type).permute({0, 3, 1, 2});
  // Unlike the decoder `conv`, InfoPro's code aligns the corners.
  x = at::upsample_bilinear2d(x, {height_, width_}, /*align_corners=*/true);
  x = conv1_.Forward(x, context.compute_type).to(at::kFloat);
  x = at::relu(BatchNorm(x, norm_.weight, norm_.bias));
  return conv2_.Forward(x, context.compute_type).to(at::kFloat).permute({0, 2, 3, 1});
}

ParameterList InfoProDecoder::Parameters() const {
  ParameterList list;
  conv1_.Collect("conv1", &list);
  norm_.Collect("norm", &list);
  conv2_.Collect("conv2", &list);
  return list;
}

}  // namespace localformer
