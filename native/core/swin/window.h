// Windows of a map: where its tokens lie in them, the mask of shifted ones, and the relative
// position index (Liu et al., Swin Transformer, arXiv 2103.14030, section 3.2).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "kernels/window_attention.h"

namespace localformer {

// Windows of a map [height, width] in row-major order, after a cyclic shift by `shift` rows and
// columns; 0: none, and no mask. window divides height and width.
WindowLayout LayOutWindows(int64_t height, int64_t width, int64_t window, int64_t shift,
                           int64_t heads);

// For each pair of tokens in a window the row of the relative position bias table that belongs to
// it: int64 [window^2 * window^2], values in [0, (2 * window - 1)^2).
at::Tensor RelativePositionIndex(int64_t window);

}  // namespace localformer
