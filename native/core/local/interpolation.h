// Bilinear interpolation of a square map, with a gradient that is summed in one order on every
// device: two products with the weights, where LibTorch's own adds up atomically on CUDA
// (docs/method.md, section 9).
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <cstdint>

namespace localformer {

class Interpolation {
 public:
  // From a side of `from` to one of `to`, with PyTorch's meaning of `align_corners`.
  Interpolation(int64_t from, int64_t to, bool align_corners);

  // [B, C, from, from] -> [B, C, to, to] in the same type. Quickest where the bytes are
  // channels-last, in which the gradient comes out too.
  at::Tensor Forward(const at::Tensor& x) const;
  void MoveBuffers(c10::Device device);

 private:
  bool align_corners_;
  at::Tensor weights_;  // [from, to], float32: the share of each place in each new one; or none
};

}  // namespace localformer
