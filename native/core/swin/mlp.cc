// See mlp.h.
#include "swin/mlp.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "math/products.h"

namespace localformer {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Variable;
using torch::autograd::variable_list;

// The backward pass is taken in so many chunks, none smaller than kMinRows tokens.
constexpr int64_t kChunks = 16;
constexpr int64_t kMinRows = 512;

at::Tensor Rows(const at::Tensor& x) { return x.reshape({-1, x.size(-1)}); }

// May its values be overwritten, because nothing else sees them?
bool IsOwn(const at::Tensor& t) {
  return t.use_count() == 1 && t.storage().use_count() == 1 && t.is_contiguous();
}

enum class Result { kBranch, kSum };

// In: x [B, H, W, C] float32, scale [B, 1, 1, 1] or none, norm (weight, bias), fc1 (weight,
// bias), fc2 (weight, bias). Kept for the backward pass: x, the norm's statistics, fc1's output,
// and, where `keep_cheap`, also the norm's and GELU's outputs, which else are computed again chunk
// by chunk.
struct MlpFunction : torch::autograd::Function<MlpFunction> {
  static Variable forward(AutogradContext* ctx, const at::Tensor& x,
                          const std::optional<at::Tensor>& scale, const at::Tensor& norm_weight,
                          const at::Tensor& norm_bias, const at::Tensor& weight1,
                          const at::Tensor& bias1, const at::Tensor& weight2,
                          const at::Tensor& bias2, c10::ScalarType type, bool keep_cheap,
                          Result result) {
    const auto [normed, mean, rstd] =
        at::native_layer_norm(x, {x.size(-1)}, norm_weight, norm_bias, 1e-5);
    const at::Tensor h = normed.to(type);
    const at::Tensor a = LinearProduct(h, weight1.to(type), bias1.to(type));
    const at::Tensor g = at::gelu(a);
    ctx->save_for_backward({x, mean, rstd, a, keep_cheap ? h : at::Tensor(),
                            keep_cheap ? g : at::Tensor(), norm_weight, norm_bias, weight1, weight2,
                            bias1, bias2, scale.value_or(at::Tensor())});
    ctx->saved_data["sum"] = result == Result::kSum;
    at::Tensor branch = LinearProduct(g, weight2.to(type), bias2.to(type));
    if (result == Result::kBranch) return branch;
    if (scale) branch.mul_(*scale);
    return type == x.scalar_type() ? branch.add_(x) : x + branch;
  }

  static variable_list backward(AutogradContext* ctx, variable_list& gradients) {
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &mean = saved[1], &rstd = saved[2], &norm_weight = saved[6],
                     &norm_bias = saved[7], &weight1 = saved[8], &weight2 = saved[9];
    const c10::ScalarType type = saved[3].scalar_type();
    const bool kept = saved[4].defined(), is_sum = ctx->saved_data["sum"].toBool();
    const at::Tensor x = Rows(saved[0]), a = Rows(saved[3]);
    const at::Tensor h = kept ? Rows(saved[4]) : at::Tensor();
    const at::Tensor g = kept ? Rows(saved[5]) : at::Tensor();
    const at::Tensor means = mean.reshape({-1, 1}), rstds = rstd.reshape({-1, 1});
    const at::Tensor w1 = weight1.to(type), w2 = weight2.to(type);
    at::Tensor scale = saved[12];
    if (scale.defined()) {
      scale = scale.reshape({-1, 1}).repeat_interleave(x.size(0) / scale.numel(), 0);
    }
    at::Tensor dy = std::move(gradients[0]);
    // The residual's gradient is that of the sum; the branch's is added to it, rows by rows.
    at::Tensor dx;
    if (ctx->needs_input_grad(0)) {
      dx = !is_sum     ? at::zeros_like(saved[0], {}, c10::MemoryFormat::Contiguous)
           : IsOwn(dy) ? dy
                       : dy.clone(c10::MemoryFormat::Contiguous);
    }
    dy = Rows(dy);
    const at::Tensor dx_rows = dx.defined() ? Rows(dx) : dx;
    at::Tensor dw1 = at::zeros_like(weight1), dw2 = at::zeros_like(weight2);
    at::Tensor db1 = at::zeros_like(saved[10]), db2 = at::zeros_like(saved[11]);
    at::Tensor dnorm_weight = at::zeros_like(norm_weight), dnorm_bias = at::zeros_like(norm_bias);
    const int64_t count = x.size(0), channels = x.size(1);
    const int64_t size = std::max((count + kChunks - 1) / kChunks, kMinRows);
    for (int64_t begin = 0; begin < count; begin += size) {
      const int64_t end = std::min(begin + size, count);
      const auto part = [&](const at::Tensor& t) { return t.slice(0, begin, end); };
      at::Tensor dyi = part(dy);
      if (scale.defined()) dyi = dyi * part(scale);
      dyi = dyi.to(type);
      const at::Tensor ai = part(a);
      const at::Tensor hi =
          kept ? part(h)
               : at::layer_norm(part(x), {channels}, norm_weight, norm_bias, 1e-5).to(type);
      AddWeightGradient(dw2, dyi, kept ? part(g) : at::gelu(ai));
      db2.add_(dyi.sum(0, /*keepdim=*/false, at::kFloat));
      at::Tensor da = InputGradient(dyi, w2);
      at::gelu_backward_out(da, da, ai);
      AddWeightGradient(dw1, da, hi);
      db1.add_(da.sum(0, /*keepdim=*/false, at::kFloat));
      const auto [dxi, dnorm_weight_i, dnorm_bias_i] = at::native_layer_norm_backward(
          InputGradient(da, w1).to(at::kFloat), part(x), {channels}, part(means), part(rstds),
          norm_weight, norm_bias, {dx.defined(), true, true});
      dnorm_weight.add_(dnorm_weight_i);
      dnorm_bias.add_(dnorm_bias_i);
      if (dx.defined()) part(dx_rows).add_(dxi);
    }
    return {dx,  Variable(), dnorm_weight, dnorm_bias, dw1,       db1,
            dw2, db2,        Variable(),   Variable(), Variable()};
  }
};

}  // namespace

MlpBranch::MlpBranch(int64_t channels, int64_t hidden, at::Generator& generator)
    : norm_(LayerNorm::Create(channels)),
      fc1_(Linear::Create(channels, hidden, true, generator)),
      fc2_(Linear::Create(hidden, channels, true, generator)) {}

at::Tensor MlpBranch::Forward(const at::Tensor& x, const ForwardContext& context) const {
  return MlpFunction::apply(x, std::optional<at::Tensor>(), norm_.weight, norm_.bias, fc1_.weight,
                            fc1_.bias, fc2_.weight, fc2_.bias, context.compute_type,
                            context.keep_cheap, Result::kBranch);
}

at::Tensor MlpBranch::AddTo(const at::Tensor& x, const std::optional<at::Tensor>& scale,
                            const ForwardContext& context) const {
  return MlpFunction::apply(x, scale, norm_.weight, norm_.bias, fc1_.weight, fc1_.bias, fc2_.weight,
                            fc2_.bias, context.compute_type, context.keep_cheap, Result::kSum);
}

}  // namespace localformer
