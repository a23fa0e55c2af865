// Attention inside windows, softmax(scale q k^T + bias + mask) v, with its gradients: on the CPU
// one head of one window after the other, so that no more than one map of weights is at hand,
// elsewhere by batched products.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace localformer {

// What all windows have in common.
struct WindowBias {
  at::Tensor bias;  // [heads, tokens, tokens], of the residual stream's type
  at::Tensor mask;  // The same [masks, tokens, tokens], 0 or -100; window w has mask w % masks.
                    // Undefined: none.
  int64_t heads = 1;
};

// qkv: [windows, tokens, 3 * channels], q before k before v, each by head -> [windows, tokens,
// channels]. `attention`: receives the weights [windows, heads, tokens, tokens]; null: not wanted.
// Whole maps: `windows` is a multiple of the masks.
at::Tensor WindowAttention(const at::Tensor& qkv, const WindowBias& bias, at::Tensor* attention);

// From the gradient of the result that of qkv. Its sum over all tokens is added to `dqkv_sums` [3 *
// channels], the bias's gradient to `dbias` [heads, tokens, tokens]; both may be undefined at
// first. `attention`: the weights, where they were kept; undefined: they are computed again. `out`:
// receives WindowAttention's result; null: not wanted.
at::Tensor WindowAttentionBackward(const at::Tensor& gradient, const at::Tensor& qkv,
                                   const WindowBias& bias, const at::Tensor& attention,
                                   at::Tensor* out, at::Tensor& dqkv_sums, at::Tensor& dbias);

}  // namespace localformer
