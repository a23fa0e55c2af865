// See adamw.h.
#include "train/adamw.h"

#include <ATen/ATen.h>

namespace localformer {

AdamW::AdamW(const ParameterList& parameters, const OptimizerOptions& options)
    : Optimizer(parameters, options.weight_decay, {"exp_avg", "exp_avg_sq"}), options_(options) {}

void AdamW::Update(const Group& group, double learning_rate,
                   const std::optional<at::Tensor>& found) {
  at::_fused_adamw_(group.parameters, group.gradients, group.state[0], group.state[1],
                    /*max_exp_avg_sqs=*/{}, group.steps, learning_rate, options_.betas[0],
                    options_.betas[1], group.weight_decay, options_.eps, /*amsgrad=*/false,
                    /*maximize=*/false, /*grad_scale=*/{}, found);
}

}  // namespace localformer
