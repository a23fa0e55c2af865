// A module: a segment of the network with its auxiliary head and decoder and its own optimizer.
// It owns the whole local step: detach, forward, losses, backward, update, freeing of gradients
// (docs/method.md, section 6). Features in -> detached features out.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "coded_error.h"
#include "distributed/gradient_sum.h"
#include "fields.h"
#include "local/auxiliary_site.h"
#include "local/decoder.h"
#include "local/head.h"
#include "local/module_options.h"
#include "local/supervision.h"
#include "swin/unit.h"
#include "train/device.h"
#include "train/optimizer.h"
#include "train/readings.h"
#include "train/weight_average.h"

namespace localformer {

// Where in a step something happened.
enum class Phase { kForward, kLosses, kBackward, kUpdate };

template <>
struct Words<Phase> {
  static constexpr Word<Phase> kTable[] = {{"forward", Phase::kForward},
                                           {"losses", Phase::kLosses},
                                           {"backward", Phase::kBackward},
                                           {"update", Phase::kUpdate}};
};

// What a step of one module did. What there was not is none, never 0.
struct ModuleStepResult {
  // None of these, down to the accuracy, where the module only passed features on.
  std::optional<double> label_loss;
  std::optional<double> reconstruction_loss;  // Nor where it has no decoder.
  std::optional<double> penalty;        // Energy of the residual branches, where it was asked for.
  std::optional<double> gradient_norm;  // Before clipping, where that was asked for.
  std::optional<int64_t> correct;       // Samples whose largest logit is the label's.
  std::optional<double> accuracy;       // Their share of the batch.
  bool learned = true;                  // False where the module only passed features on.
  int64_t peak_allocated_bytes = 0;     // While this module stepped.
  int64_t allocated_bytes_after = 0;
  int64_t feature_bytes = 0;  // Of the features handed on.
  double seconds = 0.0;
  // Modules that held any gradient when this one's backward pass was done; filled by the strategy.
  std::vector<int64_t> modules_with_gradients;

  // Every part by the name that scripts know it by; the numbers that are shown have their rows in
  // lib/metrics/module-metrics.ts.
  template <typename Self, typename Visit>
  static void Fields(Self& self, Visit&& visit) {
    visit("labelLoss", self.label_loss);
    visit("reconstructionLoss", self.reconstruction_loss);
    visit("penalty", self.penalty);
    visit("gradientNorm", self.gradient_norm);
    visit("correct", self.correct);
    visit("accuracy", self.accuracy);
    visit("learned", self.learned);
    visit("peakAllocatedBytes", self.peak_allocated_bytes);
    visit("allocatedBytesAfter", self.allocated_bytes_after);
    visit("featureBytes", self.feature_bytes);
    visit("seconds", self.seconds);
    visit("modulesWithGradients", self.modules_with_gradients);
  }
};

// Weights of a module's losses as they count: the last one has its classifier's loss alone.
struct LossWeights {
  double label = 1.0;
  double reconstruction = 0.0;
  double penalty = 0.0;

  template <typename Self, typename Visit>
  static void Fields(Self& self, Visit&& visit) {
    visit("label", self.label);
    visit("reconstruction", self.reconstruction);
    visit("penalty", self.penalty);
  }
};

// What a module is made of.
struct ModuleDescription {
  std::string name;
  std::vector<std::string> units;
  int64_t parameter_count = 0;            // Of the segment.
  int64_t auxiliary_parameter_count = 0;  // Of head and decoder.
  bool reconstructs = false;
  LossWeights loss_weights;
  OptimizerOptions optimizer;

  template <typename Self, typename Visit>
  static void Fields(Self& self, Visit&& visit) {
    visit("name", self.name);
    visit("units", self.units);
    visit("parameterCount", self.parameter_count);
    visit("auxiliaryParameterCount", self.auxiliary_parameter_count);
    visit("reconstructs", self.reconstructs);
    visit("lossWeights", self.loss_weights);
    visit("optimizer", self.optimizer);
  }
};

// A step that the host has done with and the device perhaps not: what it measured is settled later.
struct UnsettledStep {
  explicit UnsettledStep(c10::Device device) : stopwatch(device) {}

  ModuleStepResult result;
  int64_t samples = 0;
  // `told`: what every rank tells the others, `shares`: how many samples it has; added up as the
  // numbers of all are.
  Reading told, shares, label_loss, reconstruction_loss, penalty, correct, gradient_norm;
  // The classes that were told for the samples, a tensor a part of the batch; then counted at once.
  std::vector<at::Tensor> answers;
  // Parameters whose gradients' largest magnitudes are kept behind these numbers.
  std::vector<std::string> checked;
  bool made_optimizer = false;
  // Its numbers are those of this rank's samples alone, until they have been added up.
  bool is_share = false;
  // Called once, when the first forward pass is done.
  std::function<void()> after_forward;
  Stopwatch stopwatch;
};

// A step whose gradients are there, or on their way to the other ranks, and whose update is not.
struct StepUnderway {
  explicit StepUnderway(c10::Device device) : step(device), window(OpenPeakWindow(device)) {}

