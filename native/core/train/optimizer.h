// Optimizers over one module's parameters. Two groups: one-dimensional parameters and relative
// position bias tables take no weight decay.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "swin/parameters.h"

namespace localformer {

struct OptimizerOptions {
  std::string kind = "adamw";  // adamw | sgd
  double weight_decay = 0.05;
  double beta1 = 0.9;  // AdamW.
  double beta2 = 0.999;
  double eps = 1e-8;
  double momentum = 0.9;  // SGD, Nesterov's where it is not 0.
};

class Optimizer {
 public:
  virtual ~Optimizer() = default;
  Optimizer(const Optimizer&) = delete;
  Optimizer& operator=(const Optimizer&) = delete;

  // One update of every parameter that has a gradient.
  void Step(double learning_rate);

 protected:
  // Parameters with what an update needs of them; all lists have one entry a parameter.
  struct Group {
    std::vector<at::Tensor> parameters;
    std::vector<at::Tensor> gradients;           // Filled for an update.
    std::vector<std::vector<at::Tensor>> state;  // By kind of state.
    std::vector<at::Tensor> steps;               // Updates so far, scalars.
    double weight_decay = 0.0;
  };

  // `states`: how many tensors of a parameter's shape the optimizer keeps for it. They are
  // allocated here, so that resident bytes are the same before and after the first step.
  Optimizer(const ParameterList& parameters, double weight_decay, size_t states);

  // Updates every parameter of a group; all have gradients.
  virtual void Update(const Group& group, double learning_rate) = 0;

 private:
  std::vector<Group> groups_;
};

// Throws CodedError ERR_CONFIG for an unknown kind.
std::unique_ptr<Optimizer> CreateOptimizer(const OptimizerOptions& options,
                                           const ParameterList& parameters);

}  // namespace localformer
