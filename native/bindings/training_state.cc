// See training_state.h.
#include "training_state.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <set>
#include <string>

#include "coded_error.h"

namespace localformer {
namespace {

ParameterList StateOf(const Strategy& strategy) {
  ParameterList list = strategy.OptimizerState();
  AppendWithPrefix("average", strategy.AverageParameters(), &list);
  return list;
}

// The modules whose optimizer some values are of.
std::set<size_t> ModulesWithOptimizer(const std::vector<PlainTensor>& values,
                                      const Strategy& strategy) {
  std::set<size_t> modules;
  for (size_t k = 0; k < strategy.modules().size(); ++k) {
    const std::string prefix = "optimizer." + std::to_string(k) + ".";
    const bool is_there = std::any_of(values.begin(), values.end(), [&](const PlainTensor& value) {
      return value.name.compare(0, prefix.size(), prefix) == 0;
    });
    if (is_there) modules.insert(k);
  }
  return modules;
}

void CheckComplete(const std::vector<PlainTensor>& values, const ParameterList& wanted) {
  std::set<std::string> names;
  for (const PlainTensor& value : values) names.insert(value.name);
  for (const auto& parameter : wanted) {
    if (names.count(parameter.first) > 0) continue;
    throw CodedError("ERR_CHECKPOINT", "The state of training lacks " + parameter.first);
  }
}

}  // namespace

TrainingState ReadState(Strategy& strategy) {
  TrainingState state;
  state.tensors = CopyOut(StateOf(strategy));
  const at::Tensor bytes = strategy.generator().get_state();
  const uint8_t* data = bytes.const_data_ptr<uint8_t>();
  state.generator.assign(data, data + bytes.numel());
  return state;
}

void WriteState(const TrainingState& state, Strategy* strategy) {
  at::Generator& generator = strategy->generator();
  const size_t size = static_cast<size_t>(generator.get_state().numel());
  if (state.generator.size() != size) {
    throw CodedError("ERR_CHECKPOINT", "Expected " + std::to_string(size) +
                                           " bytes for `generator` but received " +
                                           std::to_string(state.generator.size()));
  }
  strategy->KeepOptimizers(ModulesWithOptimizer(state.tensors, *strategy));
  const ParameterList wanted = StateOf(*strategy);
  CheckComplete(state.tensors, wanted);
  CopyIn(state.tensors, wanted);
  at::Tensor bytes = at::empty({static_cast<int64_t>(size)}, at::kByte);
  std::copy(state.generator.begin(), state.generator.end(), bytes.mutable_data_ptr<uint8_t>());
  generator.set_state(bytes);
}

TrainingState ReadTrainingState(const Napi::Object& object) {
  TrainingState state;
  state.tensors = ReadTensors(object.Get("tensors").As<Napi::Object>());
  const Napi::Uint8Array generator = object.Get("generator").As<Napi::Uint8Array>();
  state.generator.assign(generator.Data(), generator.Data() + generator.ElementLength());
  return state;
}

}  // namespace localformer
