// Windows of a map: the order of their tokens, the relative position index and the mask of shifted
// windows (Liu et al., Swin Transformer, arXiv 2103.14030, section 3.2).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace localformer {

// The order of a map's tokens in which those of one window stand together, windows in row-major
// order, after a cyclic shift by `shift` rows and columns: int32 [H * W], the token at each place.
// window divides H and W. Undefined where that is the map's own order.
at::Tensor WindowOrder(int64_t height, int64_t width, int64_t window, int64_t shift);

// The place of each token in such an order; undefined where the order is.
at::Tensor InverseOrder(const at::Tensor& order);

// For each pair of tokens in a window the row of the relative position bias table that belongs to
// it: int32 [window^2 * window^2], values in [0, (2 * window - 1)^2).
at::Tensor RelativePositionIndex(int64_t window);

// Mask of shifted windows: float [nW, window^2, window^2], 0 where two tokens were neighbours
// before the cyclic shift, -100 where the shift brought them together.
at::Tensor ShiftedWindowMask(int64_t height, int64_t width, int64_t window, int64_t shift);

}  // namespace localformer
