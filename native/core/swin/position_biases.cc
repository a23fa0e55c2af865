// See position_biases.h.
#include "swin/position_biases.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <utility>

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

PositionBiases::TableBackward PositionBiases::Take() {
  TableBackward backward;
  for (const Bias& bias : std::exchange(biases_, {})) {
    if (!bias.leaf.grad().defined()) continue;
    backward.biases.push_back(bias.graph);
    backward.gradients.push_back(bias.leaf.grad());
  }
  return backward;
}

}  // namespace localformer
