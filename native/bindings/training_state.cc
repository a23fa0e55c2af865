// See training_state.h.
#include "training_state.h"

#include <ATen/ATen.h>
#include <ATen/core/MT19937RNGEngine.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include "coded_error.h"
#include "from_js.h"
#include "typed_array.h"

namespace localformer {
namespace {

// What the optimizers of some modules keep, by module, and the averages.
ParameterList StateOf(const std::map<size_t, const Optimizer*>& optimizers,
                      const Strategy& strategy) {
  ParameterList list;
  for (const auto& [k, optimizer] : optimizers) {
    AppendWithPrefix("optimizer." + std::to_string(k), optimizer->State(), &list);
  }
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

// Mersenne Twister of the CPU's generator: its block of numbers, how many are left of it counting
// the one that was given last, and the place of the next. LibTorch checks each of these two alone,
// and would read behind the block where together they pass its end. Where they stand in the bytes:
// CPUGeneratorImplStateLegacy (aten/src/ATen/CPUGeneratorImpl.cpp).
bool IsWithinBlock(const std::vector<uint8_t>& state) {
  constexpr int64_t kBlock = at::MERSENNE_STATE_N;
  constexpr size_t kLeftAt = 8, kNextAt = 16;
  int32_t left = 0;
  uint64_t next = 0;
  std::memcpy(&left, state.data() + kLeftAt, sizeof left);
  std::memcpy(&next, state.data() + kNextAt, sizeof next);
  return left >= 1 && left <= kBlock && next <= static_cast<uint64_t>(kBlock + 1 - left);
}

// A generator like `like` in a state that ReadState gave.
at::Generator GeneratorOf(const std::vector<uint8_t>& state, const at::Generator& like) {
  const size_t size = static_cast<size_t>(like.get_state().numel());
  if (state.size() != size) {
    throw CodedError("ERR_CHECKPOINT", "Expected " + std::to_string(size) +
                                           " bytes for `generator` but received " +
                                           std::to_string(state.size()));
  }
  const auto refused = [] {
    return CodedError("ERR_CHECKPOINT", "The bytes of `generator` are no state of one");
  };
  if (!IsWithinBlock(state)) throw refused();
  at::Tensor bytes = at::empty({static_cast<int64_t>(size)}, at::kByte);
  std::copy(state.begin(), state.end(), bytes.mutable_data_ptr<uint8_t>());
  at::Generator generator = like.clone();
  try {
    generator.set_state(bytes);
  } catch (const c10::OutOfMemoryError&) {
    throw;
  } catch (const c10::Error&) {
    throw refused();
  }
  return generator;
}

}  // namespace

TrainingState ReadState(Strategy& strategy) {
  TrainingState state;
  std::map<size_t, const Optimizer*> optimizers;
  for (size_t k = 0; k < strategy.modules().size(); ++k) {
    const Optimizer* optimizer = strategy.modules()[k]->optimizer();
    if (optimizer != nullptr) optimizers[k] = optimizer;
  }
  state.tensors = CopyOut(StateOf(optimizers, strategy));
  const at::Tensor bytes = strategy.generator().get_state();
  const uint8_t* data = bytes.const_data_ptr<uint8_t>();
  state.generator.assign(data, data + bytes.numel());
  state.products = strategy.Products();
  return state;
}

void WriteState(const TrainingState& state, Strategy* strategy) {
  // Whatever may fail comes before the first change.
  at::Generator generator = GeneratorOf(state.generator, strategy->generator());
  std::map<size_t, std::unique_ptr<Optimizer>> made;
  std::map<size_t, const Optimizer*> optimizers;
  for (const size_t k : ModulesWithOptimizer(state.tensors, *strategy)) {
    const ModuleTrainer& module = *strategy->modules()[k];
    if (module.optimizer() == nullptr) made[k] = module.MakeOptimizer();
    optimizers[k] = module.optimizer() == nullptr ? made[k].get() : module.optimizer();
  }
  const ParameterList wanted = StateOf(optimizers, *strategy);
  CheckComplete(state.tensors, wanted);
  CopyIn(state.tensors, wanted);
  for (size_t k = 0; k < strategy->modules().size(); ++k) {
    if (optimizers.count(k) == 0) strategy->modules()[k]->SetOptimizer(nullptr);
  }
  for (auto& [k, optimizer] : made) strategy->modules()[k]->SetOptimizer(std::move(optimizer));
  strategy->generator() = std::move(generator);
  if (state.products) strategy->choices().Replace(*state.products);
}

TrainingState ReadTrainingState(const Napi::Value& value) {
  try {
    if (!value.IsObject()) throw Unexpected("the state of a training", "state", value);
    const Napi::Object object = value.As<Napi::Object>();
    TrainingState state;
    state.tensors = ReadTensors(object.Get("tensors"), "tensors");
    state.generator = CopyOf(ViewOf<uint8_t>(object.Get("generator"), "generator"));
    using Products = std::optional<std::vector<ProductChoice>>;
    state.products = FromJs<Products>(object.Get("products"), "products");
    return state;
  } catch (CodedError& error) {
    error.code = "ERR_CHECKPOINT";
    throw;
  }
}

}  // namespace localformer