  UnsettledStep step;
  PeakWindow window;
  TensorsInUse weights, state;
  at::Tensor output;  // Detached, [B, H, W, C]; the logits of the last module.
  std::optional<GradientSum> sum;
};

class ModuleTrainer {
 public:
  // `last`: the segment ends in the classifier; then there is neither head nor decoder.
  // `largest_map`: the network's largest feature map; recomputation takes as much at a
  // time as a chunk of samples has there. Throws CodedError ERR_CONFIG for options that do not go
  // together. `copies`: where offloaded values are copied; for a module that offloads none may be
  // null. The segment's weights are offloaded by whoever owns the units.
  ModuleTrainer(int64_t index, Segment segment, bool last, const AuxiliarySite& site,
                const FeatureShape& largest_map, const ModuleOptions& options,
                at::Generator& generator, std::shared_ptr<CopyStream> copies);

  // A local step as far as its gradients. `features` [B, H, W, C], for the first module patches;
  // taken by value so that the caller can give its reference up. `replicas`: the ranks that have
  // this module too, each with its share of the batch, whose gradients begin to be added up, and
  // `told` with them; null: there are none. `after_backward` is called while the gradients are
  // alive.
  StepUnderway Begin(at::Tensor features, const Supervision& supervision,
                     const ForwardContext& context, Communicator* replicas, double told,
                     const std::function<void()>& after_forward,
                     const std::function<void(ModuleStepResult*)>& after_backward);

  // Its update, behind which no gradients are left. Throws CodedError ERR_NON_FINITE before the
  // weights are touched, on the CPU; a device that `readings` are kept on leaves them as they are
  // by itself, and Settle throws.
  UnsettledStep Finish(StepUnderway* underway, const UpdateOptions& update, StepReadings* readings);

  // In place of its update: as if the step had not begun.
  void Abandon(StepUnderway* underway);

  // Draws what a step would draw, and forgets it: `batch` samples of all ranks.
  void DrawInVain(int64_t batch, at::Generator& generator) const;

  // What a step did, with the numbers that it kept. The device is done with it. Throws CodedError
  // ERR_NON_FINITE for a step that changed nothing.
  ModuleStepResult Settle(UnsettledStep* step, const std::vector<float>& kept) const;

  // For a step that changed nothing: as if it had not been.
  void Forget(const UnsettledStep& step);

  // A step without its update: the memory of one, and no gradients are left.
  void Rehearse(at::Tensor features, const Supervision& supervision, const ForwardContext& context);

  // The features on to the next module without learning: evaluation mode, no head, no losses. Like
  // Step, and unlike the calls below, it sees to it that what it needs is on the device.
  UnsettledStep Pass(at::Tensor features, const ForwardContext& context, at::Tensor* output);

  // The module's output without learning from it: [B, H', W', C'] or logits.
  at::Tensor Forward(at::Tensor features, const ForwardContext& context) const;

  // Class logits of the auxiliary head, or of the classifier: both from the module's output.
  at::Tensor Classify(const at::Tensor& output, const ForwardContext& context) const;

  // For a module that reconstructs, in evaluation mode: what its decoder has to give for these
  // input features, and what it gives for the `output` that the segment made of them.
  std::pair<at::Tensor, at::Tensor> Reconstruct(const at::Tensor& features,
                                                const at::Tensor& output,
                                                const Supervision& supervision,
                                                const ForwardContext& context) const;

  int64_t index() const { return index_; }
  const std::string& name() const { return name_; }
  ModuleDescription Describe() const;
  // Does the first module's target hold pixels rather than features?
  bool is_first() const { return first_; }
  const Segment& segment() const { return segment_; }
  bool last() const { return head_ == nullptr; }
  bool reconstructs() const { return decoder_ != nullptr; }
  // Are its losses those of a batch, and not of its samples?
  bool needs_whole_batch() const { return decoder_ != nullptr && decoder_->needs_whole_batch(); }
  const ModuleOptions& options() const { return options_; }
  const ParameterList& segment_parameters() const { return segment_parameters_; }
  // `head.*` and `decoder.*`; empty for the last module.
  const ParameterList& auxiliary_parameters() const { return auxiliary_parameters_; }
  // The segment's, then the auxiliary ones.
  ParameterList AllParameters() const;

  // Begins to bring to the device what is offloaded of: all weights; the segment's; what an
  // evaluation takes, the averaged weights where an average is kept, else the weights.
  TensorsInUse UseWeights() const;
  TensorsInUse UseSegment() const { return UseParameters(segment_); }
  TensorsInUse UseForEvaluation() const;

  bool HasGradient() const;
  void ClearGradients();

  // A new optimizer of its parameters, and the one that it steps with from now on; none frees the
  // state, and the next step begins with a new one.
  std::unique_ptr<Optimizer> MakeOptimizer() const;
  void SetOptimizer(std::unique_ptr<Optimizer> optimizer) { optimizer_ = std::move(optimizer); }
  // None where it was released.
  const Optimizer* optimizer() const { return optimizer_.get(); }

