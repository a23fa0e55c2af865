// See convolution.h.
#include "local/convolution.h"

#include <ATen/ATen.h>

#include <cmath>

namespace localformer {

Convolution Convolution::Create(int64_t in, int64_t out, at::Generator& generator) {
  const double bound = 1.0 / std::sqrt(static_cast<double>(in * 9));
  Convolution conv;
  conv.weight = UniformParameter({out, in, 3, 3}, bound, generator);
  conv.bias = UniformParameter({out}, bound, generator);
  return conv;
}

at::Tensor Convolution::Forward(const at::Tensor& x, c10::ScalarType compute_type) const {
  return at::conv2d(x.to(compute_type), weight.to(compute_type), bias.to(compute_type),
                    /*stride=*/1, /*padding=*/1);
}

void Convolution::Collect(const std::string& name, ParameterList* out) const {
  out->emplace_back(name + ".weight", weight);
  out->emplace_back(name + ".bias", bias);
}

}  // namespace localformer
