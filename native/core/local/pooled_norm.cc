// See pooled_norm.h.
#include "local/pooled_norm.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <vector>

#include "swin/chunk_budget.h"
#include "swin/compute_type.h"

namespace localformer {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Means over the tokens of what is normalised, without weight and bias: these are the same for all
// tokens, and so are applied to the mean.
struct MeanNorm : torch::autograd::Function<MeanNorm> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& maps, int64_t size) {
    const int64_t batch = maps.size(0), channels = maps.size(2);
    at::Tensor means = at::empty({batch, channels}, maps.options());
    variable_list kept = {maps};
    for (int64_t begin = 0; begin < batch; begin += size) {
      const int64_t end = std::min(begin + size, batch);
      const auto [normed, mean, rstd] =
          at::native_layer_norm(maps.slice(0, begin, end), {channels}, {}, {}, LayerNorm::kEps);
      at::Tensor part = means.slice(0, begin, end);
      at::mean_out(part, normed, at::IntArrayRef({1}));
      kept.push_back(mean);
      kept.push_back(rstd);
    }
    ctx->save_for_backward(kept);
    ctx->saved_data["size"] = size;
    return means;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    const variable_list kept = ctx->get_saved_variables();
    const at::Tensor& maps = kept[0];
    const int64_t size = ctx->saved_data["size"].toInt(), batch = maps.size(0);
    const at::Tensor share = gradients[0].div(static_cast<double>(maps.size(1))).unsqueeze(1);
    at::Tensor dmaps;
    for (int64_t begin = 0, k = 1; begin < batch; begin += size, k += 2) {
      const int64_t end = std::min(begin + size, batch);
      const at::Tensor part = maps.slice(0, begin, end);
      const at::Tensor dpart = std::get<0>(at::native_layer_norm_backward(
          share.slice(0, begin, end).expand(part.sizes()), part, {maps.size(2)}, kept[k],
          kept[k + 1], {}, {}, {true, false, false}));
      if (size >= batch) return {dpart, at::Tensor()};
      if (!dmaps.defined()) dmaps = at::empty_like(maps);
      dmaps.slice(0, begin, end).copy_(dpart);
    }
    return {dmaps, at::Tensor()};
  }
};

}  // namespace

at::Tensor PooledNorm(const at::Tensor& features, const LayerNorm& norm,
                      const ForwardContext& context) {
  // A part of the batch: of a micro-batch it may be all.
  const int64_t batch = context.batch_size > 0 ? context.batch_size : features.size(0);
  const int64_t parts = AuxiliaryParts(context.compute_type), part = (batch + parts - 1) / parts;
  // In even parts of about that size: launches count more than half of one.
  const int64_t own = std::max<int64_t>((features.size(0) + part / 2) / part, 1);
  const int64_t size = (features.size(0) + own - 1) / own;
  const at::Tensor maps = features.to(StreamType(features.scalar_type()))
                              .contiguous()
                              .view({features.size(0), -1, features.size(3)});
  return at::addcmul(norm.bias, MeanNorm::apply(maps, size), norm.weight);
}

}  // namespace localformer
