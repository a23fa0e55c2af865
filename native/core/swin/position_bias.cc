// See position_bias.h.
#include "swin/position_bias.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

namespace localformer {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// With n = 2w-1: every token j = (r', c') of a window gets a map [n, n, heads] of its own, into
// which the gradients of its pairs with all tokens i = (r, c) are laid at (r-r'+w-1, c-c'+w-1),
// where the table has them; the sum of the maps is the table's gradient. Where a pair lies is
// linear in r, c, r' and c', so that laying is one copy.
at::Tensor TableGradient(const at::Tensor& gradient, int64_t window) {
  const int64_t w = window, n = 2 * w - 1, heads = gradient.size(0);
  const at::Tensor maps = at::zeros({w, w, n, n, heads}, gradient.options());
  const int64_t column = heads, row = n * column, map = n * row;
  maps.as_strided({w, w, w, w, heads}, {w * map - row, map - column, row, column, 1},
                  (w - 1) * (row + column))
      .copy_(gradient.reshape({heads, w, w, w, w}).permute({3, 4, 1, 2, 0}));
  return maps.sum(at::IntArrayRef({0, 1})).view({n * n, heads});
}

struct PositionBiasFunction : torch::autograd::Function<PositionBiasFunction> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& table, const at::Tensor& index,
                            int64_t window) {
    ctx->saved_data["window"] = window;
    const int64_t tokens = window * window;
    at::Tensor bias = at::empty({table.size(1), tokens, tokens}, table.options());
    // The read is exact whatever products are computed in, and the sum has no product either.
    at::Tensor by_pair = bias.permute({1, 2, 0});
    at::index_out(by_pair, table, {index.view({tokens, tokens})});
    return bias;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    const int64_t window = ctx->saved_data["window"].toInt();
    return {TableGradient(gradients[0], window), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor PositionBias(const at::Tensor& table, const at::Tensor& index, int64_t window) {
  return PositionBiasFunction::apply(table, index, window);
}

}  // namespace localformer
