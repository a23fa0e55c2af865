// The position biases of a segment's blocks, computed once for all parts of a batch, with their
// gradients taken once. They depend on weights alone, and a card pays for each in launches.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "swin/unit.h"

namespace localformer {

class PositionBiases {
 public:
  explicit PositionBiases(const Segment& segment);

  // A leaf whose gradient the parts' backward passes add up; undefined: the unit has none here.
  at::Tensor Of(const Unit& unit) const;

  // What the backward pass of the tables is of: the biases in use and their gradients. Then there
  // are none any more.
  struct TableBackward {
    std::vector<at::Tensor> biases, gradients;
  };
  TableBackward Take();

 private:
  struct Bias {
    const Unit* unit;
    at::Tensor graph, leaf;
  };
  std::vector<Bias> biases_;
};

}  // namespace localformer
