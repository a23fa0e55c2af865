// A 3x3 convolution that keeps the grid: [B, C, H, W] -> [B, C', H, W].
#pragma once

#include "swin/parameters.h"

namespace localformer {

struct Convolution {
  at::Tensor weight;  // [C', C, 3, 3]
  at::Tensor bias;    // [C']

  // PyTorch's default for a convolution: uniform within 1 / sqrt(fan_in), weight and bias.
  static Convolution Create(int64_t in, int64_t out, at::Generator& generator);
  // Runs in `compute_type`, and so comes out.
  at::Tensor Forward(const at::Tensor& x, c10::ScalarType compute_type) const;
  void Collect(const std::string& name, ParameterList* out) const;
};

}  // namespace localformer
