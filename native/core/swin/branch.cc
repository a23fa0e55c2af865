// See branch.h.
#include "swin/branch.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/custom_class.h>

#include <algorithm>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

#include "math/backends.h"

namespace localformer {

at::Tensor NoValues(at::IntArrayRef shape, const at::TensorOptions& options) {
  return at::empty_strided(shape, std::vector<int64_t>(shape.size(), 0), options);
}

at::Tensor Maps(const at::Tensor& x) { return x.contiguous().view({x.size(0), -1, x.size(-1)}); }

at::Tensor Rows(const at::Tensor& t) { return t.view({-1, t.size(-1)}); }

Keep KeepOf(const ForwardContext& context, c10::Device device, int64_t channels) {
  // In maps of few channels the first product's output is most of what there is to keep, and the
  // cheapest of it to compute again: a value costs as many multiplications as there are channels.
  // Ours, measured.
  const int64_t few_channels = HasFastProducts(device, context.compute_type) ? 512 : 256;
  if (!at::GradMode::is_enabled()) return {};
  // A chunk's backward pass follows at once, and computes GELU itself.
  const bool is_chunk = context.kept != nullptr && context.kept->is_chunk();
  Keep keep;
  keep.heads = context.keep_cheap;
  keep.rows = context.keep_cheap && !is_chunk;
  keep.wide = context.keep_cheap || channels > few_channels;
  return keep;
}

int64_t BytesOf(const std::vector<at::Tensor>& tensors) {
  int64_t bytes = 0;
  for (const at::Tensor& tensor : tensors) {
    if (tensor.defined()) bytes += static_cast<int64_t>(tensor.nbytes());
  }
  return bytes;
}

void KeepInside(torch::autograd::AutogradContext* ctx, std::vector<at::Tensor> tensors) {
  c10::List<std::optional<at::Tensor>> kept;
  for (at::Tensor& tensor : tensors) {
    kept.push_back(tensor.defined() ? std::make_optional(std::move(tensor)) : std::nullopt);
  }
  ctx->saved_data["inside"] = std::move(kept);
}

std::vector<at::Tensor> TakeInside(torch::autograd::AutogradContext* ctx) {
  const c10::IValue kept = std::move(ctx->saved_data["inside"]);
  ctx->saved_data.erase("inside");
  std::vector<at::Tensor> tensors;
  for (const c10::IValue& tensor : kept.toListRef()) {
    tensors.push_back(tensor.isNone() ? at::Tensor() : tensor.toTensor());
  }
  return tensors;
}

namespace {

struct Booked : torch::CustomClassHolder {
  Booked(std::shared_ptr<KeptBytes> its, int64_t up_to) : all(std::move(its)), through(up_to) {}
  std::shared_ptr<KeptBytes> all;
  int64_t through;
};

}  // namespace

c10::IValue Book(const std::shared_ptr<KeptBytes>& all, const std::vector<at::Tensor>& kept,
                 const std::vector<at::Tensor>& weights) {
  const int64_t through = all == nullptr ? 0 : all->Add(BytesOf(kept), BytesOf(weights));
  return c10::IValue::make_capsule(c10::make_intrusive<Booked>(all, through));
}

int64_t Room(const c10::IValue& booked, const at::Tensor& x) {
  const auto holder = booked.toCapsule();
  const auto& own = static_cast<const Booked&>(*holder);
  if (own.all == nullptr) return 0;
  if (own.all->is_chunk()) return std::numeric_limits<int64_t>::max();
  // What was freed lies in pieces between what is still kept: a chunk that takes more of it finds
  // no piece, and the allocator reserves others (half as much more at 100 %). Ours, measured.
  constexpr int64_t kPercent = 30;
  return std::max<int64_t>((own.all->total() - own.through) * kPercent / 100 - BytesOf({x}), 0);
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

at::Tensor InputGradientFrom(const at::Tensor& gradient, const at::Tensor& x, Result result,
                             bool owns_gradient) {
  if (result == Result::kBranch) return at::zeros_like(x, {}, c10::MemoryFormat::Contiguous);
  const bool is_own = IsOwn(gradient) || (owns_gradient && gradient.is_contiguous());
  return is_own ? gradient : gradient.clone(c10::MemoryFormat::Contiguous);
}

at::Tensor InputGradientTo(const at::Tensor& dx, const at::Tensor& x) {
  if (!dx.defined()) return dx;
  const at::Tensor as_x = dx.view(x.sizes());
  return as_x.is_cpu() ? as_x.detach() : as_x;
}

at::Tensor ScaleBySample(const at::Tensor& scale, const at::Tensor& x) {
  return scale.defined() ? scale.reshape({-1}).to(x.scalar_type()) : scale;
}

}  // namespace localformer
