// See mlp.h.
#include "swin/mlp.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

namespace localformer {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Variable;
using torch::autograd::variable_list;

// The backward pass is taken in so many chunks, none smaller than kMinRows tokens.
constexpr int64_t kChunks = 8;
constexpr int64_t kMinRows = 512;

at::Tensor Rows(const at::Tensor& x) { return x.reshape({-1, x.size(-1)}); }

// sum += a^T b. Products of bfloat16 are added up in float32.
void AddProduct(at::Tensor& sum, const at::Tensor& a, const at::Tensor& b) {
  if (a.scalar_type() == sum.scalar_type()) {
    sum.addmm_(a.t(), b);
  } else {
    sum.add_(at::mm(a.t(), b));
  }
}

// In: x [B, H, W, C] float32, norm (weight, bias), fc1 (weight, bias), fc2 (weight, bias).
// Kept for the backward pass: x, the norm's statistics, fc1's output, and, where `keep_cheap`, also
// the norm's and GELU's outputs, which else are computed again chunk by chunk.
struct MlpFunction : torch::autograd::Function<MlpFunction> {
  static Variable forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& norm_weight,
                          const at::Tensor& norm_bias, const at::Tensor& weight1,
                          const at::Tensor& bias1, const at::Tensor& weight2,
                          const at::Tensor& bias2, c10::ScalarType type, bool keep_cheap) {
    const auto [normed, mean, rstd] =
        at::native_layer_norm(x, {x.size(-1)}, norm_weight, norm_bias, 1e-5);
    const at::Tensor h = normed.to(type);
    const at::Tensor a = at::linear(h, weight1.to(type), bias1.to(type));
    const at::Tensor g = at::gelu(a);
    ctx->save_for_backward({x, mean, rstd, a, keep_cheap ? h : at::Tensor(),
                            keep_cheap ? g : at::Tensor(), norm_weight, norm_bias, weight1, weight2,
                            bias1, bias2});
    return at::linear(g, weight2.to(type), bias2.to(type));
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &x = saved[0], &mean = saved[1], &rstd = saved[2], &norm_weight = saved[6],
                     &norm_bias = saved[7], &weight1 = saved[8], &weight2 = saved[9];
    const c10::ScalarType type = saved[3].scalar_type();
    const at::Tensor a = Rows(saved[3]), dy = Rows(gradients[0]);
    const bool kept = saved[4].defined();
    const at::Tensor h = kept ? Rows(saved[4]) : at::Tensor();
    const at::Tensor g = kept ? Rows(saved[5]) : at::Tensor();
    const at::Tensor rows = Rows(x);
    const at::Tensor w1 = weight1.to(type), w2 = weight2.to(type);
    at::Tensor dw1 = at::zeros_like(weight1), dw2 = at::zeros_like(weight2);
    at::Tensor db1 = at::zeros_like(saved[10]), db2 = at::zeros_like(saved[11]);
    at::Tensor dh = at::empty_like(rows);
    const int64_t count = rows.size(0);
    const int64_t size = std::max((count + kChunks - 1) / kChunks, kMinRows);
    for (int64_t begin = 0; begin < count; begin += size) {
      const int64_t end = std::min(begin + size, count);
      const at::Tensor ai = a.slice(0, begin, end), dyi = dy.slice(0, begin, end);
      const at::Tensor hi = kept ? h.slice(0, begin, end)
                                 : at::layer_norm(rows.slice(0, begin, end), {x.size(-1)},
                                                  norm_weight, norm_bias, 1e-5)
                                       .to(type);
      AddProduct(dw2, dyi, kept ? g.slice(0, begin, end) : at::gelu(ai));
      db2.add_(dyi.sum(0, /*keepdim=*/false, at::kFloat));
      const at::Tensor da = at::gelu_backward(at::mm(dyi, w2), ai);
      AddProduct(dw1, da, hi);
      db1.add_(da.sum(0, /*keepdim=*/false, at::kFloat));
      dh.slice(0, begin, end).copy_(at::mm(da, w1));
    }
    auto [dx, dnorm_weight, dnorm_bias] =
        at::native_layer_norm_backward(dh.view_as(x), x, {x.size(-1)}, mean, rstd, norm_weight,
                                       norm_bias, {ctx->needs_input_grad(0), true, true});
    return {dx, dnorm_weight, dnorm_bias, dw1, db1, dw2, db2, Variable(), Variable()};
  }
};

}  // namespace

MlpBranch::MlpBranch(int64_t channels, int64_t hidden, at::Generator& generator)
    : norm_(LayerNorm::Create(channels)),
      fc1_(Linear::Create(channels, hidden, true, generator)),
      fc2_(Linear::Create(hidden, channels, true, generator)) {}

at::Tensor MlpBranch::Forward(const at::Tensor& x, const ForwardContext& context) const {
  return MlpFunction::apply(x, norm_.weight, norm_.bias, fc1_.weight, fc1_.bias, fc2_.weight,
                            fc2_.bias, context.compute_type, context.keep_cheap);
}

}  // namespace localformer
