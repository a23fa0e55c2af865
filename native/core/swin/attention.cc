// See attention.h.
#include "swin/attention.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/custom_class.h>

#include <algorithm>
#include <utility>

#include "kernels/rows.h"
#include "kernels/window_attention.h"
#include "math/products.h"
#include "swin/branch.h"
#include "swin/chunk_budget.h"
#include "swin/position_bias.h"
#include "swin/window.h"

namespace localformer {

struct AttentionBranch::Layout : WindowLayout {
  int64_t side;                        // Of a window.
  at::Tensor relative_position_index;  // int64 [window^4]
};

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Variable;
using torch::autograd::variable_list;
using Layout = AttentionBranch::Layout;

// A layout as autograd keeps it.
struct KeptLayout : torch::CustomClassHolder {
  explicit KeptLayout(std::shared_ptr<const Layout> its) : layout(std::move(its)) {}
  std::shared_ptr<const Layout> layout;
};

// What a backward pass works in, of a token, where it computes again what is cheap: gradients of
// the branch and of q, k and v, the heads' result and its gradient; attention weights and their
// gradients, or the gradient of q, k and v in another order; and, where they were not kept, q, k
// and v themselves and the norm's output.
int64_t RowBytes(const at::Tensor& x, const Layout& layout, c10::ScalarType type, bool has_qkv) {
  return ((has_qkv ? 6 : 10) * x.size(2) + 3 * layout.heads * layout.tokens()) *
             static_cast<int64_t>(c10::elementSize(type)) +
         x.size(2) * x.element_size();
}

struct Weights {
  NormParameters norm;
  const at::Tensor& position_bias;
  const at::Tensor& qkv;
  const at::Tensor& qkv_bias;
  const at::Tensor& proj;
  const at::Tensor& proj_bias;
};

// What a pass computes, for a backward pass to keep; all but the statistics only where it was asked
// for.
struct Kept {
  NormStatistics statistics;
  at::Tensor normed;     // [B, H * W, C]
  at::Tensor qkv;        // [B, H * W, 3 C], as ForAttention gives it
  at::Tensor attention;  // [B * nW, heads, tokens, tokens]
  at::Tensor out;        // Of the heads, [B, H * W, C]
};

at::Tensor Compute(const at::Tensor& x, const at::Tensor& scale, const Weights& weights,
                   const Layout& layout, c10::ScalarType type, Result result, Keep keep,
                   const KeptBytes* all_kept, Kept* kept) {
  const at::Tensor maps = Maps(x);
  kept->normed = NormRows(maps, weights.norm, type, &kept->statistics);
  const std::vector<at::Tensor> cast =
      CastAll({weights.qkv, weights.qkv_bias, weights.proj, weights.proj_bias}, type);
  at::Tensor normed = kept->normed;
  if (!keep.rows) kept->normed.reset();
  const int64_t samples = maps.size(0), tokens = maps.size(1);
  const auto qkv_of = [&](int64_t begin, int64_t end) {
    at::Tensor qkv = LinearProduct(normed.slice(0, begin, end), cast[0], cast[1]);
    if (end == samples) normed.reset();  // Makes room for the same in another order.
    return ForAttention(std::move(qkv), layout);
  };
  if (keep.wide) kept->qkv = qkv_of(0, samples);
  const auto heads = [&](int64_t begin, int64_t end, at::Tensor* attention) {
    const at::Tensor qkv =
        keep.wide ? SamplesOf(kept->qkv, begin, end, layout) : qkv_of(begin, end);
    return WindowAttention(qkv, weights.position_bias, layout, attention);
  };
  const auto project = [&](const at::Tensor& out) { return LinearProduct(out, cast[2], cast[3]); };
  if (result == Result::kBranch) {
    kept->out = heads(0, samples, keep.heads ? &kept->attention : nullptr);
    const at::Tensor branch = project(kept->out);
    if (!keep.heads) kept->out.reset();
    return branch.view(x.sizes());
  }
  const at::Tensor scales = ScaleBySample(scale, x);
  at::Tensor sum = at::empty_like(maps);
  if (keep.heads) {
    kept->out = heads(0, samples, &kept->attention);
    AddRows(maps, project(kept->out), scales, sum);
    return sum.view(x.sizes());
  }
  const int64_t size =
      std::max<int64_t>(ForwardChunkRows(x.device(), type, samples * tokens, all_kept) / tokens, 1);
  for (int64_t begin = 0; begin < samples; begin += size) {
    const int64_t end = std::min(begin + size, samples);
    at::Tensor part = sum.slice(0, begin, end);
    AddRows(maps.slice(0, begin, end), project(heads(begin, end, nullptr)),
            scales.defined() ? scales.slice(0, begin, end) : scales, part);
  }
  return sum.view(x.sizes());
}

// In: x [B, H, W, C] float32, scale [B, 1, 1, 1] or none, norm (weight, bias), position bias
// [heads, tokens, tokens], qkv (weight, bias), proj (weight, bias). Kept for the backward pass: x,
// the norm's statistics, and what `keep` says; the rest is computed again chunk by chunk.
struct AttentionFunction : torch::autograd::Function<AttentionFunction> {
  static Variable forward(AutogradContext* ctx, const at::Tensor& x,
                          const std::optional<at::Tensor>& scale, const at::Tensor& norm_weight,
                          const at::Tensor& norm_bias, const at::Tensor& position_bias,
                          const at::Tensor& qkv, const at::Tensor& qkv_bias, const at::Tensor& proj,
                          const at::Tensor& proj_bias, const std::shared_ptr<const Layout>& layout,
                          c10::ScalarType type, Keep keep, Result result, bool owns_gradient,
                          const std::shared_ptr<KeptBytes>& all_kept) {
    Kept kept;
    const at::Tensor y =
        Compute(x, scale.value_or(at::Tensor()),
                {{norm_weight, norm_bias}, position_bias, qkv, qkv_bias, proj, proj_bias}, *layout,
                type, result, keep, all_kept.get(), &kept);
    // Looked at again only where attention is computed again; a leaf stays for other parts.
    const at::Tensor bias = kept.attention.defined() ? at::Tensor() : position_bias;
    const at::Tensor own_bias = position_bias.is_leaf() ? at::Tensor() : bias;
    ctx->save_for_backward({x, kept.statistics.mean, kept.statistics.rstd, norm_weight, norm_bias,
                            bias, qkv, qkv_bias, proj, scale.value_or(at::Tensor())});
    ctx->saved_data["type"] = type;
    ctx->saved_data["layout"] = c10::IValue::make_capsule(c10::make_intrusive<KeptLayout>(layout));
    ctx->saved_data["is_sum"] = result != Result::kBranch;
    ctx->saved_data["owns_gradient"] = owns_gradient;
    ctx->saved_data["booked"] =
        Book(all_kept, {x, kept.normed, kept.qkv, kept.attention, kept.out, own_bias}, {qkv, proj});
    KeepInside(ctx, {std::move(kept.normed), std::move(kept.qkv), std::move(kept.attention),
                     std::move(kept.out)});
    return y;
  }

