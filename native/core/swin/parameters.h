// Named parameters of a part of the network, in the order in which timm lists them.
#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace localformer {

using NamedTensor = std::pair<std::string, at::Tensor>;
using ParameterList = std::vector<NamedTensor>;

// Appends `list` to `out`, each name behind `prefix` and a dot.
void AppendWithPrefix(const std::string& prefix, const ParameterList& list, ParameterList* out);

// Without their names.
std::vector<at::Tensor> TensorsOf(const ParameterList& parameters);

// Learned values of all of them together.
int64_t CountValues(const ParameterList& parameters);

// Moves the values of every parameter to a device; the handles stay the same.
void MoveTo(c10::Device device, const ParameterList& parameters);

// Sets every gradient to none: its memory is given back.
void ClearGradients(const ParameterList& parameters);

// The same when it goes out of scope, by an exception too. The list has to outlive it.
class GradientsCleared {
 public:
  explicit GradientsCleared(const ParameterList& parameters) : parameters_(parameters) {}
  ~GradientsCleared() { ClearGradients(parameters_); }
  GradientsCleared(const GradientsCleared&) = delete;
  GradientsCleared& operator=(const GradientsCleared&) = delete;

 private:
  const ParameterList& parameters_;
};

// y = x * weight^T + bias. weight: [out, in], bias: [out] or undefined.
struct Linear {
  at::Tensor weight;
  at::Tensor bias;

  // Truncated normal (std 0.02, cut at -2 and 2) and zero bias, as timm initialises Swin.
  static Linear Create(int64_t in, int64_t out, bool with_bias, at::Generator& generator);
  // The product runs in `compute_type`, and so comes out.
  at::Tensor Forward(const at::Tensor& x, c10::ScalarType compute_type) const;
  void Collect(const std::string& name, ParameterList* out) const;
};

// Layer normalisation over the last dimension, eps 1e-5, in float32 (float64 where gradients are
// checked).
struct LayerNorm {
  static constexpr double kEps = 1e-5;

  at::Tensor weight;
  at::Tensor bias;

  static LayerNorm Create(int64_t channels);
  at::Tensor Forward(const at::Tensor& x) const;
  void Collect(const std::string& name, ParameterList* out) const;
};

// Truncated normal in [-2, 2] with mean 0 and the given standard deviation, as a leaf that requires
// a gradient.
at::Tensor TruncatedNormalParameter(at::IntArrayRef shape, double std, at::Generator& generator);

// Uniform in [-bound, bound], as a leaf that requires a gradient.
at::Tensor UniformParameter(at::IntArrayRef shape, double bound, at::Generator& generator);

}  // namespace localformer
