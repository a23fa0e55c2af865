// Gradients looked at before they reach the weights: a NaN that arises in one of them alone shows
// in no loss of its step, and would stay in the weights and in the optimizer.
#pragma once

#include <string>

#include "swin/parameters.h"

namespace localformer {

// Name of a parameter whose gradient holds NaN or infinity; empty where none does.
std::string FindNonFiniteGradient(const ParameterList& parameters);

}  // namespace localformer
