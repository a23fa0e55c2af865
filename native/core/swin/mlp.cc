// See mlp.h.
#include "swin/mlp.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "kernels/cpu.h"
#include "kernels/rows.h"
#include "math/products.h"
#include "swin/branch.h"
#include "swin/chunk_budget.h"

namespace localformer {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Variable;
using torch::autograd::variable_list;

// [..., channels] as one map of all rows, which the norm needs no order of.
at::Tensor OneMap(const at::Tensor& t) { return t.contiguous().view({1, -1, t.size(-1)}); }

// What a backward pass works in, of a row, where it computes again what is cheap: GELU's output and
// then its gradient in the same place, with the branch's gradient or the norm's output beside it;
// and fc1's output and the norm's, where the one was not kept.
int64_t RowBytes(const at::Tensor& x, int64_t hidden, c10::ScalarType type, bool has_wide) {
  const int64_t channels = x.size(1), values = hidden + channels;
  return (has_wide ? values : 2 * values) * static_cast<int64_t>(c10::elementSize(type)) +
         channels * x.element_size();
}

struct Weights {
  NormParameters norm;
  const at::Tensor& fc1;
  const at::Tensor& fc1_bias;
  const at::Tensor& fc2;
  const at::Tensor& fc2_bias;
};

// What a pass computes, for a backward pass to keep; all but the statistics only where it was asked
// for.
struct Kept {
  NormStatistics statistics;
  at::Tensor normed;   // [B, H * W, C]
  at::Tensor fc1_out;  // [B, H * W, hidden]
  at::Tensor gelu;     // The same.
};

at::Tensor Compute(const at::Tensor& x, const at::Tensor& scale, const Weights& weights,
                   c10::ScalarType type, Result result, Keep keep, const KeptBytes* all_kept,
                   Kept* kept) {
  const at::Tensor maps = Maps(x);
  kept->normed = NormRows(maps, weights.norm, type, &kept->statistics);
  std::vector<at::Tensor> used = {weights.fc1, weights.fc1_bias};
  if (result != Result::kNone) used.insert(used.end(), {weights.fc2, weights.fc2_bias});
  const std::vector<at::Tensor> cast = CastAll(std::move(used), type);
  at::Tensor normed = kept->normed;
  if (!keep.rows) kept->normed.reset();
  if (keep.wide) {
    kept->fc1_out = LinearProduct(normed, cast[0], cast[1]);
    normed.reset();
  }
  if (result == Result::kNone) return NoValues(x.sizes(), x.options());
  const int64_t samples = maps.size(0), tokens = maps.size(1);
  const auto gelu = [&](int64_t begin, int64_t end) {
    if (keep.wide) return Gelu(kept->fc1_out.slice(0, begin, end));
    const at::Tensor wide = LinearProduct(normed.slice(0, begin, end), cast[0], cast[1]);
    if (end == samples) normed.reset();
    return Gelu(wide);
  };
  if (result == Result::kBranch) {
    kept->gelu = gelu(0, samples);
    const at::Tensor branch = LinearProduct(kept->gelu, cast[2], cast[3]);
    if (!keep.rows) kept->gelu.reset();
    return branch.view(x.sizes());
  }
  const at::Tensor scales = ScaleBySample(scale, x);
  at::Tensor sum = at::empty_like(maps);
  if (keep.rows) {
    kept->gelu = gelu(0, samples);
    AddRows(maps, LinearProduct(kept->gelu, cast[2], cast[3]), scales, sum);
    return sum.view(x.sizes());
  }
  const int64_t size =
      std::max<int64_t>(ForwardChunkRows(x.device(), type, samples * tokens, all_kept) / tokens, 1);
  for (int64_t begin = 0; begin < samples; begin += size) {
    const int64_t end = std::min(begin + size, samples);
    at::Tensor part = sum.slice(0, begin, end);
    AddRows(maps.slice(0, begin, end), LinearProduct(gelu(begin, end), cast[2], cast[3]),
            scales.defined() ? scales.slice(0, begin, end) : scales, part);
  }
  return sum.view(x.sizes());
}

// In: x [B, H, W, C] float32, scale [B, 1, 1, 1] or none, norm (weight, bias), fc1 (weight,
// bias), fc2 (weight, bias). Kept for the backward pass: x, the norm's statistics, and what `keep`
// says; the rest is computed again chunk by chunk.
struct MlpFunction : torch::autograd::Function<MlpFunction> {
  static Variable forward(AutogradContext* ctx, const at::Tensor& x,
                          const std::optional<at::Tensor>& scale, const at::Tensor& norm_weight,
                          const at::Tensor& norm_bias, const at::Tensor& weight1,
                          const at::Tensor& bias1, const at::Tensor& weight2,
                          const at::Tensor& bias2, c10::ScalarType type, Keep keep, Result result,
                          bool owns_gradient, const std::shared_ptr<KeptBytes>& all_kept) {
    Kept kept;
    const at::Tensor y = Compute(x, scale.value_or(at::Tensor()),
                                 {{norm_weight, norm_bias}, weight1, bias1, weight2, bias2}, type,
                                 result, keep, all_kept.get(), &kept);
    ctx->save_for_backward({x, kept.statistics.mean, kept.statistics.rstd, norm_weight, norm_bias,
                            weight1, bias1, weight2, scale.value_or(at::Tensor())});
    ctx->saved_data["type"] = type;
    ctx->saved_data["is_sum"] = result != Result::kBranch;
    ctx->saved_data["owns_gradient"] = owns_gradient;
    ctx->saved_data["booked"] =
        Book(all_kept, {x, kept.fc1_out, kept.normed, kept.gelu}, {weight1, weight2});
    KeepInside(ctx, {std::move(kept.fc1_out), std::move(kept.normed), std::move(kept.gelu)});
    return y;
  }

