// See branch.h.
#include "swin/branch.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>

namespace localformer {

bool KeepsCheap(const ForwardContext& context) {
  return context.keep_cheap && at::GradMode::is_enabled();
}

int64_t ChunkRows(int64_t rows) {
  constexpr int64_t kChunks = 16, kMinRows = 512;
  return std::max((rows + kChunks - 1) / kChunks, kMinRows);
}

bool IsOwn(const at::Tensor& t) {
  return t.use_count() == 1 && t.storage().use_count() == 1 && t.is_contiguous();
}

at::Tensor InputGradientFrom(const at::Tensor& gradient, const at::Tensor& x, Result result) {
  if (result == Result::kBranch) return at::zeros_like(x, {}, c10::MemoryFormat::Contiguous);
  return IsOwn(gradient) ? gradient : gradient.clone(c10::MemoryFormat::Contiguous);
}

at::Tensor ScaleBySample(const at::Tensor& scale, const at::Tensor& x) {
  return scale.defined() ? scale.reshape({-1}).to(x.scalar_type()) : scale;
}

}  // namespace localformer
