// See norm_linear.h.
#include "swin/norm_linear.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <utility>
#include <vector>

#include "kernels/rows.h"
#include "math/products.h"
#include "swin/branch.h"
#include "swin/compute_type.h"

namespace localformer {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Variable;
using torch::autograd::variable_list;

// Of maps like `x`, with so many channels.
std::vector<int64_t> SizesOf(const at::Tensor& x, int64_t channels) {
  std::vector<int64_t> sizes = x.sizes().vec();
  sizes.back() = channels;
  return sizes;
}

// In: x [B, H, W, C], norm (weight, bias) [C], weight [out, C].
struct LinearOfNormFunction : torch::autograd::Function<LinearOfNormFunction> {
  static Variable forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& norm_weight,
                          const at::Tensor& norm_bias, const at::Tensor& weight,
                          c10::ScalarType type, bool keeps_normed, bool needs_result) {
    NormStatistics statistics;
    at::Tensor normed = NormRows(Maps(x), {norm_weight, norm_bias}, type, &statistics);
    ctx->save_for_backward({x, statistics.mean, statistics.rstd, norm_weight, norm_bias, weight});
    ctx->saved_data["type"] = type;
    at::Tensor mapped;
    if (needs_result) mapped = LinearProduct(normed, CastAll({weight}, type)[0], {});
    if (!keeps_normed) normed.reset();
    KeepInside(ctx, {std::move(normed)});
    const std::vector<int64_t> sizes = SizesOf(x, weight.size(0));
    return needs_result ? mapped.to(StreamType(type)).view(sizes)
                        : NoValues(sizes, x.options().dtype(StreamType(type)));
  }

  static variable_list backward(AutogradContext* ctx, variable_list& gradients) {
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &norm_weight = saved[3], &norm_bias = saved[4], &weight = saved[5];
    const NormStatistics statistics{saved[1], saved[2]};
    const NormParameters norm{norm_weight, norm_bias};
    const c10::ScalarType type = ctx->saved_data["type"].toScalarType();
    at::Tensor normed = std::move(TakeInside(ctx)[0]);
    const at::Tensor x = Maps(saved[0]);
    at::Tensor dy = std::move(gradients[0]);
    dy = Rows(Maps(dy).to(type));
    at::Tensor dx, dweight, dnorm_weight, dnorm_bias;
    if (!normed.defined()) {
      NormStatistics again;
      normed = NormRows(x, norm, type, &again);
    }
    AddWeightGradient(dweight, dy, Rows(normed));
    normed.reset();
    const at::Tensor dnormed = InputGradient(dy, CastAll({weight}, type)[0]).view(x.sizes());
    dy.reset();
    NormRowsBackward(dnormed, x, statistics, norm, ctx->needs_input_grad(0) ? &dx : nullptr,
                     dnorm_weight, dnorm_bias);
    return {InputGradientTo(dx, saved[0]),
            dnorm_weight,
            dnorm_bias,
            dweight,
            Variable(),
            Variable(),
            Variable()};
  }
};

// In: x [B, H, W, in] of the products' type, weight [C, in], bias [C], norm (weight, bias) [C].
struct NormOfLinearFunction : torch::autograd::Function<NormOfLinearFunction> {
  static at::Tensor Mapped(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
    const c10::ScalarType type = x.scalar_type();
    const std::vector<at::Tensor> cast = CastAll({weight, bias}, type);
    return LinearProduct(Maps(x), cast[0], cast[1]).to(StreamType(type));
  }

  static Variable forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& weight,
                          const at::Tensor& bias, const at::Tensor& norm_weight,
                          const at::Tensor& norm_bias, bool keeps_mapped) {
    at::Tensor mapped = Mapped(x, weight, bias);
    NormStatistics statistics;
    const at::Tensor y =
        NormRows(mapped, {norm_weight, norm_bias}, mapped.scalar_type(), &statistics);
    ctx->save_for_backward(
        {x, statistics.mean, statistics.rstd, weight, bias, norm_weight, norm_bias});
    KeepInside(ctx, {keeps_mapped ? std::move(mapped) : at::Tensor()});
    return y.view(SizesOf(x, weight.size(0)));
  }

  static variable_list backward(AutogradContext* ctx, variable_list& gradients) {
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &x = saved[0], &weight = saved[3], &bias = saved[4], &norm_weight = saved[5],
                     &norm_bias = saved[6];
    const c10::ScalarType type = x.scalar_type();
    at::Tensor mapped = std::move(TakeInside(ctx)[0]);
    if (!mapped.defined()) mapped = Mapped(x, weight, bias);
    at::Tensor dmapped, dx, dweight, dnorm_weight, dnorm_bias;
    at::Tensor dy = std::move(gradients[0]);
    NormRowsBackward(Maps(dy).to(mapped.scalar_type()), mapped, {saved[1], saved[2]},
                     {norm_weight, norm_bias}, &dmapped, dnorm_weight, dnorm_bias);
    mapped.reset();
    const at::Tensor dbias = SumOfRows(Rows(dmapped), dmapped.scalar_type());
    dy = Rows(dmapped.to(type));
    dmapped.reset();
    AddWeightGradient(dweight, dy, Rows(Maps(x)));
    if (ctx->needs_input_grad(0)) {
      dx = InputGradient(dy, CastAll({weight}, type)[0]).view(x.sizes());
    }
    return {dx, dweight, dbias, dnorm_weight, dnorm_bias, Variable()};
  }
};

}  // namespace

at::Tensor LinearOfNorm(const at::Tensor& x, const LayerNorm& norm, const Linear& linear,
                        const ForwardContext& context) {
  return LinearOfNormFunction::apply(x, norm.weight, norm.bias, linear.weight, context.compute_type,
                                     context.keep_cheap, context.needs_result);
}

at::Tensor NormOfLinear(const at::Tensor& x, const Linear& linear, const LayerNorm& norm,
                        const ForwardContext& context) {
  return NormOfLinearFunction::apply(x.to(context.compute_type), linear.weight, linear.bias,
                                     norm.weight, norm.bias, context.keep_cheap);
}

}  // namespace localformer
