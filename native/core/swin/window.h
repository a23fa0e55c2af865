// Pure reshapes of window attention: partition, its reverse, the relative position index and the
// mask of shifted windows (Liu et al., Swin Transformer, arXiv 2103.14030, section 3.2).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace localformer {

// [B, H, W, C] -> [B * H/window * W/window, window * window, C]; window divides H and W.
at::Tensor WindowPartition(const at::Tensor& x, int64_t window);

// The reverse: [B * nW, window * window, C] -> [B, H, W, C].
at::Tensor WindowReverse(const at::Tensor& windows, int64_t window, int64_t height, int64_t width);

// For each pair of tokens in a window the row of the relative position bias table that belongs to
// it: int32 [window^2 * window^2], values in [0, (2 * window - 1)^2).
at::Tensor RelativePositionIndex(int64_t window);

// Mask of shifted windows: float [nW, window^2, window^2], 0 where two tokens were neighbours
// before the cyclic shift, -100 where the shift brought them together.
at::Tensor ShiftedWindowMask(int64_t height, int64_t width, int64_t window, int64_t shift);

}  // namespace localformer
