// Optimizers over one module's parameters. Two groups: one-dimensional parameters and relative
// position bias tables take no weight decay.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "memory/offloaded_tensors.h"
#include "swin/parameters.h"

namespace localformer {

struct OptimizerOptions {
  std::string kind = "adamw";  // The words of the table in optimizer.cc.
  double weight_decay = 0.05;
  std::array<double, 2> betas = {0.9, 0.999};  // AdamW.
  double eps = 1e-8;
  double momentum = 0.9;  // SGD, Nesterov's where it is not 0.

  template <typename Self, typename Visit>
  static void Fields(Self& self, Visit&& visit) {
    visit("kind", self.kind);
    visit("weightDecay", self.weight_decay);
    visit("betas", self.betas);
    visit("eps", self.eps);
    visit("momentum", self.momentum);
  }
};

class Optimizer {
 public:
  virtual ~Optimizer() = default;
  Optimizer(const Optimizer&) = delete;
  Optimizer& operator=(const Optimizer&) = delete;

  // One update of every parameter that has a gradient. What it throws, it throws before it has
  // changed anything. `found`, where it is defined: a float scalar on the device; where it is 1,
  // the device changes nothing (StepReadings).
  void Step(double learning_rate, const at::Tensor& found);

  // What it keeps, by PyTorch's names and the parameter's: `exp_avg.norm.weight`,
  // `step.norm.weight`. The tensors are its own: whoever writes into them sets its state.
  ParameterList State() const;

  // Keeps its state on the host from now on: whoever lets it step has it in use.
  void OffloadState(const std::shared_ptr<CopyStream>& copies);
  // None where it stays on the device.
  const std::shared_ptr<OffloadedTensors>& offloaded() const { return offloading_.tensors; }

 protected:
  // Parameters with what an update needs of them; all lists have one entry a parameter.
  struct Group {
    std::vector<std::string> names;
    std::vector<at::Tensor> parameters;
    std::vector<at::Tensor> gradients;           // Filled for an update.
    std::vector<std::vector<at::Tensor>> state;  // By kind of state.
    std::vector<at::Tensor> steps;               // Updates so far, scalars.
    double weight_decay = 0.0;
  };

  // `states`: names of the tensors of a parameter's shape that the optimizer keeps for it. They are
  // allocated here, so that resident bytes are the same before and after the first step.
  Optimizer(const ParameterList& parameters, double weight_decay, std::vector<std::string> states);

  // Updates every parameter of a group, unless `found` is 1; all have gradients. It may not
  // allocate.
  virtual void Update(const Group& group, double learning_rate,
                      const std::optional<at::Tensor>& found) = 0;

 private:
  // The parameters of a group that have gradients.
  static Group WithGradients(const Group& group);

  std::vector<std::string> states_;
  std::vector<Group> groups_;
  Offloading offloading_;
};

// Throws CodedError ERR_CONFIG for an unknown kind.
std::unique_ptr<Optimizer> CreateOptimizer(const OptimizerOptions& options,
                                           const ParameterList& parameters);

}  // namespace localformer
