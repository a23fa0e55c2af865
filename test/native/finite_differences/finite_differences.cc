// Whether the gradients of the network's own functions of autograd are those that finite
// differences give, in float64: of every input and every parameter, each value by itself. What the
// CPU's loops and cards compute in other types is compared with this path by
// test/native/local/kernels. Prints what differs, or ok.
#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <functional>
#include <iostream>
#include <string>
#include <tuple>
#include <vector>

#include "local/interpolation.h"
#include "local/pooled_norm.h"
#include "local/select_tokens.h"
#include "swin/attention.h"
#include "swin/block.h"
#include "swin/embedding.h"
#include "swin/mlp.h"

namespace localformer {
namespace {

// A central difference is off by its square, and by the rounding of float64 over it.
constexpr double kStep = 1e-5;
constexpr double kTolerance = 1e-7;
constexpr int64_t kBatch = 2;

using Run = std::function<at::Tensor(const at::Tensor& x, const ForwardContext& context)>;

int failures = 0;

at::Tensor Random(at::IntArrayRef sizes, at::Generator& generator) {
  return at::randn(sizes, generator, at::TensorOptions().dtype(at::kDouble));
}

// Parameters of float64 that are far from what layers begin with: no bias is 0, no norm's weight 1.
std::vector<at::Tensor> Scattered(const ParameterList& parameters, at::Generator& generator) {
  std::vector<at::Tensor> leaves;
  for (const auto& [name, parameter] : parameters) {
    const at::Tensor values = Random(parameter.sizes(), generator) * 0.4;
    at::Tensor leaf = parameter;
    leaf.set_data(parameter.dim() == 1 ? values + 0.7 : values);
    leaves.push_back(leaf);
  }
  return leaves;
}

double Difference(const at::Tensor& leaf, int64_t index, const std::function<double()>& value) {
  double* const entry = leaf.data_ptr<double>() + index;
  const double before = *entry;
  *entry = before + kStep;
  const double above = value();
  *entry = before - kStep;
  const double below = value();
  *entry = before;
  return (above - below) / (2 * kStep);
}

void Compare(const std::string& name, const at::Tensor& leaf, const at::Tensor& gradient,
             const std::function<double()>& value) {
  if (!gradient.defined() || !gradient.sizes().equals(leaf.sizes())) {
    std::cout << name << ": there is no gradient of that shape\n";
    ++failures;
    return;
  }
  const at::Tensor flat = gradient.contiguous().view({-1});
  for (int64_t i = 0; i < leaf.numel(); ++i) {
    const double expected = Difference(leaf, i, value);
    const double found = flat[i].item<double>();
    if (std::abs(found - expected) <= kTolerance * (1.0 + std::abs(expected))) continue;
    std::cout << name << " [" << i << "]: " << found << ", by differences " << expected << "\n";
    ++failures;
    return;
  }
}

void Check(const std::string& what, const FeatureShape& shape, const ParameterList& parameters,
           const Run& run) {
  at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(7);
  std::vector<at::Tensor> leaves = Scattered(parameters, generator);
  const at::Tensor x =
      Random({kBatch, shape.height, shape.width, shape.channels}, generator).requires_grad_(true);
  leaves.insert(leaves.begin(), x);
  ForwardContext context;
  context.compute_type = at::kDouble;
  at::Tensor weights;
  const auto value = [&] {
    const c10::AutoGradMode no_grad(false);
    return (run(x, context) * weights).sum().item<double>();
  };
  for (const bool keeps : {true, false}) {
    for (const bool needs_result : {true, false}) {
      // The whole is what is measured; where no result is needed the gradients are to be the same.
      context.keep_cheap = keeps;
      context.needs_result = true;
      weights = Random(run(x, context).sizes(), generator);
      context.needs_result = needs_result;
      const std::vector<at::Tensor> gradients =
          torch::autograd::grad({run(x, context)}, leaves, {weights.clone()});
      context.needs_result = true;
      const std::string how = what + (keeps ? "" : ", nothing cheap kept") +
                              (needs_result ? "" : ", without its result");
      Compare(how + ": x", x, gradients[0], value);
      for (size_t i = 0; i < parameters.size(); ++i) {
        Compare(how + ": " + parameters[i].first, leaves[i + 1], gradients[i + 1], value);
      }
    }
  }
}

void CheckUnit(const std::string& what, const Unit& unit) {
  Check(
      what, unit.input(), unit.Parameters(),
      [&](const at::Tensor& x, const ForwardContext& context) { return unit.Forward(x, context); });
}

int Main() {
  at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(0);
  CheckUnit("patch embedding", PatchEmbedding(4, 2, 6, generator));
  CheckUnit("patch merging", PatchMerging("merging", {4, 4, 3}, generator));
  CheckUnit("classifier", Classifier({2, 2, 6}, 5, generator));

  const FeatureShape map{4, 4, 6};
  BlockOptions options;
  options.heads = 2;
  options.window = 2;
  options.mlp_ratio = 2.0;
  CheckUnit("block", SwinBlock("block", map, options, generator));
  options.shifted = true;
  CheckUnit("shifted block", SwinBlock("block", map, options, generator));

  // As stochastic depth scales what it lets through; a sample that it drops has no gradient here.
  const at::Tensor scale = at::tensor({0.0, 1.25}, at::kDouble).view({kBatch, 1, 1, 1});
  const AttentionBranch attention(map, 2, 2, 1, generator);
  ParameterList of_attention = attention.Parameters();
  attention.norm().Collect("norm", &of_attention);
  Check("attention branch, scaled", map, of_attention,
        [&](const at::Tensor& x, const ForwardContext& context) {
          return attention.AddTo(x, attention.PositionBias(), scale, context);
        });
  const MlpBranch mlp(map.channels, 12, generator);
  ParameterList of_mlp;
  mlp.norm().Collect("norm", &of_mlp);
  mlp.fc1().Collect("fc1", &of_mlp);
  mlp.fc2().Collect("fc2", &of_mlp);
  Check("mlp branch, scaled", map, of_mlp, [&](const at::Tensor& x, const ForwardContext& context) {
    return mlp.AddTo(x, scale, context);
  });

  LayerNorm norm = LayerNorm::Create(map.channels);
  ParameterList of_norm;
  norm.Collect("norm", &of_norm);
  Check("pooled norm", map, of_norm, [&](const at::Tensor& x, const ForwardContext& context) {
    return PooledNorm(x, norm, context);
  });
  // Of these sides the weights are exact in float32, in which they are kept.
  for (const auto& [from, to, align_corners] :
       std::vector<std::tuple<int64_t, int64_t, bool>>{{2, 4, false}, {3, 5, true}}) {
    const Interpolation interpolation(from, to, align_corners);
    Check("interpolation", {2, from, from}, {},
          [&](const at::Tensor& x, const ForwardContext&) { return interpolation.Forward(x); });
  }
  const at::Tensor rows = at::tensor({30, 2, 17}, at::kLong);
  Check("selected tokens", map, {},
        [&](const at::Tensor& x, const ForwardContext&) { return SelectTokens(x, rows); });
  if (failures == 0) std::cout << "ok\n";
  return failures == 0 ? 0 : 1;
}

}  // namespace
}  // namespace localformer

int main() { return localformer::Main(); }
