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

bool TakesVectors(const at::Tensor& qkv, const WindowBias& bias) {
  return HasVectorKernels(qkv.device(), qkv.scalar_type()) && qkv.size(1) <= kMostTokens &&
         bias.bias.scalar_type() == at::kFloat;
}

double ScaleOf(int64_t width) { return 1.0 / std::sqrt(static_cast<double>(width)); }

// Has ForAttention laid it out by head?
bool IsByHead(const at::Tensor& qkv) { return qkv.dim() == 4; }

// --- by batched products ---

// [3, windows * heads, tokens, width]: one copy that lays q, k and v out as batched products want
// them.
at::Tensor ByHead(const at::Tensor& qkv, int64_t heads) {
  const int64_t windows = qkv.size(0), tokens = qkv.size(1), width = qkv.size(2) / 3 / heads;
  return qkv.view({windows, tokens, 3, heads, width})
      .permute({2, 0, 3, 1, 4})
      .reshape({3, windows * heads, tokens, width});
}

// [windows, tokens, channels] -> [windows * heads, tokens, width]
at::Tensor ByHeadOnce(const at::Tensor& x, int64_t heads) {
  const int64_t windows = x.size(0), tokens = x.size(1), width = x.size(2) / heads;
  return x.view({windows, tokens, heads, width})
      .transpose(1, 2)
      .reshape({windows * heads, tokens, width});
}

// The reverse.
at::Tensor ByToken(const at::Tensor& x, int64_t windows) {
  const int64_t heads = x.size(0) / windows, tokens = x.size(1), width = x.size(2);
  return x.view({windows, heads, tokens, width})
      .transpose(1, 2)
      .reshape({windows, tokens, heads * width});
}

at::Tensor WeightsOf(const at::Tensor& q, const at::Tensor& k, const WindowBias& bias,
                     double scale) {
  const int64_t tokens = q.size(1), windows = q.size(0) / bias.heads;
  at::Tensor added = bias.bias.unsqueeze(0);
  if (bias.mask.defined()) added = added + bias.mask.unsqueeze(1);
  const int64_t masks = added.size(0);
  at::Tensor logits = at::empty({windows * bias.heads, tokens, tokens}, q.options());
  logits.view({windows / masks, masks, bias.heads, tokens, tokens}).copy_(added);
  logits.baddbmm_(q, k.transpose(1, 2), /*beta=*/1, scale);
  return at::softmax(logits, -1);
}

// --- by vectors ---

// [.., tokens, tokens] with rows filled up to whole vectors.
at::Tensor PadRows(const at::Tensor& t, double value) {
  return at::constant_pad_nd(t, {0, Padded(t.size(-1)) - t.size(-1)}, value);
}

template <typename T>
AttentionArgs<T> ArgsOf(const at::Tensor& qkv, const WindowBias& bias,
                        const at::Tensor& padded_bias, const at::Tensor& padded_mask) {
  AttentionArgs<T> args{};
  args.qkv = NumbersOf<T>(qkv);
  args.bias = NumbersOf<float>(padded_bias);
  args.mask = NumbersOf<float>(padded_mask);
  args.masks = bias.mask.defined() ? bias.mask.size(0) : 1;
  args.tokens = qkv.size(1);
  args.padded = Padded(qkv.size(1));
  args.heads = bias.heads;
  args.channels = qkv.size(2) / 3;
  args.scale = static_cast<float>(ScaleOf(qkv.size(2) / 3 / bias.heads));
  return args;
}

// Of so many products of all windows' rows.
void CountProducts(const at::Tensor& qkv, int64_t products) {
  CountWork(qkv.scalar_type(), 2 * products * qkv.numel() / 3 * qkv.size(-2));
}

int64_t ScratchOf(const at::Tensor& qkv, const WindowBias& bias) {
  return AttentionScratch(qkv.size(1), qkv.size(2) / 3 / bias.heads);
}

}  // namespace

at::Tensor ForAttention(at::Tensor qkv, const WindowBias& bias) {
  return TakesVectors(qkv, bias) ? qkv : ByHead(qkv, bias.heads);
}

