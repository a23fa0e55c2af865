// See window_attention.h.
#include "kernels/window_attention.h"

#include <ATen/ATen.h>

#include <cmath>
#include <limits>
#include <utility>

#include "kernels/cpu.h"
#include "kernels/rows.h"
#include "math/work_count.h"

namespace localformer {
namespace {

// Above that a head's scratch leaves the cache, and batched products are faster.
constexpr int64_t kMostTokens = 256;

bool TakesVectors(const at::Tensor& qkv, const WindowLayout& layout) {
  return HasVectorKernels(qkv.device(), qkv.scalar_type()) && layout.tokens() <= kMostTokens;
}

double ScaleOf(int64_t width) { return 1.0 / std::sqrt(static_cast<double>(width)); }

// Has ForAttention laid it out by head?
bool IsByHead(const at::Tensor& qkv) { return qkv.dim() == 4; }

// --- by batched products ---

// [samples, all tokens, parts * channels] -> [parts, samples * windows * heads, tokens, width]: one
// copy that cuts windows and lays heads out as batched products want them.
at::Tensor ByHead(const at::Tensor& x, int64_t parts, const WindowLayout& layout) {
  const int64_t samples = x.size(0), heads = layout.heads, width = x.size(2) / parts / heads;
  at::Tensor out =
      at::empty({parts, samples, layout.windows(), heads, layout.tokens(), width}, x.options());
  at::Tensor places = out.permute({1, 2, 4, 0, 3, 5});
  at::index_out(places, x.view({samples, x.size(1), parts, heads, width}),
                {std::nullopt, layout.token_at});
  return out.view({parts, -1, layout.tokens(), width});
}

// The reverse.
at::Tensor ByToken(const at::Tensor& x, const WindowLayout& layout) {
  const int64_t parts = x.size(0), heads = layout.heads, width = x.size(3);
  const at::Tensor places = x.view({parts, -1, layout.windows(), heads, layout.tokens(), width})
                                .permute({1, 2, 4, 0, 3, 5});
  // Into a tensor of its own: the operation's would have the order of memory of `places`.
  at::Tensor out =
      at::empty({places.size(0), layout.place_of.size(0), parts, heads, width}, x.options());
  at::index_out(out, places, {std::nullopt, layout.window_of, layout.place_of});
  return out.view({out.size(0), out.size(1), -1});
}

at::Tensor WeightsOf(const at::Tensor& q, const at::Tensor& k, const at::Tensor& bias,
                     const WindowLayout& layout) {
  const int64_t windows = layout.windows(), heads = layout.heads, tokens = layout.tokens();
  at::Tensor logits = at::empty({q.size(0), tokens, tokens}, q.options());
  at::Tensor maps = logits.view({-1, windows, heads, tokens, tokens});
  if (layout.mask.defined() && maps.is_cpu()) {
    // What another type is computed in would be as large as all maps there.
    maps.copy_(bias + layout.mask.unsqueeze(1));
  } else if (layout.mask.defined()) {
    at::add_out(maps, bias.expand_as(maps), layout.mask.unsqueeze(1));
  } else {
    maps.copy_(bias);
  }
  logits.baddbmm_(q, k.transpose(1, 2), /*beta=*/1, ScaleOf(q.size(2)));
  return at::softmax(logits, -1);
}

// --- by vectors ---

// [.., tokens, tokens] with rows filled up to whole vectors.
at::Tensor PadRows(const at::Tensor& t, double value) {
  return at::constant_pad_nd(t, {0, Padded(t.size(-1)) - t.size(-1)}, value);
}

// What a pass over windows works in.
struct Tables {
  at::Tensor bias;    // [heads, tokens, padded], padding -inf
  at::Tensor mask;    // [windows, tokens, padded], or none; both none where weights are given
  at::Tensor floats;  // Scratch of each thread.
};

Tables TablesOf(const at::Tensor& qkv, const at::Tensor& bias, const WindowLayout& layout) {
  Tables tables;
  if (bias.defined()) {
    tables.bias = PadRows(bias, -std::numeric_limits<double>::infinity());
    if (layout.mask.defined()) tables.mask = PadRows(layout.mask, 0.0);
  }
  const int64_t scratch = AttentionScratch(layout.tokens(), qkv.size(2) / 3 / layout.heads);
  tables.floats = at::empty({at::get_num_threads(), scratch}, at::kFloat);
  return tables;
}

float* OwnFloats(const Tables& tables) {
  return NumbersOf<float>(tables.floats) + at::get_thread_num() * tables.floats.size(1);
}

template <typename T>
AttentionArgs<T> ArgsOf(const at::Tensor& qkv, const Tables& tables, const WindowLayout& layout) {
  AttentionArgs<T> args{};
  args.qkv = NumbersOf<T>(qkv);
  args.token = layout.token_at.const_data_ptr<int64_t>();
  args.windows = layout.windows();
  args.bias = NumbersOf<float>(tables.bias);
  args.mask = NumbersOf<float>(tables.mask);
  args.tokens = layout.tokens();
  args.padded = Padded(layout.tokens());
  args.heads = layout.heads;
  args.channels = qkv.size(2) / 3;
  args.scale = static_cast<float>(ScaleOf(args.channels / args.heads));
  return args;
}

// Of so many products of all windows' rows.
void CountProducts(const at::Tensor& qkv, const WindowLayout& layout, int64_t products) {
  CountWork(qkv.scalar_type(), 2 * products * qkv.numel() / 3 * layout.tokens());
}

}  // namespace

at::Tensor ForAttention(at::Tensor qkv, const WindowLayout& layout) {
  return TakesVectors(qkv, layout) ? qkv : ByHead(qkv, 3, layout);
}

at::Tensor SamplesOf(const at::Tensor& qkv, int64_t begin, int64_t end,
                     const WindowLayout& layout) {
  const int64_t rows = layout.windows() * layout.heads;
  return IsByHead(qkv) ? qkv.slice(1, begin * rows, end * rows) : qkv.slice(0, begin, end);
}

at::Tensor WindowAttention(const at::Tensor& qkv, const at::Tensor& bias,
                           const WindowLayout& layout, at::Tensor* attention) {
  const int64_t heads = layout.heads, tokens = layout.tokens();
  CountProducts(qkv, layout, 2);
  if (IsByHead(qkv)) {
    const at::Tensor weights = WeightsOf(qkv[0], qkv[1], bias, layout);
    if (attention != nullptr) *attention = weights.view({-1, heads, tokens, tokens});
    return ByToken(at::bmm(weights, qkv[2]).unsqueeze(0), layout);
  }
  const int64_t samples = qkv.size(0), windows = samples * layout.windows();
  const at::Tensor out = at::empty({samples, qkv.size(1), qkv.size(2) / 3}, qkv.options());
  if (attention != nullptr) {
    *attention = at::empty({windows, heads, tokens, tokens}, qkv.options());
  }
  const Tables tables = TablesOf(qkv, bias, layout);
  WithNumbers(qkv.scalar_type(), [&](auto* numbers) {
    using T = std::remove_pointer_t<decltype(numbers)>;
    AttentionArgs<T> args = ArgsOf<T>(qkv, tables, layout);
    args.out = NumbersOf<T>(out);
    args.attention = attention == nullptr ? nullptr : NumbersOf<T>(*attention);
    if (IsDryRun()) return;
    at::parallel_for(0, windows, 1, [&](int64_t begin, int64_t end) {
      // All heads of a window while its rows are in the cache.
      for (int64_t window = begin; window < end; ++window) {
        for (int64_t head = 0; head < heads; ++head) {
          KernelsFor(numbers).attention(args, head, window, window + 1, OwnFloats(tables));
        }
      }
    });
  });
  return out;
}

namespace {

// What follows, by batched products.
at::Tensor BackwardByHead(at::Tensor gradient, at::Tensor qkv, const at::Tensor& bias,
                          const WindowLayout& layout, at::Tensor weights, at::Tensor* out,
                          RowSums& sums, size_t n, at::Tensor& dbias) {
  const int64_t heads = layout.heads, tokens = layout.tokens();
  const double scale = ScaleOf(qkv.size(3));
  const c10::ScalarType type = at::promote_types(qkv.scalar_type(), at::kFloat);
  at::Tensor q = qkv[0], k = qkv[1], v = qkv[2];
  weights = weights.defined() ? weights.view({-1, tokens, tokens}) : WeightsOf(q, k, bias, layout);
  if (out != nullptr) *out = ByToken(at::bmm(weights, v).unsqueeze(0), layout);
  at::Tensor dout = ByHead(gradient, 1, layout).squeeze(0);
  gradient.reset();
  at::Tensor dqkv = at::empty(qkv.sizes(), qkv.options());
  at::Tensor dq = dqkv[0], dk = dqkv[1], dv = dqkv[2];
  at::bmm_out(dv, weights.transpose(1, 2), dout);
  at::Tensor dlogits = at::bmm(dout, v.transpose(1, 2));
  dout.reset();
  dlogits = at::_softmax_backward_data(dlogits, weights, -1, weights.scalar_type());
  weights.reset();
  AddTo(dbias, dlogits.view({-1, heads, tokens, tokens}).sum(0, /*keepdim=*/false, type));
  // With a beta of 0 what they hold is not read.
  at::baddbmm_out(dq, dq, dlogits, k, /*beta=*/0, scale);
  at::baddbmm_out(dk, dk, dlogits.transpose(1, 2), q, /*beta=*/0, scale);
  for (at::Tensor* used : {&dlogits, &q, &k, &v, &qkv}) used->reset();
  const at::Tensor by_token = ByToken(dqkv, layout);
  sums.Add(n, by_token.view({-1, by_token.size(2)}), type);
  return by_token;
}

}  // namespace

at::Tensor WindowAttentionBackward(at::Tensor gradient, at::Tensor qkv, const at::Tensor& bias,
                                   const WindowLayout& layout, at::Tensor attention,
                                   at::Tensor* out, RowSums& sums, size_t n, at::Tensor& dbias) {
  // Four gradients; the attention itself again, and what it gives, where they were not kept.
  CountProducts(qkv, layout, 4 + (attention.defined() ? 0 : 1) + (out == nullptr ? 0 : 1));
  if (IsByHead(qkv)) {
    return BackwardByHead(std::move(gradient), std::move(qkv), bias, layout, std::move(attention),
                          out, sums, n, dbias);
  }
  const int64_t windows = qkv.size(0) * layout.windows(), channels = qkv.size(2) / 3;
  const int64_t heads = layout.heads, tokens = layout.tokens(), padded = Padded(tokens);
  const at::Tensor dqkv = at::empty_like(qkv);
  if (out != nullptr) *out = at::empty({qkv.size(0), qkv.size(1), channels}, qkv.options());
  const Tables tables = TablesOf(qkv, attention.defined() ? at::Tensor() : bias, layout);
  // What is summed up over a group of windows: of the biases, then of dqkv.
  const int64_t bias_size = heads * tokens * padded, size = bias_size + 3 * channels;
  constexpr int64_t kGroups = 8;
  const int64_t groups = std::min(kGroups, windows);
  const at::Tensor by_group = at::zeros({groups, size}, at::kFloat);
  WithNumbers(qkv.scalar_type(), [&](auto* numbers) {
    using T = std::remove_pointer_t<decltype(numbers)>;
    if (IsDryRun()) return;
    at::parallel_for(0, groups * heads, 1, [&](int64_t begin, int64_t end) {
      for (int64_t task = begin; task < end; ++task) {
        const int64_t group = task / heads, head = task % heads;
        AttentionArgs<T> args = ArgsOf<T>(qkv, tables, layout);
        args.attention = NumbersOf<T>(attention);
        args.gradient = NumbersOf<T>(gradient);
        args.out = out == nullptr ? nullptr : NumbersOf<T>(*out);
        args.dqkv = NumbersOf<T>(dqkv);
        args.dbias = NumbersOf<float>(by_group) + group * size;
        args.dqkv_sums = args.dbias + bias_size;
        KernelsFor(numbers).attention_backward(args, head, group * windows / groups,
                                               (group + 1) * windows / groups, OwnFloats(tables));
      }
    });
  });
  const at::Tensor total = by_group.sum(0);
  sums.Slot(n).add_(total.slice(0, bias_size));
  AddTo(dbias, total.slice(0, 0, bias_size).view({heads, tokens, padded}).slice(-1, 0, tokens));
  return dqkv;
}

}  // namespace localformer
