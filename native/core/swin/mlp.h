// The block's second branch with its residual: x + scale * fc2(gelu(fc1(norm(x)))). Its backward
// pass goes through the tokens in chunks, so that it never holds the wide layer's gradient as a
// whole, and works in the gradient that it is given where nobody else holds it. [B, H, W, C] -> [B,
// H, W, C]; the gradients are those of plain autograd.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

#include "swin/parameters.h"
#include "swin/unit.h"

namespace localformer {

class MlpBranch {
 public:
  MlpBranch(int64_t channels, int64_t hidden, at::Generator& generator);

  // The branch alone: float32 in, the result in context.compute_type.
  at::Tensor Forward(const at::Tensor& x, const ForwardContext& context) const;

  // x + scale * branch, float32. `scale` [B, 1, 1, 1] in context.compute_type; none: 1.
  at::Tensor AddTo(const at::Tensor& x, const std::optional<at::Tensor>& scale,
                   const ForwardContext& context) const;

  const LayerNorm& norm() const { return norm_; }
  const Linear& fc1() const { return fc1_; }
  const Linear& fc2() const { return fc2_; }

 private:
  LayerNorm norm_;
  Linear fc1_;
  Linear fc2_;
};

}  // namespace localformer
