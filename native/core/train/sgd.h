// Stochastic gradient descent with Nesterov's momentum (Sutskever et al., ICML 2013) in PyTorch's
// form: b = momentum * b + g; p -= lr * (g + momentum * b). The weight decay is added to g.
#pragma once

#include "train/optimizer.h"

namespace localformer {

class Sgd final : public Optimizer {
 public:
  Sgd(const ParameterList& parameters, const OptimizerOptions& options);

 protected:
  void Update(const Group& group, double learning_rate,
              const std::optional<at::Tensor>& found) override;

 private:
  double momentum_;
};

}  // namespace localformer
