// Some tokens of a map, for losses that are taken over a drawn part (docs/method.md, section 5).
#pragma once

#include <ATen/core/Tensor.h>

namespace localformer {

// map [..., C], rows int64 [n], each at most once and counted over all that stands before C
// -> [n, C]. The gradient writes every row once: nothing is added up, in whatever order.
at::Tensor SelectTokens(const at::Tensor& map, const at::Tensor& rows);

}  // namespace localformer
