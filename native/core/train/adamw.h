// AdamW (Loshchilov & Hutter, arXiv 1711.05101). State: both moments.
#pragma once

#include "train/optimizer.h"

namespace localformer {

class AdamW final : public Optimizer {
 public:
  AdamW(const ParameterList& parameters, const OptimizerOptions& options);

 protected:
  void Update(const Group& group, double learning_rate,
              const std::optional<at::Tensor>& found) override;

 private:
  OptimizerOptions options_;
};

}  // namespace localformer
