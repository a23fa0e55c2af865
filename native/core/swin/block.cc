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
      mlp_(shape.channels,
           static_cast<int64_t>(static_cast<double>(shape.channels) * options.mlp_ratio),
           generator) {}

at::Tensor SwinBlock::Attend(const at::Tensor& x, const ForwardContext& context) const {
  at::Tensor y = norm1_.Forward(x);
  if (shift_ != 0) y = at::roll(y, {-shift_, -shift_}, {1, 2});
  y = attention_.Forward(WindowPartition(y.to(context.compute_type), window_),
                         context.compute_type);
  y = WindowReverse(y, window_, x.size(1), x.size(2));
  return shift_ != 0 ? at::roll(y, {shift_, shift_}, {1, 2}) : y;
}

std::optional<at::Tensor> SwinBlock::DrawScale(const at::Tensor& x,
                                               const ForwardContext& context) const {
  if (!context.training || drop_path_ == 0.0) return {};
  // One coin a sample, drawn on the CPU so that every device sees the same ones; survivors are
  // scaled so that the expectation stays.
  const double keep = 1.0 - drop_path_;
  const int64_t count = x.size(0);
  return at::empty({context.batch_size > 0 ? context.batch_size : count})
      .bernoulli_(keep, *context.generator)
      .div_(keep)
      .slice(0, context.first_sample, context.first_sample + count)
      .view({count, 1, 1, 1})
      .to(x.device(), context.compute_type);
}

at::Tensor SwinBlock::AddResidual(const at::Tensor& x, const at::Tensor& branch,
                                  const std::optional<at::Tensor>& scale,
                                  const ForwardContext& context) const {
  if (context.residual_energy != nullptr) {
    const at::Tensor added = scale ? branch * *scale : branch;
    context.residual_energy->push_back(added.to(at::kFloat).square().mean());
    return x + added;
  }
  if (!scale) return x + branch;
  return branch.scalar_type() == x.scalar_type() ? at::addcmul(x, branch, *scale)
                                                 : x + branch * *scale;
}

at::Tensor SwinBlock::Forward(const at::Tensor& x, const ForwardContext& context) const {
  const std::optional<at::Tensor> scale1 = DrawScale(x, context);
  const at::Tensor y = AddResidual(x, Attend(x, context), scale1, context);
  const std::optional<at::Tensor> scale2 = DrawScale(x, context);
  // Measuring a branch needs it by itself.
  if (context.residual_energy == nullptr) return mlp_.AddTo(y, scale2, context);
  return AddResidual(y, mlp_.Forward(y, context), scale2, context);
}

ParameterList SwinBlock::Parameters() const {
  ParameterList own;
  norm1_.Collect("norm1", &own);
  AppendWithPrefix("attn", attention_.Parameters(), &own);
  mlp_.norm().Collect("norm2", &own);
  mlp_.fc1().Collect("mlp.fc1", &own);
  mlp_.fc2().Collect("mlp.fc2", &own);
  ParameterList list;
  AppendWithPrefix(name(), own, &list);
  return list;
}

}  // namespace localformer
