// See convolution.h.
#include "local/convolution.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <cmath>

#include "math/work_count.h"

namespace localformer {

Convolution Convolution::Create(int64_t in, int64_t out, at::Generator& generator) {
  const double bound = 1.0 / std::sqrt(static_cast<double>(in * 9));
  Convolution conv;
  conv.weight = UniformParameter({out, in, 3, 3}, bound, generator);
  conv.bias = UniformParameter({out}, bound, generator);
  return conv;
}

at::Tensor Convolution::Forward(const at::Tensor& x, c10::ScalarType compute_type) const {
  // Its backward pass, which is autograd's, has a product for the weight and one for the input.
  const int64_t passes = c10::GradMode::is_enabled() ? 3 : 1;
  const int64_t positions = x.size(0) * x.size(2) * x.size(3);
  CountWork(compute_type, passes * 2 * positions * weight.numel());
  return at::conv2d(x.to(compute_type), weight.to(compute_type), bias.to(compute_type),
                    /*stride=*/1, /*padding=*/1);
}

void Convolution::Collect(const std::string& name, ParameterList* out) const {
  out->emplace_back(name + ".weight", weight);
  out->emplace_back(name + ".bias", bias);
}

ConvolutionPair::ConvolutionPair(int64_t in, int64_t hidden, int64_t out, Norm norm,
                                 at::Generator& generator)
    : conv1_(Convolution::Create(in, hidden, generator)),
      affine_(LayerNorm::Create(hidden)),
      conv2_(Convolution::Create(hidden, out, generator)),
      norm_(norm) {}

at::Tensor ConvolutionPair::Forward(const at::Tensor& x, c10::ScalarType compute_type) const {
  const at::Tensor hidden = conv1_.Forward(x, compute_type).to(at::kFloat);
  const at::Tensor active = at::relu(norm_(hidden, affine_.weight, affine_.bias));
  return conv2_.Forward(active, compute_type).to(at::kFloat).permute({0, 2, 3, 1});
}

ParameterList ConvolutionPair::Parameters() const {
  ParameterList list;
  conv1_.Collect("conv1", &list);
  affine_.Collect("norm", &list);
  conv2_.Collect("conv2", &list);
  return list;
}

}  // namespace localformer
