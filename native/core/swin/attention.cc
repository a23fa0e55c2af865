// See attention.h.
#include "swin/attention.h"

#include <ATen/ATen.h>

#include <cmath>

#include "swin/position_bias.h"
#include "swin/window.h"

namespace localformer {

WindowAttention::WindowAttention(int64_t channels, int64_t heads, int64_t window, at::Tensor mask,
                                 at::Generator& generator)
    : heads_(heads),
      window_(window),
      tokens_(window * window),
      relative_position_bias_table_(
          TruncatedNormalParameter({(2 * window - 1) * (2 * window - 1), heads}, 0.02, generator)),
      relative_position_index_(RelativePositionIndex(window)),
      mask_(mask.defined() ? mask.unsqueeze(1) : mask),
      qkv_(Linear::Create(channels, 3 * channels, true, generator)),
      proj_(Linear::Create(channels, channels, true, generator)) {}

at::Tensor WindowAttention::Bias() const {
  const at::Tensor bias =
      PositionBias(relative_position_bias_table_, relative_position_index_, window_);
  return mask_.defined() ? bias + mask_ : bias;
}

at::Tensor WindowAttention::Forward(const at::Tensor& windows, c10::ScalarType compute_type) const {
  const int64_t n = windows.size(0), c = windows.size(2), d = c / heads_;
  // [3, n * heads, tokens, d]: one copy that lays q, k and v out as batched products want them.
  const std::vector<at::Tensor> qkv = qkv_.Forward(windows, compute_type)
                                          .view({n, tokens_, 3, heads_, d})
                                          .permute({2, 0, 3, 1, 4})
                                          .reshape({3, n * heads_, tokens_, d})
                                          .unbind(0);
  const at::Tensor bias = Bias().to(compute_type);
  // In place, since neither the product nor the sum needs its result for the backward pass. The
  // unsafe view is one without a view's bookkeeping, which in-place work would otherwise pay for.
  const at::Tensor logits =
      at::_unsafe_view(at::bmm(qkv[0], qkv[1].transpose(1, 2)),
                       {n / bias.size(0), bias.size(0), heads_, tokens_, tokens_})
          .mul_(1.0 / std::sqrt(static_cast<double>(d)))
          .add_(bias);
  const at::Tensor attention = at::softmax(logits, -1).view({n * heads_, tokens_, tokens_});
  const at::Tensor out = at::bmm(attention, qkv[2])
                             .view({n, heads_, tokens_, d})
                             .transpose(1, 2)
                             .reshape({n, tokens_, c});
  return proj_.Forward(out, compute_type);
}

ParameterList WindowAttention::Parameters() const {
  ParameterList list;
  list.emplace_back("relative_position_bias_table", relative_position_bias_table_);
  qkv_.Collect("qkv", &list);
  proj_.Collect("proj", &list);
  return list;
}

void WindowAttention::MoveBuffers(c10::Device device) {
  relative_position_index_ = relative_position_index_.to(device);
  if (mask_.defined()) mask_ = mask_.to(device);
}

}  // namespace localformer
