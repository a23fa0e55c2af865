// See adamw.h.
#include "train/adamw.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

namespace localformer {
namespace {

bool TakesDecay(const std::string& name, const at::Tensor& parameter) {
  return parameter.dim() > 1 && name.find("relative_position_bias_table") == std::string::npos;
}

}  // namespace

AdamW::AdamW(const ParameterList& parameters, const AdamWOptions& options) : options_(options) {
  decay_.weight_decay = options.weight_decay;
  for (const auto& [name, parameter] : parameters) {
    Group& group = TakesDecay(name, parameter) ? decay_ : no_decay_;
    const auto plain = parameter.options().requires_grad(false);
    group.parameters.push_back(parameter);
    group.first_moments.push_back(at::zeros(parameter.sizes(), plain));
    group.second_moments.push_back(at::zeros(parameter.sizes(), plain));
    group.steps.push_back(at::zeros({}, plain));
  }
}

void AdamW::Step(double learning_rate) {
  StepGroup(decay_, learning_rate);
  StepGroup(no_decay_, learning_rate);
}

void AdamW::StepGroup(Group& group, double learning_rate) {
  c10::NoGradGuard no_grad;
  std::vector<at::Tensor> parameters, gradients, first, second, steps;
  for (size_t i = 0; i < group.parameters.size(); ++i) {
    const at::Tensor& gradient = group.parameters[i].grad();
    if (!gradient.defined()) continue;
    parameters.push_back(group.parameters[i]);
    gradients.push_back(gradient);
    first.push_back(group.first_moments[i]);
    second.push_back(group.second_moments[i]);
    steps.push_back(group.steps[i].add_(1));
  }
  if (parameters.empty()) return;
  at::_fused_adamw_(parameters, gradients, first, second, /*max_exp_avg_sqs=*/{}, steps,
                    learning_rate, options_.beta1, options_.beta2, group.weight_decay, options_.eps,
                    /*amsgrad=*/false, /*maximize=*/false);
}

void AdamW::ClearGradients() {
  for (Group* group : {&decay_, &no_decay_}) {
    for (at::Tensor& parameter : group->parameters) parameter.mutable_grad().reset();
  }
}

}  // namespace localformer
