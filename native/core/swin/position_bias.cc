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

// With n = 2w-1: every token j = (r', c') of a window gets a map [n, n, heads] of its own, into
// which the gradients of its pairs with all tokens i = (r, c) are laid at (r-r'+w-1, c-c'+w-1),
// where the table has them; the sum of the maps is the table's gradient. Where a pair lies is
// linear in r, c, r' and c', so that laying is one copy.
at::Tensor PositionBiasGradient(const at::Tensor& gradient, int64_t window) {
  const int64_t w = window, n = 2 * w - 1, heads = gradient.size(0);
  const at::Tensor maps = at::zeros({w, w, n, n, heads}, gradient.options());
  const int64_t column = heads, row = n * column, map = n * row;
  maps.as_strided({w, w, w, w, heads}, {w * map - row, map - column, row, column, 1},
                  (w - 1) * (row + column))
      .copy_(gradient.reshape({heads, w, w, w, w}).permute({3, 4, 1, 2, 0}));
  return maps.sum(at::IntArrayRef({0, 1})).view({n * n, heads});
}

}  // namespace localformer
