// See trainer_wrap.h. Every asynchronous method copies what it needs, then works on the native
// thread.
#include "trainer_wrap.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include "addon_data.h"
#include "coded_error.h"
#include "features_wrap.h"
#include "local/reconstruction.h"
#include "options.h"
#include "prepared_wrap.h"
#include "tensors.h"
#include "to_js.h"
#include "training_state.h"

namespace localformer {
namespace {

// Counts over one batch of what one module's classifier says.
struct EvaluationResult {
  double loss_sum = 0.0;
  int64_t correct = 0;

  template <typename Self, typename Visit>
  static void Fields(Self& self, Visit&& visit) {
    visit("lossSum", self.loss_sum);
    visit("correct", self.correct);
  }
};

struct ModuleStepOutcome {
  ModuleStepResult result;
  at::Tensor output;
};

// Class logits of every module's head, the classifier's last, with the averaged weights where
// averages are kept.
std::vector<at::Tensor> HeadLogits(const TrainerState& state, const BatchInput& batch,
                                   const std::atomic<bool>* cancelled) {
  c10::NoGradGuard no_grad;
  const AverageInUse average(*state.strategy);
  ForwardContext context;
  context.cancelled = cancelled;
  at::Tensor x = state.strategy->Patches(batch.Images(state.model->device));
  std::vector<at::Tensor> logits;
  for (const auto& module : state.strategy->modules()) {
    x = module->Forward(std::move(x), context);
    logits.push_back(module->Classify(x, context));
  }
  return logits;
}

std::vector<EvaluationResult> EvaluateBatch(const TrainerState& state, const BatchInput& batch,
                                            const std::atomic<bool>* cancelled) {
  const at::Tensor labels = batch.Labels(state.model->device);
  std::vector<EvaluationResult> results;
  for (const at::Tensor& logits : HeadLogits(state, batch, cancelled)) {
    EvaluationResult result;
    result.loss_sum = at::cross_entropy_loss(logits, labels, {}, at::Reduction::Sum).item<double>();
    result.correct = logits.argmax(1).eq(labels).sum().item<int64_t>();
    results.push_back(result);
  }
  return results;
}

std::vector<PlainTensor> PredictBatch(const TrainerState& state, const BatchInput& batch,
                                      const std::atomic<bool>* cancelled) {
  std::vector<PlainTensor> results;
  for (const at::Tensor& logits : HeadLogits(state, batch, cancelled)) {
    results.push_back(CopyOut("logits", logits));
  }
  return results;
}

std::vector<size_t> ReadEnds(const Napi::Value& value) {
  const Napi::Array array = value.As<Napi::Array>();
  std::vector<size_t> ends;
  for (uint32_t i = 0; i < array.Length(); ++i) {
    ends.push_back(array.Get(i).As<Napi::Number>().Uint32Value());
  }
  return ends;
}

std::vector<ModuleOptions> ReadModules(const Napi::Value& value) {
  const Napi::Array array = value.As<Napi::Array>();
  std::vector<ModuleOptions> modules;
  for (uint32_t i = 0; i < array.Length(); ++i) {
    modules.push_back(ReadModuleOptions(array.Get(i).As<Napi::Object>()));
  }
  return modules;
}

size_t ModuleIndex(const Napi::Value& value, const TrainerState& state) {
  const int64_t index = value.As<Napi::Number>().Int64Value();
  const int64_t count = static_cast<int64_t>(state.strategy->modules().size());
  if (index >= 0 && index < count) return static_cast<size_t>(index);
  throw CodedError("ERR_CONFIG", "Expected a module index below " + std::to_string(count) +
                                     " for `index` but received " + std::to_string(index));
}

// Features must have the shape that the module's first unit takes.
void CheckFeatures(const at::Tensor& features, const ModuleTrainer& module) {
  const FeatureShape& want = module.segment().front()->input();
  const std::vector<int64_t> shape = {features.size(0), want.height, want.width, want.channels};
  if (features.sizes() == at::IntArrayRef(shape)) return;
  throw CodedError("ERR_SHAPE", "Expected features of shape " + c10::str(at::IntArrayRef(shape)) +
                                    " for " + module.name() + " but received " +
                                    c10::str(features.sizes()));
}

// What a call on one module is about: (index, features, ...).
struct ModuleCall {
  std::shared_ptr<TrainerState> trainer;
  size_t index;
  at::Tensor features;
};

// The image that a module reconstructs, as trainer.features() gave it; else nothing.
FeaturesState ReadImage(const Napi::Value& value, const TrainerState& trainer, size_t index) {
  const ModuleTrainer& module = *trainer.strategy->modules()[index];
  if (!module.reconstructs() || module.options().target != Target::kImage) return {};
  if (!value.IsObject()) {
    throw CodedError(
        "ERR_CONFIG",
        "Expected Features for `image` but received nothing: " + module.name() +
            " reconstructs the image",
        "Pass what trainer.features(batch) gave: module.step(features, labels, { image }).");
  }
  const FeaturesState& image = FeaturesWrap::From(value)->state();
  CheckFeatures(image.tensor, *trainer.strategy->modules()[0]);
  return image;
}

ModuleCall ReadModuleCall(const Napi::CallbackInfo& info, std::shared_ptr<TrainerState> trainer) {
  const size_t index = ModuleIndex(info[0], *trainer);
  const at::Tensor features = FeaturesWrap::From(info[1])->tensor();
  CheckFeatures(features, *trainer->strategy->modules()[index]);
  return {std::move(trainer), index, features};
}

}  // namespace

Napi::Function TrainerWrap::Define(Napi::Env env) {
  return DefineClass(env, "NativeTrainer",
                     {
                         InstanceMethod<&TrainerWrap::Modules>("modules"),
                         InstanceMethod<&TrainerWrap::AuxiliaryParameters>("auxiliaryParameters"),
                         InstanceMethod<&TrainerWrap::ReadAuxiliary>("readAuxiliary"),
                         InstanceMethod<&TrainerWrap::WriteAuxiliary>("writeAuxiliary"),
                         InstanceMethod<&TrainerWrap::Step>("step"),
                         InstanceMethod<&TrainerWrap::Evaluate>("evaluate"),
                         InstanceMethod<&TrainerWrap::Predict>("predict"),
                         InstanceMethod<&TrainerWrap::Reconstruct>("reconstruct"),
                         InstanceMethod<&TrainerWrap::Features>("features"),
                         InstanceMethod<&TrainerWrap::StepModule>("stepModule"),
                         InstanceMethod<&TrainerWrap::ForwardModule>("forwardModule"),
                         InstanceMethod<&TrainerWrap::ReleaseOptimizer>("releaseOptimizer"),
                         InstanceMethod<&TrainerWrap::KeepAverage>("keepAverage"),
                         InstanceMethod<&TrainerWrap::ReadAverage>("readAverage"),
                         InstanceMethod<&TrainerWrap::ReadState>("readState"),
                         InstanceMethod<&TrainerWrap::WriteState>("writeState"),
                         InstanceMethod<&TrainerWrap::Dispose>("dispose"),
                     });
}

// Called by Create with the state; scripts cannot construct handles.
TrainerWrap::TrainerWrap(const Napi::CallbackInfo& info) : Napi::ObjectWrap<TrainerWrap>(info) {
  if (!info[0].IsExternal()) throw Napi::TypeError::New(info.Env(), "Illegal constructor");
  state_ = *info[0].As<Napi::External<std::shared_ptr<TrainerState>>>().Data();
}

Napi::Value TrainerWrap::Create(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&] {
    const Napi::Object object = info[1].As<Napi::Object>();
    return DataOf(info.Env())
        .executor.Run(
            info.Env(),
            [model = ModelWrap::From(info[0])->state(), ends = ReadEnds(object.Get("ends")),
             options = ReadModules(object.Get("modules")),
             seed = object.Get("seed").As<Napi::Number>().Int64Value()] {
              auto state = std::make_shared<TrainerState>();
              state->model = model;
              state->strategy = std::make_unique<Strategy>(model->model, ends, options,
                                                           static_cast<uint64_t>(seed));
              return state;
            },
            [](Napi::Env env, std::shared_ptr<TrainerState>& state) -> Napi::Value {
              return DataOf(env).trainer.New(
                  {Napi::External<std::shared_ptr<TrainerState>>::New(env, &state)});
            });
  });
}

