// How one batch trains the whole network: module by module. End-to-end backpropagation is the case
// of one module without auxiliary parts, so both run over the same units with the same
// ModuleTrainer.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <vector>

#include "local/module_trainer.h"
#include "memory/memory_timeline.h"
#include "swin/model.h"
#include "train/device_calls.h"

namespace localformer {

struct StepResult {
  std::vector<ModuleStepResult> modules;
  int64_t peak_allocated_bytes = 0;
  int64_t peak_reserved_bytes = 0;
  double seconds = 0.0;  // From the batch as it was stored to the device's last work.
  std::optional<std::vector<MemoryPoint>> timeline;  // Where it was asked for.
  std::optional<std::vector<PhaseCalls>> calls;      // The same.

  // Its numbers have their rows in lib/metrics/step-metrics.ts.
  template <typename Self, typename Visit>
  static void Fields(Self& self, Visit&& visit) {
    visit("modules", self.modules);
    visit("peakAllocatedBytes", self.peak_allocated_bytes);
    visit("peakReservedBytes", self.peak_reserved_bytes);
    visit("seconds", self.seconds);
    visit("timeline", self.timeline);
    visit("calls", self.calls);
  }
};

struct TrainerOptions {
  // Index behind the last unit of each module, rising, the last one the number of units.
  std::vector<int64_t> ends;
  std::vector<ModuleOptions> modules;  // One a module.
  uint64_t seed = 0;                   // Draws auxiliary weights and stochastic depth.

  template <typename Self, typename Visit>
  static void Fields(Self& self, Visit&& visit) {
    visit("ends", self.ends);
    visit("modules", self.modules);
    visit("seed", self.seed);
  }
};

struct StepOptions {
  // One for each module that runs, from the first; one without only passes the features on.
  std::vector<std::optional<double>> learning_rates;
  std::optional<double> clip_norm;  // Largest norm of each module's gradients.
  bool timeline = false;            // Record what memory looks like over the step.
  bool calls = false;               // Count what a simulated device is asked, by module and phase.

  template <typename Self, typename Visit>
  static void Fields(Self& self, Visit&& visit) {
    visit("learningRates", self.learning_rates);
    visit("clipNorm", self.clip_norm);
    visit("timeline", self.timeline);
    visit("calls", self.calls);
  }
};

class Strategy {
 public:
  // Everything that the strategy adds lives on the model's device. Throws CodedError ERR_CONFIG.
  Strategy(std::shared_ptr<SwinModel> model, const TrainerOptions& options);

  // One step on a normalised batch: images [B, 3, H, W]. Module k+1 begins when module k has
  // updated its weights and freed its graph and gradients. `start` is when the batch was taken up:
  // the step's seconds count from there, its peaks from the call.
  StepResult Step(at::Tensor images, Supervision supervision, const StepOptions& options,
                  std::chrono::steady_clock::time_point start, const std::atomic<bool>* cancelled);

  // One module alone.
  ModuleStepResult StepModule(size_t index, at::Tensor features, const Supervision& supervision,
                              const UpdateOptions& update, const std::atomic<bool>* cancelled,
                              at::Tensor* output);

  // What the first module takes.
  at::Tensor Patches(const at::Tensor& images) const;

  // Does any module reconstruct the image?
  bool needs_image() const;
  // What its work is done in: whoever calls for it holds an ArithmeticInUse. One for all modules,
  // since they share the process.
  Precision precision() const { return modules_.front()->options().precision; }

  const std::vector<std::unique_ptr<ModuleTrainer>>& modules() const { return modules_; }
  const SwinModel& model() const { return *model_; }
  // Auxiliary parameters of all modules, `auxiliary.{k}.head.*` and so on.
  ParameterList AuxiliaryParameters() const;

  // Starts, or without a decay ends, the averages of all modules' weights; all or none.
  void KeepAverage(std::optional<double> decay);
  // By the names of the weights, the network's first; empty where no average is kept.
  ParameterList AverageParameters() const;

  // What auxiliary weights, stochastic depth and samples are drawn from.
  at::Generator& generator() { return generator_; }

 private:
  std::shared_ptr<SwinModel> model_;
  at::Generator generator_;
  std::vector<std::unique_ptr<ModuleTrainer>> modules_;
};

// While it lives, the network and its auxiliary parts have their averaged weights, where averages
// are kept.
class AverageInUse {
 public:
  explicit AverageInUse(const Strategy& strategy) : strategy_(strategy) { Swap(); }
  ~AverageInUse() { Swap(); }
  AverageInUse(const AverageInUse&) = delete;
  AverageInUse& operator=(const AverageInUse&) = delete;

 private:
  void Swap();

  const Strategy& strategy_;
};

}  // namespace localformer