  static variable_list backward(AutogradContext* ctx, variable_list& gradients) {
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &norm_weight = saved[3], &norm_bias = saved[4], &position_bias = saved[5],
                     &qkv_weight = saved[6], &qkv_bias = saved[7], &proj_weight = saved[8];
    std::vector<at::Tensor> inside = TakeInside(ctx);
    at::Tensor &normed = inside[0], &qkv = inside[1], &attention = inside[2], &out = inside[3];
    const bool kept = out.defined(), has_qkv = qkv.defined(), has_normed = normed.defined();
    const auto holder = ctx->saved_data["layout"].toCapsule();
    const Layout& layout = *static_cast<const KeptLayout&>(*holder).layout;
    const Result result = ctx->saved_data["is_sum"].toBool() ? Result::kSum : Result::kBranch;
    const bool owns_gradient = ctx->saved_data["owns_gradient"].toBool();
    const c10::ScalarType type = ctx->saved_data["type"].toScalarType();
    const at::Tensor x = Maps(saved[0]);
    const at::Tensor scale = ScaleBySample(saved[9], x);
    std::vector<at::Tensor> used = {qkv_weight, proj_weight};
    if (!has_qkv) used.push_back(qkv_bias);
    const std::vector<at::Tensor> cast = CastAll(std::move(used), type);
    const at::Tensor &w_qkv = cast[0], &w_proj = cast[1];

    at::Tensor dy = std::move(gradients[0]);
    // The residual's gradient is that of the sum; the branch's is added to it, chunk by chunk.
    at::Tensor dx;
    if (ctx->needs_input_grad(0)) dx = Maps(InputGradientFrom(dy, saved[0], result, owns_gradient));
    dy = Maps(dy).to(x.scalar_type());
    at::Tensor dnorm_weight, dnorm_bias, dqkv_weight, dproj_weight, dbias;
    enum { kProj, kQkv };
    RowSums bias_sums({x.size(2), 3 * x.size(2)});
    const int64_t samples = x.size(0), tokens = x.size(1);
    const int64_t rows =
        kept ? KeptChunkRows(x.device(), type, samples * tokens)
             : ChunkRows(x.device(), type, samples * tokens, RowBytes(x, layout, type, has_qkv),
                         Room(ctx->saved_data["booked"], x));
    const int64_t size = std::max<int64_t>(rows / tokens, 1);
    for (int64_t begin = 0; begin < samples; begin += size) {
      const int64_t end = std::min(begin + size, samples);
      const auto part = [&](const at::Tensor& t) {
        return t.defined() ? t.slice(0, begin, end) : t;
      };
      // What the last samples use makes room for what comes next.
      const auto let_go = [&](at::Tensor& t) {
        if (end == samples) t.reset();
      };
      at::Tensor dbranch = Rows(ScaleRows(part(dy), part(scale), type, bias_sums, kProj));
      if (kept) AddWeightGradient(dproj_weight, dbranch, Rows(part(out)));
      let_go(out);
      at::Tensor dout = InputGradient(dbranch, w_proj).view(part(x).sizes()), out_part;
      if (kept) dbranch.reset();
      const auto norm_again = [&] {
        NormStatistics again;
        return NormRows(part(x), {norm_weight, norm_bias}, type, &again);
      };
      at::Tensor normed_part = has_normed ? part(normed) : at::Tensor();
      let_go(normed);
      at::Tensor qkv_part;
      if (has_qkv) {
        qkv_part = SamplesOf(qkv, begin, end, layout);
      } else {
        if (!has_normed) normed_part = norm_again();
        qkv_part = ForAttention(LinearProduct(normed_part, w_qkv, cast[2]), layout);
      }
      at::Tensor attention_part;
      if (attention.defined()) {
        attention_part = attention.slice(0, begin * layout.windows(), end * layout.windows());
      }
      let_go(qkv);
      let_go(attention);
      at::Tensor dqkv = Rows(WindowAttentionBackward(
          std::move(dout), std::move(qkv_part), position_bias, layout, std::move(attention_part),
          kept ? nullptr : &out_part, bias_sums, kQkv, dbias));
      if (!kept) AddWeightGradient(dproj_weight, dbranch, Rows(out_part));
      dbranch.reset();
      out_part.reset();
      NormStatistics statistics{part(saved[1]), part(saved[2])};
      if (!normed_part.defined()) normed_part = norm_again();
      AddWeightGradient(dqkv_weight, dqkv, Rows(normed_part));
      normed_part.reset();
      const at::Tensor dnormed = Maps(InputGradient(dqkv, w_qkv).view(part(x).sizes()));
      dqkv.reset();
      at::Tensor dx_part = part(dx);
      NormRowsBackward(dnormed, part(x), statistics, {norm_weight, norm_bias},
                       dx.defined() ? &dx_part : nullptr, dnorm_weight, dnorm_bias);
    }
    return {InputGradientTo(dx, saved[0]),
            Variable(),
            dnorm_weight,
            dnorm_bias,
            dbias,
            dqkv_weight,
            bias_sums.Of(kQkv),
            dproj_weight,
            bias_sums.Of(kProj),
            Variable(),
            Variable(),
            Variable(),
            Variable(),
            Variable(),
            Variable()};
  }
};

}  // namespace

