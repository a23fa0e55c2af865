// See select_tokens.h.
#include "local/select_tokens.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

namespace localformer {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct SelectFunction : torch::autograd::Function<SelectFunction> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& tokens,
                            const at::Tensor& rows) {
    ctx->save_for_backward({rows});
    ctx->saved_data["count"] = tokens.size(0);
    return tokens.index_select(0, rows);
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    const at::Tensor& gradient = gradients[0];
    const at::Tensor rows = ctx->get_saved_variables()[0];
    const int64_t count = ctx->saved_data["count"].toInt();
    return {at::zeros({count, gradient.size(1)}, gradient.options()).index_copy_(0, rows, gradient),
            at::Tensor()};
  }
};

}  // namespace

at::Tensor SelectTokens(const at::Tensor& map, const at::Tensor& rows) {
  return SelectFunction::apply(map.reshape({-1, map.size(-1)}), rows);
}

}  // namespace localformer
