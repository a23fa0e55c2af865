// See position_bias.h.
#include "swin/position_bias.h"

#include <ATen/ATen.h>

namespace localformer {

at::Tensor PositionBias(const at::Tensor& table, const at::Tensor& index, int64_t window) {
  const int64_t tokens = window * window;
  // The read is exact whatever products are computed in, and the sum has no product either.
  return table.index_select(0, index)
      .view({tokens, tokens, table.size(1)})
      .permute({2, 0, 1})
      .contiguous();
}

// With n = 2w-1: every token i = (r, c) of a window gets a map [n, n] of its own, into which the
// gradients of its pairs with all tokens j = (r', c') are laid at (r'-r+w-1, c'-c+w-1); the sum of
// the maps is the table's gradient, last entry first. Where a pair lies is linear in r, c, r' and
// c', so that laying is one copy.
at::Tensor PositionBiasGradient(const at::Tensor& gradient, int64_t window) {
  const int64_t w = window, n = 2 * w - 1, heads = gradient.size(0);
  const at::Tensor maps = at::zeros({heads, w, w, n, n}, gradient.options());
  const int64_t row = n, map = n * n;
  maps.as_strided({heads, w, w, w, w}, {w * w * map, w * map - row, map - 1, row, 1},
                  (w - 1) * (row + 1))
      .copy_(gradient.reshape({heads, w, w, w, w}));
  const at::Tensor sum = maps.sum({1, 2}).view({heads, n * n});
  return sum.flip(1).t().contiguous();
}

}  // namespace localformer
