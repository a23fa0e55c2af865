// AdamW (Loshchilov & Hutter, arXiv 1711.05101) over one module's parameters, with the group that
// takes no weight decay: one-dimensional parameters and relative position bias tables.
#pragma once

#include <vector>

#include "swin/parameters.h"

namespace localformer {

struct AdamWOptions {
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0.05;
};

class AdamW {
 public:
  // The moments are allocated here, so that resident bytes are the same before and after the first
  // step.
  AdamW(const ParameterList& parameters, const AdamWOptions& options);

  // One update of every parameter that has a gradient.
  void Step(double learning_rate);

  // Sets every gradient to none: its memory is given back.
  void ClearGradients();

 private:
  struct Group {
    std::vector<at::Tensor> parameters;
    std::vector<at::Tensor> first_moments;
    std::vector<at::Tensor> second_moments;
    std::vector<at::Tensor> steps;
    double weight_decay = 0.0;
  };

  void StepGroup(Group& group, double learning_rate);

  AdamWOptions options_;
  Group decay_;
  Group no_decay_;
};

}  // namespace localformer