  // A new average of all weights, auxiliary ones too, and the one that is kept from now on, or
  // none.
  std::unique_ptr<WeightAverage> MakeAverage(double decay) const;
  void SetAverage(std::unique_ptr<WeightAverage> average) { average_ = std::move(average); }
  // None where none is kept. Its values: those of segment_parameters(), then the auxiliary ones.
  WeightAverage* average() const { return average_.get(); }

 private:
  // Runs `work`, of a step: what it throws leaves everything as it was, and names this module.
  template <typename Work>
  void OrAbandon(StepUnderway* underway, c10::Device device, const Work& work);
  // What an update takes beside the weights.
  TensorsInUse UseState() const;
  // Gradients of the whole batch; returns the detached output.
  at::Tensor ComputeGradients(at::Tensor features, const Supervision& supervision,
                              const ForwardContext& context, UnsettledStep* step);
  // Of `size` samples at a time.
  at::Tensor LearnInParts(at::Tensor features, const Supervision& supervision, int64_t size,
                          const ForwardContext& context, const std::optional<RecomputePlan>& plan,
                          UnsettledStep* step);
  // Forward, losses and backward of some samples of the context's batch; the segment's graph is
  // gone when it returns the detached output. `place`: where the output belongs, told from what it
  // is; none: where it is.
  at::Tensor LearnFrom(at::Tensor features, const Supervision& supervision,
                       const ForwardContext& context, const std::optional<RecomputePlan>& plan,
                       const std::function<at::Tensor(const at::Tensor&)>& place,
                       UnsettledStep* step);
  // How a card takes so many samples where units are computed again; none elsewhere.
  std::optional<RecomputePlan> PlanOf(int64_t batch, c10::Device device) const;
  // Cross-entropy of the classifier, the last module's loss; returns its gradient with respect to
  // the logits.
  at::Tensor ClassifierGradient(const at::Tensor& output, const Supervision& supervision,
                                double share, UnsettledStep* step) const;
  // Losses on the detached output, one after the other over chunks of the samples; returns their
  // gradient with respect to the output (docs/method.md, section 6, rule 3). `features`: the
  // module's input where that is the target.
  at::Tensor AuxiliaryGradient(const at::Tensor& output, const at::Tensor& features,
                               const Supervision& supervision, double batch_share,
                               const ForwardContext& context, UnsettledStep* step) const;
  // The same where head and decoder have gradients of their own, or take little beside the map: the
  // head takes all samples at once, and the decoder few parts.
  at::Tensor GradientInParts(const at::Tensor& output, const at::Tensor& features,
                             const Supervision& supervision, double share,
                             const ForwardContext& context, UnsettledStep* step) const;
  // R of some samples; `rows`: of the tokens drawn, or undefined.
  at::Tensor LossOfReconstruction(const at::Tensor& output, const at::Tensor& features,
                                  const Supervision& supervision, const at::Tensor& rows,
                                  const ForwardContext& context) const;
  // What the decoder has to give for some samples.
  at::Tensor TargetOf(const at::Tensor& features, const Supervision& supervision) const;
  // Which tokens of the target's grid are reconstructed, int64, rising, counted over all samples;
  // of each sample as many. Undefined: all of them.
  at::Tensor DrawSample(const at::Tensor& output, const ForwardContext& context) const;
  // Samples that the auxiliary losses take at a time.
  int64_t ChunkSize(int64_t batch, bool is_heavy, c10::Device device) const;
  ForwardContext Prepared(const ForwardContext& context) const;
  // All parameters by the names that scripts know them by.
  ParameterList NamedParameters() const;
  // Clips the gradients and looks whether all are finite: on the CPU at once, of a device's numbers
  // it is kept what has to be looked at.
  void LookAtGradients(const UpdateOptions& update, StepReadings* readings,
                       UnsettledStep* step) const;
  // Throw ERR_NON_FINITE for what is known not to be finite.
  // Throws CodedError ERR_SHAPE where ranks gave different numbers of samples.
  void CheckShares(const UnsettledStep& step) const;
  void CheckLosses(const UnsettledStep& step) const;
  void CheckGradients(const UnsettledStep& step, const std::string& parameter) const;
  CodedError NonFinite(const std::string& what) const;
  // Within the handler that caught `error`: where memory was missing, with this module and phase.
  [[noreturn]] void ThrowAsOwn(const c10::Error& error, c10::Device device) const;

  // From here on the step is in this phase; said to whoever records memory.
  void Enter(Phase phase);

  int64_t index_;
  std::string name_;
  Segment segment_;
  ModuleOptions options_;
  AuxiliarySite site_;
  FeatureShape largest_map_;
  bool first_;
  std::unique_ptr<Head> head_;
  std::unique_ptr<Decoder> decoder_;
  ParameterList segment_parameters_;
  ParameterList auxiliary_parameters_;
  std::unique_ptr<Optimizer> optimizer_;  // None until the first step after a release.
  std::unique_ptr<WeightAverage> average_;
  std::shared_ptr<CopyStream> copies_;
  Offloading auxiliary_;
  Phase phase_ = Phase::kForward;
};

}  // namespace localformer