at::Tensor WindowsOf(const at::Tensor& qkv, int64_t begin, int64_t end, const WindowBias& bias) {
  return IsByHead(qkv) ? qkv.slice(1, begin * bias.heads, end * bias.heads)
                       : qkv.slice(0, begin, end);
}

at::Tensor WindowAttention(const at::Tensor& qkv, const WindowBias& bias, at::Tensor* attention) {
  const int64_t heads = bias.heads;
  CountProducts(qkv, 2);
  if (IsByHead(qkv)) {
    const at::Tensor q = qkv[0], k = qkv[1], v = qkv[2];
    const int64_t windows = q.size(0) / heads, tokens = q.size(1);
    const at::Tensor weights = WeightsOf(q, k, bias, ScaleOf(q.size(2)));
    if (attention != nullptr) *attention = weights.view({windows, heads, tokens, tokens});
    return ByToken(at::bmm(weights, v), windows);
  }
  const int64_t windows = qkv.size(0), tokens = qkv.size(1), channels = qkv.size(2) / 3;
  const at::Tensor out = at::empty({windows, tokens, channels}, qkv.options());
  if (attention != nullptr) {
    *attention = at::empty({windows, heads, tokens, tokens}, qkv.options());
  }
  const at::Tensor padded_bias = PadRows(bias.bias, -std::numeric_limits<double>::infinity());
  const at::Tensor padded_mask = bias.mask.defined() ? PadRows(bias.mask, 0.0) : at::Tensor();
  const int64_t scratch = ScratchOf(qkv, bias);
  const at::Tensor floats = at::empty({at::get_num_threads(), scratch}, at::kFloat);
  WithNumbers(qkv.scalar_type(), [&](auto* numbers) {
    using T = std::remove_pointer_t<decltype(numbers)>;
    AttentionArgs<T> args = ArgsOf<T>(qkv, bias, padded_bias, padded_mask);
    args.out = NumbersOf<T>(out);
    args.attention = attention == nullptr ? nullptr : NumbersOf<T>(*attention);
    if (IsDryRun()) return;
    at::parallel_for(0, windows, 1, [&](int64_t begin, int64_t end) {
      float* own = NumbersOf<float>(floats) + at::get_thread_num() * scratch;
      // All heads of a window while its rows are in the cache.
      for (int64_t window = begin; window < end; ++window) {
        for (int64_t head = 0; head < heads; ++head) {
          KernelsFor(numbers).attention(args, head, window, window + 1, own);
        }
      }
    });
  });
  return out;
}

bool BackwardTakesBias(const at::Tensor& qkv, const at::Tensor& attention) {
  return !IsByHead(qkv) || !attention.defined();
}

namespace {

// What follows, by batched products.
at::Tensor BackwardByHead(at::Tensor gradient, at::Tensor qkv, const WindowBias& bias,
                          at::Tensor weights, at::Tensor* out, at::Tensor& dqkv_sums,
                          at::Tensor& dbias) {
  const int64_t heads = bias.heads, tokens = qkv.size(2), width = qkv.size(3);
  const int64_t windows = qkv.size(1) / heads;
  const double scale = ScaleOf(width);
  const c10::ScalarType type = at::promote_types(qkv.scalar_type(), at::kFloat);
  at::Tensor q = qkv[0], k = qkv[1], v = qkv[2];
  weights = weights.defined() ? weights.view({windows * heads, tokens, tokens})
                              : WeightsOf(q, k, bias, scale);
  if (out != nullptr) *out = ByToken(at::bmm(weights, v), windows);
  at::Tensor dout = ByHeadOnce(gradient, heads);
  gradient.reset();
  at::Tensor dqkv = at::empty({3, windows * heads, tokens, width}, qkv.options());
  at::Tensor dq = dqkv[0], dk = dqkv[1], dv = dqkv[2];
  at::bmm_out(dv, weights.transpose(1, 2), dout);
  at::Tensor dlogits = at::bmm(dout, v.transpose(1, 2));
  dout.reset();
  dlogits = at::_softmax_backward_data(dlogits, weights, -1, weights.scalar_type());
  weights.reset();
  AddTo(dbias, dlogits.view({windows, heads, tokens, tokens}).sum(0, /*keepdim=*/false, type));
  // With a beta of 0 what they hold is not read.
  at::baddbmm_out(dq, dq, dlogits, k, /*beta=*/0, scale);
  at::baddbmm_out(dk, dk, dlogits.transpose(1, 2), q, /*beta=*/0, scale);
  for (at::Tensor* used : {&dlogits, &q, &k, &v, &qkv}) used->reset();
  const at::Tensor by_token = dqkv.view({3, windows, heads, tokens, width})
                                  .permute({1, 3, 0, 2, 4})
                                  .reshape({windows, tokens, 3 * heads * width});
  AddTo(dqkv_sums, SumOfRows(by_token.view({-1, 3 * heads * width}), type));
  return by_token;
}

}  // namespace