std::shared_ptr<TrainerState> TrainerWrap::state() const {
  if (!state_) throw CodedError("ERR_DISPOSED", "The trainer was disposed");
  return state_;
}

Napi::Value TrainerWrap::Modules(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&]() -> Napi::Value {
    std::vector<ModuleDescription> modules;
    for (const auto& module : state()->strategy->modules()) modules.push_back(module->Describe());
    return ToJs(info.Env(), modules);
  });
}

Napi::Value TrainerWrap::AuxiliaryParameters(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&]() -> Napi::Value {
    return Describe(info.Env(), state()->strategy->AuxiliaryParameters());
  });
}

Napi::Value TrainerWrap::ReadAuxiliary(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&] {
    return DataOf(info.Env()).executor.Run(info.Env(), [state = state()] {
      return CopyOut(state->strategy->AuxiliaryParameters());
    });
  });
}

Napi::Value TrainerWrap::WriteAuxiliary(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&] {
    return DataOf(info.Env())
        .executor.Run(info.Env(),
                      [state = state(), values = ReadTensors(info[0].As<Napi::Object>())] {
                        CopyIn(values, state->strategy->AuxiliaryParameters());
                      });
  });
}

Napi::Value TrainerWrap::Step(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&] {
    AddonData& data = DataOf(info.Env());
    return data.executor.Run(
        info.Env(),
        [state = state(), batch = PreparedWrap::ReadStepBatch(info[0].As<Napi::Object>()),
         learning_rates = ReadLearningRates(info[1]), clip_norm = ReadOptional(info[2]),
         record_memory = info[3].ToBoolean().Value(),
         cancelled = data.executor.cancelled()]() mutable {
          const c10::Device device = state->model->device;
          at::Tensor images = batch->Images(device);
          Supervision supervision = batch->Targets(device);
          // The step works on floats of its own; a prepared batch that was disposed is free now.
          batch.reset();
          return state->strategy->Step(std::move(images), std::move(supervision), learning_rates,
                                       clip_norm, cancelled, record_memory);
        });
  });
}

