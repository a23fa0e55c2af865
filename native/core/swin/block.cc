// See block.h.
#include "swin/block.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "swin/depth_coins.h"
#include "swin/position_biases.h"

namespace localformer {
namespace {

int64_t EffectiveWindow(const FeatureShape& shape, int64_t window) {
  return std::min(window, shape.height);
}

int64_t EffectiveShift(const FeatureShape& shape, const BlockOptions& options) {
  return options.shifted && shape.height > options.window ? options.window / 2 : 0;
}

}  // namespace

SwinBlock::SwinBlock(std::string name, FeatureShape shape, const BlockOptions& options,
                     at::Generator& generator)
    : Unit(std::move(name), shape, shape),
      drop_path_(options.drop_path),
      attention_(shape, options.heads, EffectiveWindow(shape, options.window),
                 EffectiveShift(shape, options), generator),
      mlp_(shape.channels,
           static_cast<int64_t>(static_cast<double>(shape.channels) * options.mlp_ratio),
           generator) {}

std::optional<at::Tensor> SwinBlock::DrawScale(const at::Tensor& x, const ForwardContext& context,
                                               int64_t branch) const {
  if (context.coins == nullptr) return {};
  const at::Tensor coins = context.coins->Of(*this, branch);
  if (!coins.defined()) return {};
  const int64_t count = x.size(0);
  return coins.slice(0, context.first_sample, context.first_sample + count).view({count, 1, 1, 1});
}

at::Tensor SwinBlock::AddMeasured(const at::Tensor& x, const at::Tensor& branch,
                                  const std::optional<at::Tensor>& scale,
                                  const ForwardContext& context) const {
  const at::Tensor added = scale ? branch * *scale : branch;
  context.residual_energy->push_back(added.to(at::kFloat).square().mean());
  return x + added;
}

at::Tensor SwinBlock::Forward(const at::Tensor& x, const ForwardContext& context) const {
  const std::optional<at::Tensor> scale1 = DrawScale(x, context, 0);
  const std::optional<at::Tensor> scale2 = DrawScale(x, context, 1);
  // Of a segment in parts they are there already; an auxiliary block has its own.
  at::Tensor bias;
  if (context.position_biases != nullptr) bias = context.position_biases->Of(*this);
  if (!bias.defined()) bias = PositionBias();
  // Measuring a branch needs it by itself.
  const bool is_measured = context.residual_energy != nullptr;
  const at::Tensor y = is_measured
                           ? AddMeasured(x, attention_.Forward(x, bias, context), scale1, context)
                           : attention_.AddTo(x, bias, scale1, context);
  return is_measured ? AddMeasured(y, mlp_.Forward(y, context), scale2, context)
                     : mlp_.AddTo(y, scale2, context);
}

double SwinBlock::WeightsPerValue() const {
  return static_cast<double>(attention_.weights_per_token()) /
         static_cast<double>(input().channels);
}

ParameterList SwinBlock::Parameters() const {
  ParameterList own;
  attention_.norm().Collect("norm1", &own);
  AppendWithPrefix("attn", attention_.Parameters(), &own);
  mlp_.norm().Collect("norm2", &own);
  mlp_.fc1().Collect("mlp.fc1", &own);
  mlp_.fc2().Collect("mlp.fc2", &own);
  ParameterList list;
  AppendWithPrefix(name(), own, &list);
  return list;
}

}  // namespace localformer
