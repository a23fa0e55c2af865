// Attention inside the windows of maps, softmax(scale q k^T + bias + mask) v, with its gradients:
// on the CPU one head of one window after the other, so that no more than one map of weights is at
// hand, elsewhere by batched products. Tokens come and go in the order of their map; windows are
// taken out of it, and put back, where heads are.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <cstdint>

#include "kernels/rows.h"

namespace localformer {

// What all maps have in common. Indices are int64.
struct WindowLayout {
  int64_t heads = 1;
  at::Tensor token_at;  // [windows, tokens]: of a map, the token at each place of each window
  at::Tensor window_of, place_of;  // [all tokens of a map]: where each of them stands
  at::Tensor mask;                 // float32 [windows, tokens, tokens], 0 or -100; undefined: none

  int64_t windows() const { return token_at.size(0); }
  int64_t tokens() const { return token_at.size(1); }
};

// qkv [samples, all tokens, 3 * channels], q before k before v, each by head, as the functions
// below take it: as it is on the CPU, as [3, samples * windows * heads, tokens, width] elsewhere. A
// copy that is kept for the backward pass is not made again there.
at::Tensor ForAttention(at::Tensor qkv, const WindowLayout& layout);

// Samples [begin, end) of what ForAttention gave.
at::Tensor SamplesOf(const at::Tensor& qkv, int64_t begin, int64_t end, const WindowLayout& layout);

// qkv as ForAttention gives it, bias [heads, tokens, tokens] of the residual stream's type ->
// [samples, all tokens, channels]. `attention`: receives the weights [samples * windows, heads,
// tokens, tokens]; null: not wanted.
at::Tensor WindowAttention(const at::Tensor& qkv, const at::Tensor& bias,
                           const WindowLayout& layout, at::Tensor* attention);

// From the gradient of the result that of qkv, in the order in which ForAttention was given it. Its
// sum over all tokens is added to the n-th of `sums`, the bias's gradient to `dbias`
// [heads, tokens, tokens], which may be undefined at first. `attention`: the weights, where they
// were kept; undefined: they are computed again, with the bias, which is not looked at else. `out`:
// receives WindowAttention's result; null: not wanted. Tensors that nobody else holds are let go as
// soon as they have been used.
at::Tensor WindowAttentionBackward(at::Tensor gradient, at::Tensor qkv, const at::Tensor& bias,
                                   const WindowLayout& layout, at::Tensor attention,
                                   at::Tensor* out, RowSums& sums, size_t n, at::Tensor& dbias);

}  // namespace localformer
