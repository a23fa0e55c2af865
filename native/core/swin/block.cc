// See block.h.
#include "swin/block.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "swin/window.h"

namespace localformer {
namespace {

int64_t EffectiveWindow(const FeatureShape& shape, int64_t window) {
  return std::min(window, shape.height);
}

int64_t EffectiveShift(const FeatureShape& shape, const BlockOptions& options) {
  return options.shifted && shape.height > options.window ? options.window / 2 : 0;
}

at::Tensor MaskFor(const FeatureShape& shape, const BlockOptions& options) {
  const int64_t shift = EffectiveShift(shape, options);
  return shift == 0 ? at::Tensor()
                    : ShiftedWindowMask(shape.height, shape.width, options.window, shift);
}

}  // namespace

SwinBlock::SwinBlock(std::string name, FeatureShape shape, const BlockOptions& options,
                     at::Generator& generator)
    : Unit(std::move(name), shape, shape),
      window_(EffectiveWindow(shape, options.window)),
      shift_(EffectiveShift(shape, options)),
      drop_path_(options.drop_path),
      norm1_(LayerNorm::Create(shape.channels)),
      attention_(shape.channels, options.heads, window_, MaskFor(shape, options), generator),
      norm2_(LayerNorm::Create(shape.channels)),
      fc1_(Linear::Create(
          shape.channels,
          static_cast<int64_t>(static_cast<double>(shape.channels) * options.mlp_ratio), true,
          generator)),
      fc2_(Linear::Create(fc1_.weight.size(0), shape.channels, true, generator)) {}

at::Tensor SwinBlock::Attend(const at::Tensor& x) const {
  at::Tensor y = norm1_.Forward(x);
  if (shift_ != 0) y = at::roll(y, {-shift_, -shift_}, {1, 2});
  y = attention_.Forward(WindowPartition(y, window_));
  y = WindowReverse(y, window_, x.size(1), x.size(2));
  return shift_ != 0 ? at::roll(y, {shift_, shift_}, {1, 2}) : y;
}

at::Tensor SwinBlock::Mlp(const at::Tensor& x) const {
  return fc2_.Forward(at::gelu(fc1_.Forward(norm2_.Forward(x))));
}

at::Tensor SwinBlock::AddResidual(const at::Tensor& x, const at::Tensor& branch,
                                  const ForwardContext& context) const {
  if (!context.training || drop_path_ == 0.0) return x + branch;
  // One coin a sample, drawn on the CPU so that every device sees the same ones; survivors are
  // scaled so that the expectation stays.
  const double keep = 1.0 - drop_path_;
  const at::Tensor scale = at::empty({x.size(0), 1, 1, 1})
                               .bernoulli_(keep, *context.generator)
                               .div_(keep)
                               .to(x.device(), x.scalar_type());
  return at::addcmul(x, branch, scale);
}

at::Tensor SwinBlock::Forward(const at::Tensor& x, const ForwardContext& context) const {
  const at::Tensor y = AddResidual(x, Attend(x), context);
  return AddResidual(y, Mlp(y), context);
}

ParameterList SwinBlock::Parameters() const {
  ParameterList own;
  norm1_.Collect("norm1", &own);
  AppendWithPrefix("attn", attention_.Parameters(), &own);
  norm2_.Collect("norm2", &own);
  fc1_.Collect("mlp.fc1", &own);
  fc2_.Collect("mlp.fc2", &own);
  ParameterList list;
  AppendWithPrefix(name(), own, &list);
  return list;
}

}  // namespace localformer
