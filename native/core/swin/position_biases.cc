// See position_biases.h.
#include "swin/position_biases.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <utility>

#include "train/backward.h"

namespace localformer {

PositionBiases::PositionBiases(const Segment& segment) {
  const at::AutoGradMode with_gradients(true);
  for (const Unit* unit : segment) {
    at::Tensor graph = unit->PositionBias();
    if (!graph.defined()) continue;
    const at::Tensor leaf = graph.detach().requires_grad_();
    biases_.push_back({unit, std::move(graph), leaf});
  }
}

at::Tensor PositionBiases::Of(const Unit& unit) const {
  const auto found = std::find_if(biases_.begin(), biases_.end(),
                                  [&](const Bias& bias) { return bias.unit == &unit; });
  return found == biases_.end() ? at::Tensor() : found->leaf;
}

void PositionBiases::Backward() {
  std::vector<at::Tensor> graphs, gradients;
  for (const Bias& bias : biases_) {
    if (!bias.leaf.grad().defined()) continue;
    graphs.push_back(bias.graph);
    gradients.push_back(bias.leaf.grad());
  }
  biases_.clear();
  if (!graphs.empty()) localformer::Backward(graphs, gradients);
}

}  // namespace localformer
