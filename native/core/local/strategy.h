// How one batch trains the whole network: module by module. End-to-end backpropagation is the case
// of one module without auxiliary parts, so both run over the same units with the same
// ModuleTrainer.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "distributed/division.h"
#include "local/module_trainer.h"
#include "math/product_choices.h"
#include "memory/memory_timeline.h"
#include "swin/model.h"
#include "train/device_calls.h"

namespace localformer {

struct StepResult {
  std::vector<ModuleStepResult> modules;
  int64_t peak_allocated_bytes = 0;
  int64_t peak_reserved_bytes = 0;
  double seconds = 0.0;                // From the batch as it was stored to the device's last work.
  bool stops = false;                  // Does any rank end the training behind this step?
  double tuning_seconds = 0.0;         // Not in it: measuring which backend is fastest.
  std::optional<Transfers> transfers;  // Of what is offloaded; none where nothing is.
  std::optional<std::vector<MemoryPoint>> timeline;  // Where it was asked for.
  std::optional<std::vector<PhaseCalls>> calls;      // The same.

  // Its numbers have their rows in lib/metrics/step-metrics.ts.
  template <typename Self, typename Visit>
  static void Fields(Self& self, Visit&& visit) {
    visit("modules", self.modules);
    visit("peakAllocatedBytes", self.peak_allocated_bytes);
    visit("peakReservedBytes", self.peak_reserved_bytes);
    visit("seconds", self.seconds);
    visit("stops", self.stops);
    visit("tuningSeconds", self.tuning_seconds);
    visit("transfers", self.transfers);
    visit("timeline", self.timeline);
    visit("calls", self.calls);
  }
};

struct TrainerOptions {
  // Index behind the last unit of each module, rising, the last one the number of units.
  std::vector<int64_t> ends;
  std::vector<ModuleOptions> modules;  // One a module.
  uint64_t seed = 0;                   // Draws auxiliary weights and stochastic depth.
  std::optional<std::string> label;    // What a record of memory calls it: `paper:4`.

  template <typename Self, typename Visit>
  static void Fields(Self& self, Visit&& visit) {
    visit("ends", self.ends);
    visit("modules", self.modules);
    visit("seed", self.seed);
    visit("label", self.label);
  }
};

struct StepOptions {
  // One for each module that runs, from the first; one without only passes the features on.
  std::vector<std::optional<double>> learning_rates;
  std::optional<double> clip_norm;  // Largest norm of each module's gradients.
  bool timeline = false;            // Record what memory looks like over the step.
  bool stop = false;                // Tell the other ranks that the training ends behind this step.
  bool calls = false;               // Count what a simulated device is asked, by module and phase.

  template <typename Self, typename Visit>
  static void Fields(Self& self, Visit&& visit) {
    visit("learningRates", self.learning_rates);
    visit("clipNorm", self.clip_norm);
    visit("timeline", self.timeline);
    visit("calls", self.calls);
    visit("stop", self.stop);
  }
};

class Strategy {
 public:
  // Everything that the strategy adds lives on the model's device. Throws CodedError ERR_CONFIG.
  Strategy(std::shared_ptr<SwinModel> model, const TrainerOptions& options);

  // One step on a normalised batch: images [B, 3, H, W]. Module k+1 begins when module k has
  // updated its weights and freed its graph and gradients. `start` is WorkNow() when the batch was
  // taken up: the step's seconds count from there, its peaks from the call.
  //
  // Divided among ranks: `images` are this rank's share of the batch, undefined, with an empty
  // `supervision`, where features come from another rank. Modules that others have are in the
  // result as those that did not learn. Where gradients are added up, a module's update waits until
  // the next one's forward pass is done.
  StepResult Step(at::Tensor images, Supervision supervision, const StepOptions& options,
                  std::chrono::steady_clock::time_point start, const std::atomic<bool>* cancelled);

  // One module alone.
  ModuleStepResult StepModule(size_t index, at::Tensor features, const Supervision& supervision,
                              const UpdateOptions& update, const std::atomic<bool>* cancelled,
                              at::Tensor* output);

  // A module's output without learning from it.
  at::Tensor ForwardModule(size_t index, at::Tensor features, const std::atomic<bool>* cancelled);

  // What the first module takes.
  at::Tensor Patches(const at::Tensor& images) const;

  // Does any module reconstruct the image?
  bool needs_image() const;
  // What its work is done in: whoever calls for it holds an ArithmeticInUse. One for all modules,
  // since they share the process.
  Precision precision() const { return modules_.front()->options().precision; }

  // Of its modules in a record of memory; may be empty.
  const std::string& label() const { return label_; }

