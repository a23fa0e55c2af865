// What a network says of a batch in evaluation mode, and what that comes to. The one place that
// computes accuracy and loss of an evaluation.
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "local/strategy.h"
#include "swin/model.h"

namespace localformer {

// Sums over the samples of a batch. A logit that is no number is right for no class: where a sample
// has one, none is predicted and the loss is no number either.
struct LogitScore {
  double loss_sum = 0.0;     // Cross-entropy without label smoothing.
  int64_t correct = 0;       // Samples whose largest logit is the label's.
  int64_t correct_top5 = 0;  // Samples whose label is among the five largest logits.
  // Class of the largest logit of each sample, of equal ones the lower class; -1: none.
  std::vector<int32_t> predicted;

  template <typename Self, typename Visit>
  static void Fields(Self& self, Visit&& visit) {
    visit("lossSum", self.loss_sum);
    visit("correct", self.correct);
    visit("correctTop5", self.correct_top5);
    visit("predicted", self.predicted);
  }
};

// `logits`: [B, classes] on any device; of equal ones the lower class counts as the larger, in the
// top five too. In double precision. Throws CodedError ERR_DATASET for a label that is no class.
LogitScore ScoreLogits(const at::Tensor& logits, const std::vector<int64_t>& labels);

// Class logits [B, classes] of normalised images [B, 3, H, W].
at::Tensor ClassLogits(const SwinModel& model, const at::Tensor& images,
                       const std::atomic<bool>* cancelled);

// Those of every module's head, the classifier's last, with the averaged weights where averages are
// kept.
std::vector<at::Tensor> HeadLogits(const Strategy& strategy, at::Tensor images,
                                   const std::atomic<bool>* cancelled);

// What every module's head says of normalised images. Divided among ranks: of the modules that are
// here, nothing of others; `images` and `labels` are given where the first module is, and handed
// on.
std::vector<LogitScore> HeadScores(Strategy& strategy, at::Tensor images,
                                   std::vector<int64_t> labels, const std::atomic<bool>* cancelled);

struct NetworkGradients {
  at::Tensor logits;
  double loss = 0.0;        // Mean cross-entropy.
  ParameterList gradients;  // By the names of the parameters; they are no longer theirs.
};

// Cross-entropy's gradients of the whole network, without stochastic depth and without an update.
NetworkGradients GradientsOf(const SwinModel& model, const at::Tensor& images,
                             const at::Tensor& labels, const std::atomic<bool>* cancelled);

}  // namespace localformer
