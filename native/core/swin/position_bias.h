// The bias of attention by relative position: table [(2w-1)^2, heads] -> [heads, w^2, w^2], for
// autograd. The table's gradient is summed in one order on every device, where that of an indexed
// read is added up atomically on CUDA (docs/method.md, section 14).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace localformer {

// `index` is RelativePositionIndex(window) on the table's device.
at::Tensor PositionBias(const at::Tensor& table, const at::Tensor& index, int64_t window);

}  // namespace localformer
