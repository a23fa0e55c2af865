// See branch.h.
#include "swin/branch.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "memory/room_below_peak.h"

namespace localformer {

bool KeepsCheap(const ForwardContext& context) {
  return context.keep_cheap && at::GradMode::is_enabled();
}

int64_t ChunkRows(c10::Device device, int64_t rows, int64_t row_bytes) {
  constexpr int64_t kChunks = 16, kMinRows = 512;
  const int64_t share = std::max((rows + kChunks - 1) / kChunks, kMinRows);
  return std::max(share, RoomBelowPeak(device) / row_bytes);
}

bool IsOwn(const at::Tensor& t) {
  return t.use_count() == 1 && t.storage().use_count() == 1 && t.is_contiguous();
}

std::vector<at::Tensor> CastAll(std::vector<at::Tensor> tensors, c10::ScalarType type) {
  if (tensors.front().scalar_type() == type) return tensors;
  std::vector<at::Tensor> cast;
  for (const at::Tensor& tensor : tensors) {
    cast.push_back(at::empty(tensor.sizes(), tensor.options().dtype(type)));
  }
  at::_foreach_copy_(cast, tensors);
  return cast;
}

at::Tensor InputGradientFrom(const at::Tensor& gradient, const at::Tensor& x, Result result) {
  if (result == Result::kBranch) return at::zeros_like(x, {}, c10::MemoryFormat::Contiguous);
  return IsOwn(gradient) ? gradient : gradient.clone(c10::MemoryFormat::Contiguous);
}

at::Tensor ScaleBySample(const at::Tensor& scale, const at::Tensor& x) {
  return scale.defined() ? scale.reshape({-1}).to(x.scalar_type()) : scale;
}

}  // namespace localformer
