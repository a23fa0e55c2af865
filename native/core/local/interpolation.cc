// See interpolation.h.
#include "local/interpolation.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <limits>
#include <utility>

namespace localformer {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// LibTorch's kernel for channels-last maps on CUDA gives at most 2^31 - 1 values: larger batches
// are taken in parts.
at::Tensor Upsample(const at::Tensor& x, int64_t to, bool align_corners) {
  const int64_t batch = x.size(0), values = x.size(1) * to * to;
  const int64_t size = std::max<int64_t>(std::numeric_limits<int32_t>::max() / values, 1);
  if (x.is_cpu() || batch <= size) return at::upsample_bilinear2d(x, {to, to}, align_corners);
  at::Tensor out =
      at::empty({batch, x.size(1), to, to}, x.options().memory_format(x.suggest_memory_format()));
  for (int64_t begin = 0; begin < batch; begin += size) {
    const int64_t end = std::min(begin + size, batch);
    at::Tensor part = out.slice(0, begin, end);
    at::upsample_bilinear2d_out(part, x.slice(0, begin, end), {to, to}, align_corners);
  }
  return out;
}

struct InterpolationFunction : torch::autograd::Function<InterpolationFunction> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& weights,
                            bool align_corners) {
    ctx->save_for_backward({weights});
    return Upsample(x, weights.size(1), align_corners);
  }

  // Rows first: the product over columns then has only the smaller map's rows.
  static variable_list backward(AutogradContext* ctx, variable_list& gradients) {
    at::Tensor gradient = std::move(gradients[0]);
    const at::Tensor weights = ctx->get_saved_variables()[0].to(gradient.scalar_type());
    const int64_t from = weights.size(0), to = weights.size(1);
    const int64_t b = gradient.size(0), c = gradient.size(1);
    gradient = gradient.permute({0, 2, 3, 1}).reshape({b, to, to * c});
    gradient = at::bmm(weights.expand({b, from, to}), gradient).view({b * from, to, c});
    gradient = at::bmm(weights.expand({b * from, from, to}), gradient).view({b, from, from, c});
    return {gradient.permute({0, 3, 1, 2}), at::Tensor(), at::Tensor()};
  }
};

// LibTorch's own weights: what becomes of maps that are 1 in one row and 0 elsewhere.
at::Tensor WeightsOf(int64_t from, int64_t to, bool align_corners) {
  return at::upsample_bilinear2d(at::eye(from).view({1, from, from, 1}), {to, 1}, align_corners)
      .reshape({from, to});
}

}  // namespace

Interpolation::Interpolation(int64_t from, int64_t to, bool align_corners)
    : align_corners_(align_corners) {
  if (from != to) weights_ = WeightsOf(from, to, align_corners);
}

at::Tensor Interpolation::Forward(const at::Tensor& x) const {
  return weights_.defined() ? InterpolationFunction::apply(x, weights_, align_corners_) : x;
}

void Interpolation::MoveBuffers(c10::Device device) {
  if (weights_.defined()) weights_ = weights_.to(device);
}

}  // namespace localformer