Napi::Value TrainerWrap::Evaluate(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&] {
    AddonData& data = DataOf(info.Env());
    return data.executor.Run(info.Env(),
                             [state = state(), batch = ReadBatch(info[0].As<Napi::Object>()),
                              cancelled = data.executor.cancelled()] {
                               return EvaluateBatch(*state, batch, cancelled);
                             });
  });
}

Napi::Value TrainerWrap::Predict(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&] {
    AddonData& data = DataOf(info.Env());
    return data.executor.Run(
        info.Env(),
        [state = state(), batch = ReadBatch(info[0].As<Napi::Object>()),
         cancelled = data.executor.cancelled()] { return PredictBatch(*state, batch, cancelled); },
        [](Napi::Env env, std::vector<PlainTensor>& logits) -> Napi::Value {
          Napi::Array array = Napi::Array::New(env);
          for (const PlainTensor& one : logits) array.Set(array.Length(), ToJs(env, one));
          return array;
        });
  });
}

Napi::Value TrainerWrap::Reconstruct(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&] {
    AddonData& data = DataOf(info.Env());
    return data.executor.Run(
        info.Env(), [state = state(), batch = ReadBatch(info[0].As<Napi::Object>()),
                     cancelled = data.executor.cancelled()] {
          const c10::Device device = state->model->device;
          return localformer::Reconstruct(*state->strategy, batch.Images(device),
                                          batch.Targets(device), cancelled);
        });
  });
}

