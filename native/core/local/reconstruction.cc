// See reconstruction.h.
#include "local/reconstruction.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <utility>

namespace localformer {
namespace {

constexpr double kDeviations = 3.0;

// [B, H, W, 3] in [0, 1] -> bytes.
std::vector<uint8_t> Bytes(const at::Tensor& image) {
  const at::Tensor bytes = image.mul(255.0).round_().clamp_(0.0, 255.0).to(at::kByte).cpu();
  const at::Tensor whole = bytes.contiguous();
  const uint8_t* data = whole.data_ptr<uint8_t>();
  return std::vector<uint8_t>(data, data + whole.numel());
}

// [B, H, W, C] twice -> [B, H, W, 3] twice, in [0, 1] but for outliers.
std::pair<at::Tensor, at::Tensor> FalseColours(const at::Tensor& target,
                                               const at::Tensor& prediction) {
  const int64_t channels = target.size(-1), shown = std::min<int64_t>(3, channels);
  // The covariance is small, and the host's solver needs no further library of a device.
  const at::Tensor tokens =
      at::cat({target.reshape({-1, channels}), prediction.reshape({-1, channels})})
          .cpu()
          .to(at::kDouble);
  const at::Tensor centred = tokens - tokens.mean(0, /*keepdim=*/true);
  const at::Tensor covariance = at::mm(centred.t(), centred).div(centred.size(0));
  // Eigenvalues rise, so the last vectors come first.
  at::Tensor axes = std::get<1>(at::linalg_eigh(covariance)).flip({1}).slice(1, 0, shown);
  // An eigenvector has no sign of its own: its largest entry is made positive.
  const at::Tensor largest = axes.gather(0, axes.abs().argmax(0, /*keepdim=*/true));
  axes = axes * largest.sign();
  at::Tensor scores = at::mm(centred, axes);
  const at::Tensor spread = scores.std(0, /*unbiased=*/false).clamp_min(1e-12);
  scores = scores.div(spread * (2.0 * kDeviations)).add_(0.5);
  if (shown < 3) scores = at::constant_pad_nd(scores, {0, 3 - shown}, 0.5);
  const std::vector<int64_t> shape = {target.size(0), target.size(1), target.size(2), 3};
  const std::vector<at::Tensor> halves = scores.chunk(2, 0);
  return {halves[0].view(shape), halves[1].view(shape)};
}

double RelativeError(const at::Tensor& target, const at::Tensor& prediction) {
  const at::Tensor rows = target.reshape({-1, target.size(-1)}).to(at::kDouble);
  const double deviation = (rows - rows.mean(0, /*keepdim=*/true)).square().sum().item<double>();
  const double error = (prediction.to(at::kDouble) - target).square().sum().item<double>();
  return error / std::max(deviation, 1e-12);
}

Reconstruction Show(int64_t index, const ModuleTrainer& module, int64_t patch,
                    const at::Tensor& target, const at::Tensor& prediction,
                    const Supervision& supervision) {
  const bool is_image = module.options().target == Target::kImage;
  Reconstruction shown;
  shown.module = index;
  shown.kind =
      is_image || module.is_first() ? ReconstructionKind::kPixels : ReconstructionKind::kComponents;
  auto [left, right] = is_image            ? std::make_pair(target, prediction)
                       : module.is_first() ? std::make_pair(supervision.Pixels(target, patch),
                                                            supervision.Pixels(prediction, patch))
                                           : FalseColours(target, prediction);
  shown.count = left.size(0);
  shown.height = left.size(1);
  shown.width = left.size(2);
  shown.target = Bytes(left);
  shown.prediction = Bytes(right);
  shown.relative_error = RelativeError(target, prediction);
  // Of pixels in [0, 1] the logits, which is what the loss takes.
  shown.loss = ReconstructionLoss(is_image ? prediction.logit(1e-7) : prediction, target,
                                  module.options().target, module.options().distance)
                   .item<double>();
  return shown;
}

}  // namespace

std::vector<Reconstruction> Reconstruct(const Strategy& strategy, const at::Tensor& images,
                                        Supervision supervision,
                                        const std::atomic<bool>* cancelled) {
  c10::NoGradGuard no_grad;
  WeightRelay weights(strategy, 0, strategy.modules().size(),
                      [](const ModuleTrainer& module) { return module.UseForEvaluation(); });
  ForwardContext context;
  context.cancelled = cancelled;
  at::Tensor features = strategy.Patches(images);
  supervision.patches = features;
  std::vector<Reconstruction> all;
  for (size_t k = 0; k < strategy.modules().size(); ++k) {
    const ModuleTrainer& module = *strategy.modules()[k];
    weights.Advance();
    const AverageInUse average(module);
    at::Tensor output = module.Forward(features, context);
    if (module.reconstructs()) {
      const auto [target, prediction] = module.Reconstruct(features, output, supervision, context);
      all.push_back(Show(static_cast<int64_t>(k), module, strategy.model().options().patch_size,
                         target, prediction, supervision));
    }
    features = std::move(output);
  }
  return all;
}

}  // namespace localformer
