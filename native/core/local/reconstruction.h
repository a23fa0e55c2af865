// What the modules' decoders give back, to look at: for every module that has one, its target and
// its prediction as small images, and how far they are apart. Evaluation mode.
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "local/strategy.h"

namespace localformer {

enum class ReconstructionKind {
  kPixels,      // The images' own.
  kComponents,  // Features in false colours.
};

template <>
struct Words<ReconstructionKind> {
  static constexpr Word<ReconstructionKind> kTable[] = {
      {"pixels", ReconstructionKind::kPixels}, {"components", ReconstructionKind::kComponents}};
};

struct Reconstruction {
  int64_t module = 0;  // Index.
  ReconstructionKind kind = ReconstructionKind::kPixels;
  int64_t count = 0;
  int64_t height = 0;
  int64_t width = 0;
  std::vector<uint8_t> target;      // [count, height, width, 3]
  std::vector<uint8_t> prediction;  // The same.
  double loss = 0.0;                // R, as the module is trained with.
  // Squared error over the target's squared distance from its channels' means: 0 is perfect, 1 no
  // better than these means.
  double relative_error = 0.0;

  template <typename Self, typename Visit>
  static void Fields(Self& self, Visit&& visit) {
    visit("module", self.module);
    visit("kind", self.kind);
    visit("count", self.count);
    visit("height", self.height);
    visit("width", self.width);
    visit("target", self.target);
    visit("prediction", self.prediction);
    visit("loss", self.loss);
    visit("relativeError", self.relative_error);
  }
};

// `images`: normalised, [B, 3, H, W]; `supervision`: the normalisation. Features in false colours
// are their first three principal components over the tokens of target and prediction together,
// each from three standard deviations below its mean (dark) to three above it; both images share
// the components and the scale.
std::vector<Reconstruction> Reconstruct(const Strategy& strategy, const at::Tensor& images,
                                        Supervision supervision,
                                        const std::atomic<bool>* cancelled);

}  // namespace localformer
