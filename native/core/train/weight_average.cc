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

void WeightAverage::Update() {
  c10::NoGradGuard no_grad;
  at::_foreach_lerp_(values_, parameters_, 1.0 - decay_);
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
