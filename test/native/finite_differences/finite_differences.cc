// Whether the gradients of units, branches and the functions of autograd in native/core/local are
// those that finite differences give, in float64: of every input and every parameter, each value by
// itself (of a batch that is taken in parts, some). The CPU's loops are compared with the
// operations that run here by test/native/local/kernels. Prints what differs, or ok.
#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <iostream>
#include <limits>
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
// Less than what a gradient loses on its way through float32.
constexpr double kTolerance = 1e-8;

using Run = std::function<at::Tensor(const at::Tensor& x, const ForwardContext& context)>;

struct Subject {
  std::string name;
  FeatureShape shape;
  ParameterList parameters;
  int64_t batch = 2;
  // Values of each leaf that are looked at.
  int64_t most = std::numeric_limits<int64_t>::max();
};

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

// Of `most` values, drawn, or of all.
void Compare(const std::string& name, const at::Tensor& leaf, const at::Tensor& gradient,
             int64_t most, const std::function<double()>& value) {
  if (!gradient.defined() || !gradient.sizes().equals(leaf.sizes())) {
    std::cout << name << ": there is no gradient of that shape\n";
    ++failures;
    return;
  }
  const at::Tensor flat = gradient.contiguous().view({-1});
  at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(3);
  const at::Tensor order = at::randperm(leaf.numel(), generator);
  for (int64_t k = 0; k < std::min(leaf.numel(), most); ++k) {
    const int64_t i = order[k].item<int64_t>();
    const double expected = Difference(leaf, i, value);
    const double found = flat[i].item<double>();
    if (std::abs(found - expected) <= kTolerance * (1.0 + std::abs(expected))) continue;
    std::cout << name << " [" << i << "]: " << found << ", by differences " << expected
              << ", off by " << found - expected << "\n";
    ++failures;
    return;
  }
}

void Check(const Subject& subject, const Run& run) {
  at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(7);
  std::vector<at::Tensor> leaves = Scattered(subject.parameters, generator);
  const auto [height, width, channels] = subject.shape;
  const at::Tensor x =
      Random({subject.batch, height, width, channels}, generator).requires_grad_(true);
  ForwardContext whole;
  whole.compute_type = at::kDouble;
  // A loss of about 1, whatever the batch.
  at::Tensor weights;
  const auto value = [&] {
    const c10::AutoGradMode no_grad(false);
    return (run(x, whole) * weights).sum().item<double>();
  };
  for (const bool keeps : {true, false}) {
    for (const bool needs_result : {true, false}) {
      ForwardContext context = whole;
      context.keep_cheap = keeps;
      context.needs_result = needs_result;
      const at::Tensor y = run(x, context);
      weights = Random(y.sizes(), generator) / std::sqrt(static_cast<double>(subject.batch));
      std::vector<at::Tensor> inputs = leaves;
      inputs.push_back(x);
      const std::vector<at::Tensor> gradients =
          torch::autograd::grad({y}, inputs, {weights.clone()});
      const std::string how = subject.name + (keeps ? "" : ", nothing cheap kept") +
                              (needs_result ? "" : ", without its result");
      Compare(how + ": x", x, gradients.back(), subject.most, value);
      for (size_t i = 0; i < leaves.size(); ++i) {
        Compare(how + ": " + subject.parameters[i].first, leaves[i], gradients[i], subject.most,
                value);
      }
    }
  }
}

void CheckUnit(const std::string& what, const Unit& unit) {
  Check(
      {what, unit.input(), unit.Parameters()},
      [&](const at::Tensor& x, const ForwardContext& context) { return unit.Forward(x, context); });
}

void CheckUnits(at::Generator& generator) {
  CheckUnit("patch embedding", PatchEmbedding(4, 2, 6, generator));
  CheckUnit("patch merging", PatchMerging("merging", {4, 4, 3}, generator));
  CheckUnit("classifier", Classifier({2, 2, 6}, 5, generator));
  BlockOptions options;
  options.heads = 2;
  options.window = 2;
  options.mlp_ratio = 2.0;
  for (const bool shifted : {false, true}) {
    options.shifted = shifted;
    CheckUnit(shifted ? "shifted block" : "block",
              SwinBlock("block", {4, 4, 6}, options, generator));
  }
}

ParameterList ParametersOf(const AttentionBranch& branch) {
  ParameterList list = branch.Parameters();
  branch.norm().Collect("norm", &list);
  return list;
}

ParameterList ParametersOf(const MlpBranch& branch) {
  ParameterList list;
  branch.norm().Collect("norm", &list);
  branch.fc1().Collect("fc1", &list);
  branch.fc2().Collect("fc2", &list);
  return list;
}

// By themselves, in the parts in which a large batch is taken, and with their residual as
// stochastic depth scales it.
void CheckBranches(at::Generator& generator) {
  const FeatureShape map{4, 4, 6};
  const AttentionBranch attention(map, 2, 2, 1, generator);
  const MlpBranch mlp(map.channels, 12, generator);
  const Run attend = [&](const at::Tensor& x, const ForwardContext& context) {
    return attention.Forward(x, attention.PositionBias(), context);
  };
  const Run map_twice = [&](const at::Tensor& x, const ForwardContext& context) {
    return mlp.Forward(x, context);
  };
  Check({"attention branch", map, ParametersOf(attention)}, attend);
  Check({"mlp branch", map, ParametersOf(mlp)}, map_twice);
  // 2,880 tokens, where a part has 2,048.
  Check({"attention branch in parts", map, ParametersOf(attention), 180, 12}, attend);
  Check({"mlp branch in parts", map, ParametersOf(mlp), 180, 12}, map_twice);

  // A sample that is dropped has the residual's gradient alone.
  const at::Tensor scale = at::tensor({0.0, 1.25}, at::kDouble).view({2, 1, 1, 1});
  Check({"attention branch, scaled", map, ParametersOf(attention)},
        [&](const at::Tensor& x, const ForwardContext& context) {
          return attention.AddTo(x, attention.PositionBias(), scale, context);
        });
  Check({"mlp branch, scaled", map, ParametersOf(mlp)},
        [&](const at::Tensor& x, const ForwardContext& context) {
          return mlp.AddTo(x, scale, context);
        });
}

// What heads and decoders have of their own.
void CheckAuxiliaryParts() {
  const FeatureShape map{4, 4, 6};
  const LayerNorm norm = LayerNorm::Create(map.channels);
  ParameterList of_norm;
  norm.Collect("norm", &of_norm);
  Check({"pooled norm", map, of_norm}, [&](const at::Tensor& x, const ForwardContext& context) {
    return PooledNorm(x, norm, context);
  });
  // Of these sides the weights are exact in float32, in which they are kept.
  for (const auto& [from, to, align_corners] :
       std::vector<std::tuple<int64_t, int64_t, bool>>{{2, 4, false}, {3, 5, true}}) {
    const Interpolation interpolation(from, to, align_corners);
    Check({"interpolation", {2, from, from}, {}},
          [&](const at::Tensor& x, const ForwardContext&) { return interpolation.Forward(x); });
  }
  const at::Tensor rows = at::tensor({30, 2, 17}, at::kLong);
  Check({"selected tokens", map, {}},
        [&](const at::Tensor& x, const ForwardContext&) { return SelectTokens(x, rows); });
}

int Main() {
  at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(0);
  CheckUnits(generator);
  CheckBranches(generator);
  CheckAuxiliaryParts();
  if (failures == 0) std::cout << "ok\n";
  return failures == 0 ? 0 : 1;
}

}  // namespace
}  // namespace localformer

int main() { return localformer::Main(); }
