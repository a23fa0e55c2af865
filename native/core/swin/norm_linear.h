// A layer norm and a linear layer as one function of autograd, in either order: what lies between
// them is kept for the backward pass, or computed again in it (ForwardContext::keep_cheap). Maps
// are [B, H, W, C], float32 in and out (float64 where gradients are checked); products are of
// context.compute_type.
#pragma once

#include <ATen/core/Tensor.h>

#include "swin/unit.h"

namespace localformer {

// linear(norm(x)), of a linear layer without bias. Kept: x and the norm's statistics. Where its
// result is not needed (ForwardContext::needs_result), one without values.
at::Tensor LinearOfNorm(const at::Tensor& x, const LayerNorm& norm, const Linear& linear,
                        const ForwardContext& context);

// norm(linear(x)), of a linear layer with bias. Kept: x in the type of products and the norm's
// statistics.
at::Tensor NormOfLinear(const at::Tensor& x, const Linear& linear, const LayerNorm& norm,
                        const ForwardContext& context);

}  // namespace localformer