  // The same for products on the CPU, with a MathInUse.
  MathMode math() const { return modules_.front()->options().math; }
  ProductChoices& choices() { return choices_; }
  // What its products are computed by; none where nothing is chosen.
  std::optional<std::vector<ProductChoice>> Products() const {
    if (math() != MathMode::kTuned) return std::nullopt;
    return choices_.List();
  }

  const std::vector<std::unique_ptr<ModuleTrainer>>& modules() const { return modules_; }
  const SwinModel& model() const { return *model_; }
  // Auxiliary parameters of all modules, `auxiliary.{k}.head.*` and so on.
  ParameterList AuxiliaryParameters() const;

  // Starts, or without a decay ends, the averages of all modules' weights; all or none.
  void KeepAverage(std::optional<double> decay);
  // By the names of the weights, the network's first; empty where no average is kept.
  ParameterList AverageParameters() const;

  // Divides the work among the ranks of a group, for good. From the next step on what others have
  // is not here: weights, optimizer state and averages of their modules are freed.
  void Divide(std::shared_ptr<ProcessGroup> group, const DivisionOptions& options);
  // Null where it is not divided.
  Division* division() { return division_.get(); }
  // The modules that are here: [first, last).
  size_t FirstHere() const;
  size_t LastHere() const;
  // On all ranks at once: brings to rank 0 what others have, until its next step.
  void Gather();

  // What auxiliary weights, stochastic depth and samples are drawn from.
  at::Generator& generator() { return generator_; }

 private:
  // Modules that have stepped, or passed on, one after the other, and what a device still owes.
  struct StepsUnderway {
    explicit StepsUnderway(c10::Device device) : readings(device) {}

    StepReadings readings;
    size_t first = 0;  // Index of the module of the first step.
    std::vector<UnsettledStep> steps;
    bool stops = false;                     // Has this rank, or one that it learned of, to stop?
    std::vector<at::Generator> generators;  // As they were before each step that learned.
  };

  // Its gradients; `after_forward` may be none.
  StepUnderway BeginModule(size_t index, at::Tensor features, const Supervision& supervision,
                           const std::atomic<bool>* cancelled,
                           const std::function<void()>& after_forward, StepsUnderway* underway);
  // All modules that are here, one after the other.
  void StepModules(Handover batch, const StepOptions& options, const std::atomic<bool>* cancelled,
                   StepsUnderway* underway);
  void Release();
  // Of all ranks that share a batch.
  int64_t WholeBatch(const Supervision& supervision) const;
  void SetAbsent(size_t module, bool is_absent);
  // A module's parameters and what is kept for them.
  std::vector<at::Tensor> ValuesOf(size_t module) const;
  // Steps that did not come to their end have drawn nothing.
  void ForgetDraws(StepsUnderway* underway);
  // Waits for the device. Throws CodedError ERR_NON_FINITE for the first module that did not learn;
  // neither did those behind it.
  std::vector<ModuleStepResult> Settle(StepsUnderway* underway);

  std::shared_ptr<SwinModel> model_;
  const std::string label_;
  at::Generator generator_;
  ProductChoices choices_;
  std::shared_ptr<CopyStream> copies_;  // None where nothing is offloaded.
  std::vector<std::shared_ptr<void>> claims_;
  std::vector<std::unique_ptr<ModuleTrainer>> modules_;
  std::unique_ptr<Division> division_;
  std::optional<double> average_decay_;
};

// Modules one after the other, the weights of each on the device and those of the next on their way
// there.
class WeightRelay {
 public:
  // `use`: begins to bring what a module takes.
  using Use = std::function<TensorsInUse(const ModuleTrainer&)>;
  // Over modules [first, last).
  WeightRelay(const Strategy& strategy, size_t first, size_t last, Use use);

  // To the next module, `first` at first; what the one before took is no longer needed.
  void Advance();

 private:
  // What a module takes; `at_work` is told to have failed where it cannot be had.
  TensorsInUse Of(size_t index, size_t at_work) const;

  const Strategy& strategy_;
  size_t last_;
  Use use_;
  size_t next_;
  TensorsInUse at_work_, ahead_;
};

// While it lives, a module has its averaged weights, where an average is kept.
class AverageInUse {
 public:
  explicit AverageInUse(const ModuleTrainer& module) : average_(module.average()) { Swap(); }
  ~AverageInUse() { Swap(); }
  AverageInUse(const AverageInUse&) = delete;
  AverageInUse& operator=(const AverageInUse&) = delete;

 private:
  void Swap() {
    if (average_ != nullptr) average_->Swap();
  }

  WeightAverage* const average_;
};

}  // namespace localformer
