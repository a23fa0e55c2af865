// What heads begin with where a map passes by in memory for every operation: LayerNorm and the mean
// over all tokens, of which nothing as large as the map is there but some samples' at a time.
// [B, H, W, C] -> [B, C].
#pragma once

#include <ATen/core/Tensor.h>

#include "swin/parameters.h"
#include "swin/unit.h"

namespace localformer {

at::Tensor PooledNorm(const at::Tensor& features, const LayerNorm& norm,
                      const ForwardContext& context);

}  // namespace localformer
