// A module: a segment of the network with its auxiliary head and decoder and its own optimizer.
// It owns the whole local step: detach, forward, losses, backward, update, freeing of gradients
// (METHOD, section 4). Features in -> detached features out.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "local/decoder.h"
#include "local/head.h"
#include "swin/unit.h"
#include "train/adamw.h"

namespace localformer {

struct ModuleOptions {
  bool reconstruct = true;  // Target `features` with `decoder`; false: labels alone.
  DecoderOptions decoder;
  double label_weight = 1.0;           // a
  double reconstruction_weight = 1.0;  // b
  double label_smoothing = 0.0;        // In [0, 1).
  int64_t chunk = 0;                   // Samples a chunk of the auxiliary losses; 0: an eighth.
  int64_t accumulate = 1;              // Micro-batches whose gradients add up to one step.
  bool recompute = false;              // Keep only the inputs of units for the backward pass.
  AdamWOptions optimizer;
};

// Where in a step something happened; names for people and for errors.
enum class Phase { kForward, kLosses, kBackward, kUpdate };
const char* PhaseName(Phase phase);

struct ModuleStepResult {
  double label_loss = 0.0;
  double reconstruction_loss = 0.0;  // 0 where the module has no decoder.
  int64_t correct = 0;               // Samples whose largest logit is the label's.
  int64_t peak_allocated_bytes = 0;  // While this module stepped.
  int64_t allocated_bytes_after = 0;
  int64_t feature_bytes = 0;  // Of the features handed on.
  double seconds = 0.0;
  // Modules that held any gradient when this one's backward pass was done; filled by the strategy.
  std::vector<int64_t> modules_with_gradients;
};

class ModuleTrainer {
 public:
  // `last`: the segment ends in the classifier; then there is neither head nor decoder.
  // `target` is the shape of the features to reconstruct.
  ModuleTrainer(std::string name, Segment segment, bool last, const FeatureShape& target,
                int64_t classes, const ModuleOptions& options, at::Generator& generator);

  // One local step. `features` [B, H, W, C], or images [B, 3, H, W] for the first module; taken by
  // value so that the caller can give its reference up. `labels` int64 [B].
  // `*output` receives the detached output of the forward pass, taken before the update; the logits
  // where this is the last module. `after_backward` is called while the gradients are alive.
  // Throws CodedError ERR_NON_FINITE before the weights are touched.
  ModuleStepResult Step(at::Tensor features, const at::Tensor& labels, double learning_rate,
                        const ForwardContext& context, at::Tensor* output,
                        const std::function<void(ModuleStepResult*)>& after_backward);

  // The module's output without learning from it: [B, H', W', C'] or logits.
  at::Tensor Forward(const at::Tensor& features, const ForwardContext& context) const;

  // Class logits of the auxiliary head, or of the classifier: both from the module's output.
  at::Tensor Classify(const at::Tensor& output) const;

  const std::string& name() const { return name_; }
  const Segment& segment() const { return segment_; }
  bool last() const { return head_ == nullptr; }
  bool reconstructs() const { return decoder_ != nullptr; }
  const ModuleOptions& options() const { return options_; }
  const ParameterList& segment_parameters() const { return segment_parameters_; }
  // `head.*` and `decoder.*`; empty for the last module.
  const ParameterList& auxiliary_parameters() const { return auxiliary_parameters_; }

  bool HasGradient() const;
  void ClearGradients() { optimizer_->ClearGradients(); }

 private:
  // Gradients of the whole batch, micro-batch by micro-batch; returns the detached output.
  at::Tensor ComputeGradients(at::Tensor features, const at::Tensor& labels,
                              const ForwardContext& context, ModuleStepResult* result);
  // Forward, losses and backward of some samples, `share` of the batch; the segment's graph is gone
  // when it returns the detached output.
  at::Tensor LearnFrom(at::Tensor features, const at::Tensor& labels, double share,
                       const ForwardContext& context, ModuleStepResult* result);
  // Cross-entropy of the classifier, the last module's loss; returns its gradient with respect to
  // the logits.
  at::Tensor ClassifierGradient(const at::Tensor& output, const at::Tensor& labels, double share,
                                ModuleStepResult* result) const;
  // Losses on the detached output, one after the other over chunks of the samples; returns their
  // gradient with respect to the output (METHOD 4.3).
  at::Tensor AuxiliaryGradient(const at::Tensor& output, const at::Tensor& features,
                               const at::Tensor& labels, double batch_share,
                               const ForwardContext& context, ModuleStepResult* result) const;
  // The features to reconstruct, for some samples of the input.
  at::Tensor Target(const at::Tensor& features) const;
  int64_t ChunkSize(int64_t batch) const;
  void CheckFinite(const ModuleStepResult& result) const;

  std::string name_;
  Segment segment_;
  ModuleOptions options_;
  int64_t patch_ = 0;  // Side of a patch where the input is images, else 0.
  std::unique_ptr<LinearHead> head_;
  std::unique_ptr<Decoder> decoder_;
  ParameterList segment_parameters_;
  ParameterList auxiliary_parameters_;
  std::unique_ptr<AdamW> optimizer_;
  Phase phase_ = Phase::kForward;
};

}  // namespace localformer
