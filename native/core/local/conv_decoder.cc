// See conv_decoder.h.
#include "local/conv_decoder.h"

#include <ATen/ATen.h>

#include <cmath>

namespace localformer {
namespace {

// PyTorch's default for a convolution: uniform within 1 / sqrt(fan_in), weight and bias.
Linear Convolution(int64_t in, int64_t out, at::Generator& generator) {
  const double bound = 1.0 / std::sqrt(static_cast<double>(in * 9));
  Linear conv;
  conv.weight = UniformParameter({out, in, 3, 3}, bound, generator);
  conv.bias = UniformParameter({out}, bound, generator);
  return conv;
}

}  // namespace

ConvDecoder::ConvDecoder(const FeatureShape& output, const FeatureShape& target, int64_t hidden,
                         at::Generator& generator)
    : height_(target.height),
      width_(target.width),
      conv1_(Convolution(output.channels, hidden, generator)),
      norm_(LayerNorm::Create(hidden)),
      conv2_(Convolution(hidden, target.channels, generator)) {}

at::Tensor ConvDecoder::Forward(const at::Tensor& features) const {
  // [B, C, H, W] in name; the bytes stay channels-last, which convolutions take as they are.
  at::Tensor x = features.permute({0, 3, 1, 2});
  if (x.size(2) != height_ || x.size(3) != width_) {
    x = at::upsample_bilinear2d(x, {height_, width_}, /*align_corners=*/false);
  }
  x = at::conv2d(x, conv1_.weight, conv1_.bias, /*stride=*/1, /*padding=*/1);
  x = at::relu(at::group_norm(x, kGroups, norm_.weight, norm_.bias, 1e-5));
  x = at::conv2d(x, conv2_.weight, conv2_.bias, /*stride=*/1, /*padding=*/1);
  return x.permute({0, 2, 3, 1});
}

ParameterList ConvDecoder::Parameters() const {
  ParameterList list;
  conv1_.Collect("conv1", &list);
  norm_.Collect("norm", &list);
  conv2_.Collect("conv2", &list);
  return list;
}

}  // namespace localformer
