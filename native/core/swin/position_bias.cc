// See position_bias.h.
#include "swin/position_bias.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

namespace localformer {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// The read is exact whatever products are computed in, and the sum has no product either.
struct PositionBiasFunction : torch::autograd::Function<PositionBiasFunction> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& table, const at::Tensor& index,
                            int64_t window) {
    ctx->saved_data["window"] = window;
    const int64_t tokens = window * window;
    return table.index_select(0, index)
        .view({tokens, tokens, table.size(1)})
        .permute({2, 0, 1})
        .unsqueeze(0)
        .contiguous();
  }

  // With n = 2w-1: every token i = (r, c) of a window gets a map [n, n] of its own, into which the
  // gradients of its pairs with all tokens j = (r', c') are laid at (r'-r+w-1, c'-c+w-1); the sum
  // of the maps is the table's gradient, last entry first. Where a pair lies is linear in r, c, r'
  // and c', so that laying is one copy.
  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    const int64_t w = ctx->saved_data["window"].toInt(), n = 2 * w - 1;
    const at::Tensor& gradient = gradients[0];
    const int64_t heads = gradient.size(1);
    const at::Tensor maps = at::zeros({heads, w, w, n, n}, gradient.options());
    const int64_t row = n, map = n * n;
    maps.as_strided({heads, w, w, w, w}, {w * w * map, w * map - row, map - 1, row, 1},
                    (w - 1) * (row + 1))
        .copy_(gradient.reshape({heads, w, w, w, w}));
    const at::Tensor sum = maps.sum({1, 2}).view({heads, n * n});
    return {sum.flip(1).t().contiguous(), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor PositionBias(const at::Tensor& table, const at::Tensor& index, int64_t window) {
  return PositionBiasFunction::apply(table, index, window);
}

}  // namespace localformer