at::Tensor WindowAttentionBackward(at::Tensor gradient, at::Tensor qkv, const WindowBias& bias,
                                   at::Tensor attention, at::Tensor* out, at::Tensor& dqkv_sums,
                                   at::Tensor& dbias) {
  // Four gradients; the attention itself again, and what it gives, where they were not kept.
  CountProducts(qkv, 4 + (attention.defined() ? 0 : 1) + (out == nullptr ? 0 : 1));
  if (IsByHead(qkv)) {
    return BackwardByHead(std::move(gradient), std::move(qkv), bias, std::move(attention), out,
                          dqkv_sums, dbias);
  }
  const int64_t windows = qkv.size(0), tokens = qkv.size(1), channels = qkv.size(2) / 3;
  const int64_t heads = bias.heads;
  const at::Tensor dqkv = at::empty_like(qkv);
  if (out != nullptr) *out = at::empty({windows, tokens, channels}, qkv.options());
  const at::Tensor padded_bias = PadRows(bias.bias, -std::numeric_limits<double>::infinity());
  const at::Tensor padded_mask = bias.mask.defined() ? PadRows(bias.mask, 0.0) : at::Tensor();
  const int64_t scratch = ScratchOf(qkv, bias);
  const at::Tensor floats = at::empty({at::get_num_threads(), scratch}, at::kFloat);
  // The sums of a group of windows: of the biases, then of dqkv.
  const int64_t bias_size = padded_bias.numel(), size = bias_size + 3 * channels;
  constexpr int64_t kGroups = 8;
  const int64_t groups = std::min(kGroups, windows);
  const at::Tensor sums = at::zeros({groups, size}, at::kFloat);
  WithNumbers(qkv.scalar_type(), [&](auto* numbers) {
    using T = std::remove_pointer_t<decltype(numbers)>;
    if (IsDryRun()) return;
    at::parallel_for(0, groups * heads, 1, [&](int64_t begin, int64_t end) {
      for (int64_t task = begin; task < end; ++task) {
        const int64_t group = task / heads, head = task % heads;
        AttentionArgs<T> args = ArgsOf<T>(qkv, bias, padded_bias, padded_mask);
        args.attention = NumbersOf<T>(attention);
        args.gradient = NumbersOf<T>(gradient);
        args.out = out == nullptr ? nullptr : NumbersOf<T>(*out);
        args.dqkv = NumbersOf<T>(dqkv);
        args.dbias = NumbersOf<float>(sums) + group * size;
        args.dqkv_sums = args.dbias + bias_size;
        KernelsFor(numbers).attention_backward(
            args, head, group * windows / groups, (group + 1) * windows / groups,
            NumbersOf<float>(floats) + at::get_thread_num() * scratch);
      }
    });
  });
  const at::Tensor total = sums.sum(0);
  // Not a view: it would keep the biases' part alive as long as a gradient lives.
  AddTo(dqkv_sums, total.slice(0, bias_size).clone());
  AddTo(dbias, total.slice(0, 0, bias_size).view(padded_bias.sizes()).slice(-1, 0, tokens));
  return dqkv;
}

}  // namespace localformer
