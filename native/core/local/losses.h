// The losses of a local step (docs/method.md, section 4): labels, and reconstruction.
#pragma once

#include <ATen/core/Tensor.h>

#include "fields.h"

namespace localformer {

// What a module reconstructs from its output.
enum class Target {
  kNone,
  kFeatures,  // Its input, layer-normalised; for the first module the normalised image's patches.
  kImage,     // The image with pixels in [0, 1] (InfoPro, Wang et al., ICLR 2021).
};

// How a reconstruction is compared with its target, averaged over elements.
enum class Distance { kMse, kL1, kBce };

template <>
struct Words<Target> {
  static constexpr Word<Target> kTable[] = {
      {"none", Target::kNone}, {"features", Target::kFeatures}, {"image", Target::kImage}};
};

template <>
struct Words<Distance> {
  static constexpr Word<Distance> kTable[] = {
      {"mse", Distance::kMse}, {"l1", Distance::kL1}, {"bce", Distance::kBce}};
};

// Mean cross-entropy of logits [B, classes], labels int64 [B].
at::Tensor CrossEntropy(const at::Tensor& logits, const at::Tensor& labels, double smoothing);

// The same of mixed samples: mean of share * CE(labels) + (1 - share) * CE(other_labels); share
// float [B] in [0, 1] (mixup, arXiv 1710.09412; cutmix, arXiv 1905.04899).
at::Tensor MixedCrossEntropy(const at::Tensor& logits, const at::Tensor& labels,
                             const at::Tensor& other_labels, const at::Tensor& shares,
                             double smoothing);

// `prediction` and `target` have one shape; of an image the prediction holds the pixels' logits.
at::Tensor ReconstructionLoss(const at::Tensor& prediction, const at::Tensor& target, Target kind,
                              Distance distance);

}  // namespace localformer
