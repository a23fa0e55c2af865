// The block's first branch with its residual: x + scale * proj(attention(norm(x))), attention
// inside (shifted) windows with relative position bias. [B, H, W, C] -> [B, H, W, C]; the gradients
// are those of plain autograd. Its backward pass goes through the samples in chunks and works in
// the gradient that it is given where nobody else holds it.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

#include "swin/parameters.h"
#include "swin/unit.h"

namespace localformer {

class AttentionBranch {
 public:
  // `window` divides the map; `shift` of its windows, 0: none.
  AttentionBranch(const FeatureShape& shape, int64_t heads, int64_t window, int64_t shift,
                  at::Generator& generator);

  // The branch alone: float32 in, the result in context.compute_type. `position_bias` as
  // PositionBias gives it.
  at::Tensor Forward(const at::Tensor& x, const at::Tensor& position_bias,
                     const ForwardContext& context) const;

  // x + scale * branch, float32. `scale` [B, 1, 1, 1] in context.compute_type; none: 1.
  at::Tensor AddTo(const at::Tensor& x, const at::Tensor& position_bias,
                   const std::optional<at::Tensor>& scale, const ForwardContext& context) const;

  const LayerNorm& norm() const { return norm_; }
  // Names below `attn.`.
  ParameterList Parameters() const;
  void MoveBuffers(c10::Device device);
  // One for each head and token of a window.
  int64_t weights_per_token() const;
  // As many as the position bias has values.
  int64_t weights_per_window() const;

  // [heads, tokens, tokens] of a window, for autograd.
  at::Tensor PositionBias() const;

  // What is no parameter: how windows lie in the map.
  struct Layout;

 private:
  std::shared_ptr<Layout> layout_;
  LayerNorm norm_;
  at::Tensor relative_position_bias_table_;  // [(2 * window - 1)^2, heads]
  Linear qkv_;
  Linear proj_;
};

}  // namespace localformer
