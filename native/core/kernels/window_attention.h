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

// qkv [windows, tokens, 3 * channels], q before k before v, each by head, as the functions below
// take it: as it is on the CPU, as [3, windows * heads, tokens, width] elsewhere. A copy that is
// kept for the backward pass is not made again there.
at::Tensor ForAttention(at::Tensor qkv, const WindowBias& bias);

// Windows [begin, end) of what ForAttention gave.
at::Tensor WindowsOf(const at::Tensor& qkv, int64_t begin, int64_t end, const WindowBias& bias);

// qkv as ForAttention gives it -> [windows, tokens, channels]. `attention`: receives the weights
// [windows, heads, tokens, tokens]; null: not wanted. Whole maps: `windows` is a multiple of the
// masks.
at::Tensor WindowAttention(const at::Tensor& qkv, const WindowBias& bias, at::Tensor* attention);

// Does the backward pass look at the bias again, where it is given these?
bool BackwardTakesBias(const at::Tensor& qkv, const at::Tensor& attention);

// From the gradient of the result that of qkv. Its sum over all tokens is added to `dqkv_sums` [3 *
// channels], the bias's gradient to `dbias` [heads, tokens, tokens]; both may be undefined at
// first. `attention`: the weights, where they were kept; undefined: they are computed again. `out`:
// receives WindowAttention's result; null: not wanted. Tensors that nobody else holds are let go
// as soon as they have been used.
at::Tensor WindowAttentionBackward(at::Tensor gradient, at::Tensor qkv, const WindowBias& bias,
                                   at::Tensor attention, at::Tensor* out, at::Tensor& dqkv_sums,
                                   at::Tensor& dbias);

}  // namespace localformer
