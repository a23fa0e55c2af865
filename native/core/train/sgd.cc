// See sgd.h.
#include "train/sgd.h"

#include <ATen/ATen.h>

namespace localformer {

Sgd::Sgd(const ParameterList& parameters, const OptimizerOptions& options)
    : Optimizer(parameters, options.weight_decay,
                options.momentum != 0.0 ? std::vector<std::string>{"momentum_buffer"}
                                        : std::vector<std::string>{}),
      momentum_(options.momentum) {}

void Sgd::Update(const Group& group, double learning_rate, const std::optional<at::Tensor>& found) {
  // The buffers begin at zero, so that the first step needs no case of its own.
  at::_fused_sgd_(group.parameters, group.gradients,
                  momentum_ != 0.0 ? group.state[0] : std::vector<at::Tensor>(), group.weight_decay,
                  momentum_, learning_rate, /*dampening=*/0.0,
                  /*nesterov=*/momentum_ != 0.0, /*maximize=*/false, /*is_first_step=*/false,
                  /*grad_scale=*/{}, found);
}

}  // namespace localformer
