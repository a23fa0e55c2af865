// Exponential moving average of weights (Polyak & Juditsky 1992, as timm's ModelEma has it):
// average = decay * average + (1 - decay) * weights after every step, from the weights at its
// beginning.
#pragma once

#include <memory>
#include <vector>

#include "memory/offloaded_tensors.h"
#include "swin/parameters.h"

namespace localformer {

class WeightAverage {
 public:
  // `decay` in [0, 1).
  WeightAverage(const ParameterList& parameters, double decay);

  // `found`, where it is defined: a float scalar on the device; where it is 1, the device changes
  // nothing (StepReadings).
  void Update(const at::Tensor& found);
  // Parameters and averages change places, without a copy; a second time changes them back.
  void Swap();
  // In the order of the parameters.
  const std::vector<at::Tensor>& values() const { return values_; }

  // Keeps the averages on the host from now on: whoever computes with them has them in use.
  void OffloadValues(const std::shared_ptr<CopyStream>& copies);
  // None where they stay on the device.
  const std::shared_ptr<OffloadedTensors>& offloaded() const { return offloading_.tensors; }

 private:
  std::vector<at::Tensor> parameters_;
  std::vector<at::Tensor> values_;
  double decay_;
  Offloading offloading_;
};

}  // namespace localformer