Napi::Value TrainerWrap::Features(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&] {
    return DataOf(info.Env())
        .executor.Run(
            info.Env(),
            [state = state(), batch = ReadBatch(info[0].As<Napi::Object>())] {
              return FeaturesState{state->strategy->Patches(batch.Images(state->model->device)),
                                   batch.options.mean, batch.options.std};
            },
            [](Napi::Env env, FeaturesState& patches) -> Napi::Value {
              return FeaturesWrap::New(env, std::move(patches));
            });
  });
}

Napi::Value TrainerWrap::StepModule(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&] {
    AddonData& data = DataOf(info.Env());
    const auto [trainer, index, features] = ReadModuleCall(info, state());
    std::vector<int64_t> labels = ReadLabels(info[2]);
    if (static_cast<int64_t>(labels.size()) != features.size(0)) {
      throw CodedError("ERR_SHAPE",
                       "Expected one label a sample, " + std::to_string(features.size(0)) +
                           ", for `labels` but received " + std::to_string(labels.size()));
    }
    return data.executor.Run(
        info.Env(),
        [trainer = trainer, index = index, features = features, labels = std::move(labels),
         image = ReadImage(info[4], *trainer, index),
         update = UpdateOptions{info[3].As<Napi::Number>().DoubleValue(), ReadOptional(info[5])},
         cancelled = data.executor.cancelled()] {
          Supervision supervision;
          supervision.labels = LabelTensor(labels, features.device());
          supervision.patches = image.tensor;
          supervision.mean = image.mean;
          supervision.std = image.std;
          ModuleStepOutcome outcome;
          outcome.result = trainer->strategy->StepModule(index, features, supervision, update,
                                                         cancelled, &outcome.output);
          return outcome;
        },
        [](Napi::Env env, ModuleStepOutcome& outcome) -> Napi::Value {
          Napi::Object object = ToJs(env, outcome.result).As<Napi::Object>();
          object.Set("features", FeaturesWrap::New(env, {std::move(outcome.output), {}, {}}));
          return object;
        });
  });
}

Napi::Value TrainerWrap::ForwardModule(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&] {
    AddonData& data = DataOf(info.Env());
    const auto [trainer, index, features] = ReadModuleCall(info, state());
    return data.executor.Run(
        info.Env(),
        [trainer = trainer, index = index, features = features,
         cancelled = data.executor.cancelled()] {
          ForwardContext context;
          context.cancelled = cancelled;
          return trainer->strategy->modules()[index]->Forward(features, context);
        },
        [](Napi::Env env, at::Tensor& output) -> Napi::Value {
          return FeaturesWrap::New(env, {std::move(output), {}, {}});
        });
  });
}

Napi::Value TrainerWrap::ReleaseOptimizer(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&] {
    return DataOf(info.Env())
        .executor.Run(info.Env(), [state = state(), index = ModuleIndex(info[0], *state())] {
          state->strategy->modules()[index]->ReleaseOptimizer();
        });
  });
}

Napi::Value TrainerWrap::KeepAverage(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&] {
    return DataOf(info.Env())
        .executor.Run(info.Env(), [state = state(), decay = ReadOptional(info[0])] {
          state->strategy->KeepAverage(decay);
        });
  });
}

Napi::Value TrainerWrap::ReadAverage(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&] {
    return DataOf(info.Env()).executor.Run(info.Env(), [state = state()] {
      return CopyOut(state->strategy->AverageParameters());
    });
  });
}

Napi::Value TrainerWrap::ReadState(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&] {
    return DataOf(info.Env()).executor.Run(info.Env(), [state = state()] {
      return localformer::ReadState(*state->strategy);
    });
  });
}

Napi::Value TrainerWrap::WriteState(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&] {
    return DataOf(info.Env())
        .executor.Run(info.Env(),
                      [state = state(), values = ReadTrainingState(info[0].As<Napi::Object>())] {
                        localformer::WriteState(values, state->strategy.get());
                      });
  });
}

void TrainerWrap::Dispose(const Napi::CallbackInfo&) { state_.reset(); }

}  // namespace localformer
