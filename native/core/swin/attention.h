// Window attention with relative position bias: qkv -> softmax(q k^T / sqrt(d) + bias + mask) v ->
// proj.
#pragma once

#include <ATen/core/Tensor.h>

#include "swin/parameters.h"

namespace localformer {

class WindowAttention {
 public:
  // `mask`: [nW, window^2, window^2] of shifted windows, or undefined.
  WindowAttention(int64_t channels, int64_t heads, int64_t window, at::Tensor mask,
                  at::Generator& generator);

  // [B * nW, window^2, C] -> the same shape, both in `compute_type`.
  at::Tensor Forward(const at::Tensor& windows, c10::ScalarType compute_type) const;

  // Names below `attn.`.
  ParameterList Parameters() const;
  void MoveBuffers(c10::Device device);

 private:
  // [1 or nW, heads, window^2, window^2]: position bias plus mask.
  at::Tensor Bias() const;

  int64_t heads_;
  int64_t window_;
  int64_t tokens_;
  at::Tensor relative_position_bias_table_;  // [(2 * window - 1)^2, heads]
  at::Tensor relative_position_index_;       // int32 [window^4]
  at::Tensor mask_;                          // [nW, 1, window^2, window^2] or undefined
  Linear qkv_;
  Linear proj_;
};

}  // namespace localformer