  static variable_list backward(AutogradContext* ctx, variable_list& gradients) {
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &norm_weight = saved[3], &norm_bias = saved[4], &weight1 = saved[5],
                     &bias1 = saved[6], &weight2 = saved[7];
    const Result result = ctx->saved_data["is_sum"].toBool() ? Result::kSum : Result::kBranch;
    const bool owns_gradient = ctx->saved_data["owns_gradient"].toBool();
    std::vector<at::Tensor> inside = TakeInside(ctx);
    const c10::ScalarType type = ctx->saved_data["type"].toScalarType();
    const at::Tensor x = Rows(Maps(saved[0])), mean = saved[1].view({-1}),
                     rstd = saved[2].view({-1});
    for (at::Tensor& tensor : inside) {
      if (tensor.defined()) tensor = Rows(tensor);
    }
    at::Tensor &fc1_out = inside[0], &normed = inside[1], &gelu = inside[2];
    const bool has_wide = fc1_out.defined(), has_normed = normed.defined();
    const bool has_gelu = gelu.defined();
    std::vector<at::Tensor> used = {weight1, weight2};
    if (!has_wide) used.push_back(bias1);
    const std::vector<at::Tensor> cast = CastAll(std::move(used), type);
    const at::Tensor &w1 = cast[0], &w2 = cast[1];
    at::Tensor dy = std::move(gradients[0]);
    // The residual's gradient is that of the sum; the branch's is added to it, rows by rows.
    at::Tensor dx;
    if (ctx->needs_input_grad(0)) {
      dx = Rows(Maps(InputGradientFrom(dy, saved[0], result, owns_gradient)));
    }
    dy = Rows(Maps(dy)).to(x.scalar_type());
    at::Tensor scale = ScaleBySample(saved[8], x);
    const int64_t count = x.size(0), tokens = scale.defined() ? count / scale.numel() : count;
    at::Tensor dnorm_weight, dnorm_bias, dw1, dw2;
    enum { kFc2, kFc1 };
    RowSums bias_sums({x.size(1), weight1.size(0)});
    // Where one pass gives GELU's output and its gradient, that is faster; else the one comes
    // first, so that they need not be there at once.
    const bool computes_first = !HasVectorKernels(x.device(), type);
    // Where every sample has a scale of its own, no chunk holds a part of one.
    const int64_t least = scale.defined() ? tokens : 1;
    const int64_t rows =
        has_gelu ? KeptChunkRows(x.device(), type, count)
                 : ChunkRows(x.device(), type, count, RowBytes(x, weight1.size(0), type, has_wide),
                             Room(ctx->saved_data["booked"], x));
    const int64_t size = std::max(rows / least, int64_t{1}) * least;
    for (int64_t begin = 0; begin < count; begin += size) {
      const int64_t end = std::min(begin + size, count);
      const auto part = [&](const at::Tensor& t) { return OneMap(t.slice(0, begin, end)); };
      const at::Tensor scales =
          scale.defined() ? scale.slice(0, begin / tokens, end / tokens) : scale;
      // What the last rows have used makes room for what comes next.
      const auto let_go = [&](at::Tensor& t) {
        if (end == count) t.reset();
      };
      at::Tensor dbranch = Rows(ScaleRows(
          dy.slice(0, begin, end).view({scales.defined() ? scales.numel() : 1, -1, dy.size(1)}),
          scales, type, bias_sums, kFc2));
      const auto norm_again = [&] {
        NormStatistics unused;
        return Rows(NormRows(part(x), {norm_weight, norm_bias}, type, &unused));
      };
      at::Tensor normed_part = has_normed ? normed.slice(0, begin, end) : at::Tensor();
      if (!has_wide && !has_normed) normed_part = norm_again();
      at::Tensor wide =
          has_wide ? fc1_out.slice(0, begin, end) : LinearProduct(normed_part, w1, cast[2]);
      let_go(fc1_out);
      at::Tensor da, again;
      if (computes_first) {
        AddWeightGradient(dw2, dbranch, has_gelu ? gelu.slice(0, begin, end) : Gelu(wide));
        let_go(gelu);
        da = InputGradient(dbranch, w2);
        dbranch.reset();
        GeluBackward(da, wide, again, bias_sums, kFc1);
      } else {
        da = InputGradient(dbranch, w2);
        if (!has_gelu) again = at::empty_like(da);
        GeluBackward(da, wide, again, bias_sums, kFc1);
        AddWeightGradient(dw2, dbranch, has_gelu ? gelu.slice(0, begin, end) : again);
        again.reset();
      }
      wide.reset();
      if (!normed_part.defined()) normed_part = norm_again();
      AddWeightGradient(dw1, da, normed_part);
      normed_part.reset();
      let_go(normed);
      const at::Tensor dnormed = OneMap(InputGradient(da, w1));
      da.reset();
      at::Tensor dx_part = dx.defined() ? part(dx) : dx;
      NormRowsBackward(
          dnormed, part(x),
          {mean.slice(0, begin, end).view({1, -1}), rstd.slice(0, begin, end).view({1, -1})},
          {norm_weight, norm_bias}, dx.defined() ? &dx_part : nullptr, dnorm_weight, dnorm_bias);
    }
    return {InputGradientTo(dx, saved[0]),
            Variable(),
            dnorm_weight,
            dnorm_bias,
            dw1,
            bias_sums.Of(kFc1),
            dw2,
            bias_sums.Of(kFc2),
            Variable(),
            Variable(),
            Variable(),
            Variable(),
            Variable()};
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
                            KeepOf(context, x.device(), fc1_.weight.size(1)), Result::kBranch,
                            context.owns_gradient, context.kept);
}

at::Tensor MlpBranch::AddTo(const at::Tensor& x, const std::optional<at::Tensor>& scale,
                            const ForwardContext& context) const {
  return MlpFunction::apply(
      x, scale, norm_.weight, norm_.bias, fc1_.weight, fc1_.bias, fc2_.weight, fc2_.bias,
      context.compute_type, KeepOf(context, x.device(), fc1_.weight.size(1)),
      context.needs_result ? Result::kSum : Result::kNone, context.owns_gradient, context.kept);
}

}  // namespace localformer
