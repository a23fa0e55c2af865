// See weight_average.h.
#include "train/weight_average.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

namespace localformer {

WeightAverage::WeightAverage(const ParameterList& parameters, double decay) : decay_(decay) {
  for (const auto& parameter : parameters) {
    parameters_.push_back(parameter.second);
    values_.push_back(parameter.second.detach().clone());
  }
}

void WeightAverage::Update(const at::Tensor& found) {
  c10::NoGradGuard no_grad;
  if (!found.defined()) {
    at::_foreach_lerp_(values_, parameters_, 1.0 - decay_);
    return;
  }
  // The one update of many tensors that a device can hold back. With the weights for gradients, to
  // be maximised, and a weight decay of 1 it is a step from average towards weight:
  // average -= (1 - decay) * (-weight + 1 * average).
  at::_fused_sgd_(values_, parameters_, /*momentum_buffer_list=*/{}, /*weight_decay=*/1.0,
                  /*momentum=*/0.0, /*lr=*/1.0 - decay_, /*dampening=*/0.0, /*nesterov=*/false,
                  /*maximize=*/true, /*is_first_step=*/false, /*grad_scale=*/{}, found);
}

void WeightAverage::OffloadValues(const std::shared_ptr<CopyStream>& copies) {
  offloading_ = Offload(values_, copies);
}

void WeightAverage::Swap() {
  for (size_t i = 0; i < parameters_.size(); ++i) {
    const at::Tensor weights = parameters_[i].detach();
    parameters_[i].set_data(values_[i]);
    values_[i] = weights;
  }
}

}  // namespace localformer
