// Strategies: how one batch trains the whole network. Both run over the same units with the same
// ModuleTrainer; backpropagation is the case of one module.
#pragma once

#include <memory>
#include <vector>

#include "local/module_trainer.h"
#include "swin/model.h"

namespace localformer {

struct StepResult {
  std::vector<ModuleStepResult> modules;
  int64_t peak_allocated_bytes = 0;
  int64_t peak_reserved_bytes = 0;
  double seconds = 0.0;
};

class Strategy {
 public:
  // `ends`: index behind the last unit of each module, rising, the last one the number of units.
  // `seed` draws the auxiliary parts' weights and stochastic depth. Everything that the strategy
  // adds lives on the model's device.
  Strategy(std::shared_ptr<SwinModel> model, const std::vector<size_t>& ends,
           const ModuleOptions& options, uint64_t seed);
  virtual ~Strategy() = default;

  // One step of every module on a normalised batch: images [B, 3, H, W], labels int64 [B]. Module
  // k+1 begins when module k has updated its weights and freed its graph and gradients.
  StepResult Step(at::Tensor images, const at::Tensor& labels, double learning_rate,
                  const std::atomic<bool>* cancelled);

  // One module alone.
  ModuleStepResult StepModule(size_t index, at::Tensor features, const at::Tensor& labels,
                              double learning_rate, const std::atomic<bool>* cancelled,
                              at::Tensor* output);

  const std::vector<std::unique_ptr<ModuleTrainer>>& modules() const { return modules_; }
  const SwinModel& model() const { return *model_; }
  // Auxiliary parameters of all modules, `auxiliary.{k}.head.*` and so on.
  ParameterList AuxiliaryParameters() const;

 private:
  std::shared_ptr<SwinModel> model_;
  at::Generator generator_;
  std::vector<std::unique_ptr<ModuleTrainer>> modules_;
};

// Local learning: the network cut into modules (METHOD, section 3).
class LocalStrategy : public Strategy {
 public:
  using Strategy::Strategy;
};

// End-to-end backpropagation: one module, no auxiliary parts.
class BackpropStrategy : public Strategy {
 public:
  BackpropStrategy(std::shared_ptr<SwinModel> model, const ModuleOptions& options, uint64_t seed);
};

}  // namespace localformer
