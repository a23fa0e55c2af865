// See losses.h.
#include "local/losses.h"

#include <ATen/ATen.h>

namespace localformer {

at::Tensor CrossEntropy(const at::Tensor& logits, const at::Tensor& labels, double smoothing) {
  return at::cross_entropy_loss(logits, labels, /*weight=*/{}, at::Reduction::Mean,
                                /*ignore_index=*/-100, smoothing);
}

at::Tensor MixedCrossEntropy(const at::Tensor& logits, const at::Tensor& labels,
                             const at::Tensor& other_labels, const at::Tensor& shares,
                             double smoothing) {
  const auto loss = [&](const at::Tensor& of) {
    return at::cross_entropy_loss(logits, of, /*weight=*/{}, at::Reduction::None,
                                  /*ignore_index=*/-100, smoothing);
  };
  return at::lerp(loss(other_labels), loss(labels), shares).mean();
}

at::Tensor ReconstructionLoss(const at::Tensor& prediction, const at::Tensor& target, Target kind,
                              Distance distance) {
  if (distance == Distance::kBce) return at::binary_cross_entropy_with_logits(prediction, target);
  const at::Tensor values = kind == Target::kImage ? prediction.sigmoid() : prediction;
  if (distance == Distance::kL1) return at::l1_loss(values, target);
  // LibTorch leaves the mean in the memory of all squares, which a copy lets go.
  return at::mse_loss(values, target).clone();
}

}  // namespace localformer
