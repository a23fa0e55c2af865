// Creation of the leaves that the network and its auxiliary parts learn.
#include "swin/parameters.h"

#include <ATen/ATen.h>

#include <cmath>

#include "math/products.h"
#include "memory/dry_run.h"
#include "swin/compute_type.h"

namespace localformer {

void AppendWithPrefix(const std::string& prefix, const ParameterList& list, ParameterList* out) {
  for (const auto& [name, tensor] : list) out->emplace_back(prefix + "." + name, tensor);
}

std::vector<at::Tensor> TensorsOf(const ParameterList& parameters) {
  std::vector<at::Tensor> tensors;
  for (const auto& parameter : parameters) tensors.push_back(parameter.second);
  return tensors;
}

int64_t CountValues(const ParameterList& parameters) {
  int64_t count = 0;
  for (const auto& parameter : parameters) count += parameter.second.numel();
  return count;
}

void MoveTo(c10::Device device, const ParameterList& parameters) {
  for (const auto& named : parameters) named.second.set_data(named.second.to(device));
}

void ClearGradients(const ParameterList& parameters) {
  for (const auto& parameter : parameters) parameter.second.mutable_grad().reset();
}

at::Tensor TruncatedNormalParameter(at::IntArrayRef shape, double std, at::Generator& generator) {
  // Inverse transform sampling: a uniform number between the two cut points' probabilities, mapped
  // back by the normal distribution's inverse.
  const double edge = std::erf(2.0 / std / std::sqrt(2.0));
  at::Tensor t = at::empty(shape);
  if (IsDryRun()) return t.requires_grad_(true);
  t.uniform_(-edge, edge, generator).erfinv_().mul_(std * std::sqrt(2.0)).clamp_(-2.0, 2.0);
  return t.requires_grad_(true);
}

at::Tensor UniformParameter(at::IntArrayRef shape, double bound, at::Generator& generator) {
  at::Tensor t = at::empty(shape);
  if (!IsDryRun()) t.uniform_(-bound, bound, generator);
  return t.requires_grad_(true);
}

Linear Linear::Create(int64_t in, int64_t out, bool with_bias, at::Generator& generator) {
  Linear linear;
  linear.weight = TruncatedNormalParameter({out, in}, 0.02, generator);
  if (with_bias) linear.bias = at::zeros({out}).requires_grad_(true);
  return linear;
}

at::Tensor Linear::Forward(const at::Tensor& x, c10::ScalarType compute_type) const {
  return LinearMap(x.to(compute_type), weight.to(compute_type),
                   bias.defined() ? bias.to(compute_type) : bias);
}

void Linear::Collect(const std::string& name, ParameterList* out) const {
  out->emplace_back(name + ".weight", weight);
  if (bias.defined()) out->emplace_back(name + ".bias", bias);
}

LayerNorm LayerNorm::Create(int64_t channels) {
  LayerNorm norm;
  norm.weight = at::ones({channels}).requires_grad_(true);
  norm.bias = at::zeros({channels}).requires_grad_(true);
  return norm;
}

at::Tensor LayerNorm::Forward(const at::Tensor& x) const {
  return at::layer_norm(x.to(StreamType(x.scalar_type())), {x.size(-1)}, weight, bias, kEps);
}

void LayerNorm::Collect(const std::string& name, ParameterList* out) const {
  out->emplace_back(name + ".weight", weight);
  out->emplace_back(name + ".bias", bias);
}

}  // namespace localformer
