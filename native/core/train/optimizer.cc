// See optimizer.h.
#include "train/optimizer.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <utility>

#include "fields.h"
#include "memory/dry_run.h"
#include "train/adamw.h"
#include "train/sgd.h"

namespace localformer {
namespace {

struct Kind {
  const char* word;
  std::unique_ptr<Optimizer> (*create)(const OptimizerOptions&, const ParameterList&);
};

template <typename O>
std::unique_ptr<Optimizer> Make(const OptimizerOptions& options, const ParameterList& parameters) {
  return std::make_unique<O>(parameters, options);
}

constexpr Kind kKinds[] = {{"adamw", Make<AdamW>}, {"sgd", Make<Sgd>}};

bool TakesDecay(const std::string& name, const at::Tensor& parameter) {
  return parameter.dim() > 1 && name.find("relative_position_bias_table") == std::string::npos;
}

}  // namespace

Optimizer::Optimizer(const ParameterList& parameters, double weight_decay,
                     std::vector<std::string> states)
    : states_(std::move(states)), groups_(2) {
  groups_[0].weight_decay = weight_decay;
  for (Group& group : groups_) group.state.resize(states_.size());
  for (const auto& [name, parameter] : parameters) {
    Group& group = groups_[TakesDecay(name, parameter) ? 0 : 1];
    group.names.push_back(name);
    group.parameters.push_back(parameter);
    const auto plain = parameter.options().requires_grad(false);
    for (auto& kind : group.state) {
      kind.push_back(IsDryRunOn(parameter.device()) ? at::empty(parameter.sizes(), plain)
                                                    : at::zeros(parameter.sizes(), plain));
    }
    group.steps.push_back(at::zeros({}, plain));
  }
}

void Optimizer::Step(double learning_rate, const at::Tensor& found) {
  c10::NoGradGuard no_grad;
  // What is allocated is so before anything changes, so that an update happens as a whole or not at
  // all: a plain number would become a tensor for every parameter.
  at::Tensor one;
  std::vector<Group> groups;
  for (const Group& group : groups_) {
    Group due = WithGradients(group);
    if (due.parameters.empty()) continue;
    if (!one.defined()) {
      one = found.defined() ? at::rsub(found, 1.0) : at::ones_like(due.steps.front());
    }
    groups.push_back(std::move(due));
  }
  for (const Group& group : groups) {
    // An update allocates nothing.
    if (IsDryRunOn(group.parameters.front().device())) continue;
    at::_foreach_add_(group.steps, one);
    Update(group, learning_rate, found.defined() ? std::optional<at::Tensor>(found) : std::nullopt);
  }
}

Optimizer::Group Optimizer::WithGradients(const Group& group) {
  Group due;
  due.weight_decay = group.weight_decay;
  due.state.resize(group.state.size());
  for (size_t i = 0; i < group.parameters.size(); ++i) {
    const at::Tensor& gradient = group.parameters[i].grad();
    if (!gradient.defined()) continue;
    due.parameters.push_back(group.parameters[i]);
    due.gradients.push_back(gradient);
    due.steps.push_back(group.steps[i]);
    for (size_t kind = 0; kind < due.state.size(); ++kind) {
      due.state[kind].push_back(group.state[kind][i]);
    }
  }
  return due;
}

ParameterList Optimizer::State() const {
  ParameterList list;
  for (const Group& group : groups_) {
    for (size_t i = 0; i < group.names.size(); ++i) {
      for (size_t kind = 0; kind < states_.size(); ++kind) {
        list.emplace_back(states_[kind] + "." + group.names[i], group.state[kind][i]);
      }
      list.emplace_back("step." + group.names[i], group.steps[i]);
    }
  }
  return list;
}

void Optimizer::OffloadState(const std::shared_ptr<CopyStream>& copies) {
  offloading_ = Offload(TensorsOf(State()), copies);
}

std::unique_ptr<Optimizer> CreateOptimizer(const OptimizerOptions& options,
                                           const ParameterList& parameters) {
  return RowOf(kKinds, "optimizer", options.kind).create(options, parameters);
}

}  // namespace localformer
