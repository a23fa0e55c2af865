// 3x3 convolutions that keep the grid, alone and as the pair inside decoders.
#pragma once

#include "swin/parameters.h"

namespace localformer {

// [B, C, H, W] -> [B, C', H, W].
struct Convolution {
  at::Tensor weight;  // [C', C, 3, 3]
  at::Tensor bias;    // [C']

  // PyTorch's default for a convolution: uniform within 1 / sqrt(fan_in), weight and bias.
  static Convolution Create(int64_t in, int64_t out, at::Generator& generator);
  // Runs in `compute_type`, and so comes out.
  at::Tensor Forward(const at::Tensor& x, c10::ScalarType compute_type) const;
  void Collect(const std::string& name, ParameterList* out) const;
};

// Convolution, norm, ReLU, convolution: [B, C, H, W] -> [B, H, W, C'], float32. Parameters
// `conv1.*`, `norm.*`, `conv2.*`.
class ConvolutionPair {
 public:
  using Norm = at::Tensor (*)(const at::Tensor& x, const at::Tensor& weight,
                              const at::Tensor& bias);

  ConvolutionPair(int64_t in, int64_t hidden, int64_t out, Norm norm, at::Generator& generator);
  at::Tensor Forward(const at::Tensor& x, c10::ScalarType compute_type) const;
  ParameterList Parameters() const;

 private:
  Convolution conv1_;
  LayerNorm affine_;  // Weight and bias of the norm.
  Convolution conv2_;
  Norm norm_;
};

}  // namespace localformer
