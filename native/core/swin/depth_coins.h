// Stochastic depth (Huang et al., arXiv 1603.09382): what it multiplies the residual branches of a
// segment with, 0 or 1 / (1 - probability) for each sample, drawn for all of them at once.
#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>

#include <cstdint>
#include <map>

#include "swin/unit.h"

namespace localformer {

class DepthCoins {
 public:
  // For `batch` samples, in the order in which the segment runs its branches; on the CPU, so that
  // every device sees the same ones, and to the device in one copy, as numbers of `type`.
  DepthCoins(const Segment& segment, int64_t batch, at::Generator& generator, c10::Device device,
             c10::ScalarType type);

  // [batch] for a unit's n-th branch; undefined where none is dropped.
  at::Tensor Of(const Unit& unit, int64_t branch) const;

 private:
  std::map<const Unit*, int64_t> first_rows_;
  at::Tensor values_;  // [branches, batch]; undefined where no branch is dropped.
};

}  // namespace localformer