AttentionBranch::AttentionBranch(const FeatureShape& shape, int64_t heads, int64_t window,
                                 int64_t shift, at::Generator& generator)
    : layout_(std::make_shared<Layout>()),
      norm_(LayerNorm::Create(shape.channels)),
      relative_position_bias_table_(
          TruncatedNormalParameter({(2 * window - 1) * (2 * window - 1), heads}, 0.02, generator)),
      qkv_(Linear::Create(shape.channels, 3 * shape.channels, true, generator)),
      proj_(Linear::Create(shape.channels, shape.channels, true, generator)) {
  static_cast<WindowLayout&>(*layout_) =
      LayOutWindows(shape.height, shape.width, window, shift, heads);
  layout_->side = window;
  layout_->relative_position_index = RelativePositionIndex(window);
}

at::Tensor AttentionBranch::PositionBias() const {
  return localformer::PositionBias(relative_position_bias_table_, layout_->relative_position_index,
                                   layout_->side);
}

at::Tensor AttentionBranch::Forward(const at::Tensor& x, const at::Tensor& position_bias,
                                    const ForwardContext& context) const {
  return AttentionFunction::apply(x, std::optional<at::Tensor>(), norm_.weight, norm_.bias,
                                  position_bias, qkv_.weight, qkv_.bias, proj_.weight, proj_.bias,
                                  std::shared_ptr<const Layout>(layout_), context.compute_type,
                                  KeepOf(context, x.device(), norm_.weight.size(0)),
                                  Result::kBranch, context.owns_gradient, context.kept);
}

at::Tensor AttentionBranch::AddTo(const at::Tensor& x, const at::Tensor& position_bias,
                                  const std::optional<at::Tensor>& scale,
                                  const ForwardContext& context) const {
  return AttentionFunction::apply(x, scale, norm_.weight, norm_.bias, position_bias, qkv_.weight,
                                  qkv_.bias, proj_.weight, proj_.bias,
                                  std::shared_ptr<const Layout>(layout_), context.compute_type,
                                  KeepOf(context, x.device(), norm_.weight.size(0)), Result::kSum,
                                  context.owns_gradient, context.kept);
}

ParameterList AttentionBranch::Parameters() const {
  ParameterList list;
  list.emplace_back("relative_position_bias_table", relative_position_bias_table_);
  qkv_.Collect("qkv", &list);
  proj_.Collect("proj", &list);
  return list;
}

int64_t AttentionBranch::weights_per_token() const { return layout_->heads * layout_->tokens(); }

int64_t AttentionBranch::weights_per_window() const {
  return weights_per_token() * layout_->tokens();
}

void AttentionBranch::MoveBuffers(c10::Device device) {
  const auto move = [&](at::Tensor& t) {
    if (t.defined()) t = t.to(device);
  };
  move(layout_->token_at);
  move(layout_->window_of);
  move(layout_->place_of);
  move(layout_->mask);
  move(layout_->relative_position_index);
}

}  // namespace localformer
