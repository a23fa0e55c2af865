// Gradients looked at before they reach the weights: a NaN that arises in one of them alone shows
// in no loss of its step, and would stay in the weights and in the optimizer.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "swin/parameters.h"

namespace localformer {

// Name of a parameter whose gradient holds NaN or infinity; empty where none does. The gradients
// are on the CPU.
std::string FindNonFiniteGradient(const ParameterList& parameters);

// The same of a device, which is not waited for: the names of the parameters that have gradients,
// and of each, as a scalar there, the largest magnitude in it, which is not finite where any value
// is not.
struct LargestGradients {
  std::vector<std::string> names;
  std::vector<at::Tensor> magnitudes;
};
LargestGradients FindLargestGradients(const ParameterList& parameters);

}  // namespace localformer
