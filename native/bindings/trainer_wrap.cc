// See trainer_wrap.h. Every asynchronous method copies what it needs, then works on the native
// thread.
#include "trainer_wrap.h"

#include <ATen/ATen.h>

#include "addon_data.h"
#include "coded_error.h"
#include "features_wrap.h"
#include "from_js.h"
#include "group_wrap.h"
#include "local/evaluation.h"
#include "local/reconstruction.h"
#include "local/supervision.h"
#include "math/tuning_clock.h"
#include "memory/work_place.h"
#include "prepared_wrap.h"
#include "read_batch.h"
#include "tensors.h"
#include "to_js.h"
#include "train/arithmetic.h"
#include "training_state.h"

namespace localformer {
namespace {

// While it lives, the calling thread computes as a trainer's options say. What it allocates before
// a module is at work is `phase`'s.
class ComputesAs {
 public:
  ComputesAs(Strategy& strategy, const char* phase)
      : arithmetic_(strategy.precision()),
        math_(strategy.math(), &strategy.choices()),
        place_(strategy.label(), "trainer", phase) {}

 private:
  const ArithmeticInUse arithmetic_;
  const MathInUse math_;
  const WorkPlaceScope place_;
};

struct ModuleStepOutcome {
  ModuleStepResult result;
  at::Tensor output;
};

size_t ModuleIndex(const Napi::Value& value, const TrainerState& state) {
  const auto index = FromJs<int64_t>(value, "index");
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

// Features that fit a module.
at::Tensor ReadFeatures(const Napi::Value& value, const TrainerState& trainer, size_t index) {
  const at::Tensor features = FeaturesWrap::From(value)->tensor();
  CheckFeatures(features, *trainer.strategy->modules()[index]);
  return features;
}

std::vector<int64_t> ReadLabelsOf(const Napi::Value& value, const at::Tensor& features) {
  std::vector<int64_t> labels = ReadLabels(value, "labels");
  if (static_cast<int64_t>(labels.size()) == features.size(0)) return labels;
  throw CodedError("ERR_SHAPE", "Expected one label a sample, " + std::to_string(features.size(0)) +
                                    ", for `labels` but received " + std::to_string(labels.size()));
}

// None where another rank gives this one its features.
std::shared_ptr<const BatchInput> ReadOwnBatch(const Napi::Value& value) {
  return value.IsNull() ? nullptr : PreparedWrap::ReadStepBatch(value);
}

// Has this rank the first module? Then it has to be given a batch, and no other rank may be.
bool TakesBatch(Strategy& strategy, bool is_given) {
  const bool takes = strategy.division() == nullptr || strategy.division()->is_first_stage();
  if (takes == is_given) return takes;
  throw CodedError("ERR_CONFIG", takes ? "Expected a batch but received none"
                                       : "Expected no batch: features come from another rank");
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
                         InstanceMethod<&TrainerWrap::Products>("products"),
                         InstanceMethod<&TrainerWrap::SetProducts>("setProducts"),
                         InstanceMethod<&TrainerWrap::Divide>("divide"),
                         InstanceMethod<&TrainerWrap::Gather>("gather"),
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
    return DataOf(info.Env())
        .executor.Run(
            info.Env(),
            [model = ModelWrap::From(info[0])->state(),
             options = FromJs<TrainerOptions>(info[1], "options")] {
              auto state = std::make_shared<TrainerState>();
              state->model = model;
              state->strategy = std::make_unique<Strategy>(model->model, options);
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
        .executor.Run(info.Env(), [state = state(), values = ReadTensors(info[0], "values")] {
          CopyIn(values, state->strategy->AuxiliaryParameters());
        });
  });
}

Napi::Value TrainerWrap::Step(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&] {
    AddonData& data = DataOf(info.Env());
    return data.executor.Run(info.Env(), [state = state(), batch = ReadOwnBatch(info[0]),
                                          options = FromJs<StepOptions>(info[1], "options"),
                                          cancelled = data.executor.cancelled()]() mutable {
      const ComputesAs computing(*state->strategy, "batch");
      const auto start = WorkNow();
      const c10::Device device = state->model->device;
      at::Tensor images;
      Supervision supervision;
      if (TakesBatch(*state->strategy, batch != nullptr)) {
        images = batch->Images(device);
        supervision = SupervisionOf(*batch, device);
      }
      // The step works on floats of its own; a prepared batch that was disposed is free now.
      batch.reset();
      return state->strategy->Step(std::move(images), std::move(supervision), options, start,
                                   cancelled);
    });
  });
}

Napi::Value TrainerWrap::Evaluate(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&] {
    AddonData& data = DataOf(info.Env());
    return data.executor.Run(info.Env(), [state = state(), batch = ReadOwnBatch(info[0]),
                                          cancelled = data.executor.cancelled()] {
      const ComputesAs computing(*state->strategy, "evaluation");
      if (!TakesBatch(*state->strategy, batch != nullptr)) {
        return HeadScores(*state->strategy, {}, {}, cancelled);
      }
      return HeadScores(*state->strategy, batch->Images(state->model->device), batch->labels,
                        cancelled);
    });
  });
}

Napi::Value TrainerWrap::Predict(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&] {
    AddonData& data = DataOf(info.Env());
    return data.executor.Run(
        info.Env(),
        [state = state(), batch = ReadBatch(info[0]), cancelled = data.executor.cancelled()] {
          const ComputesAs computing(*state->strategy, "evaluation");
          std::vector<PlainTensor> all;
          for (const at::Tensor& logits :
               HeadLogits(*state->strategy, batch.Images(state->model->device), cancelled)) {
            all.push_back(CopyOut("logits", logits));
          }
          return all;
        },
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
    return data.executor.Run(info.Env(), [state = state(), batch = ReadBatch(info[0]),
                                          cancelled = data.executor.cancelled()] {
      const ComputesAs computing(*state->strategy, "evaluation");
      const c10::Device device = state->model->device;
      return localformer::Reconstruct(*state->strategy, batch.Images(device),
                                      SupervisionOf(batch, device), cancelled);
    });
  });
}

Napi::Value TrainerWrap::Features(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&] {
    return DataOf(info.Env())
        .executor.Run(
            info.Env(),
            [state = state(), batch = ReadBatch(info[0])] {
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
    std::shared_ptr<TrainerState> trainer = state();
    const size_t index = ModuleIndex(info[0], *trainer);
    const auto update = FromJs<UpdateOptions>(info[1], "options");
    const Napi::Object options = info[1].As<Napi::Object>();
    const at::Tensor features = ReadFeatures(options.Get("features"), *trainer, index);
    return data.executor.Run(
        info.Env(),
        [trainer, index, features, update, labels = ReadLabelsOf(options.Get("labels"), features),
         image = ReadImage(options.Get("image"), *trainer, index),
         cancelled = data.executor.cancelled()] {
          const ComputesAs computing(*trainer->strategy, "batch");
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
    std::shared_ptr<TrainerState> trainer = state();
    const size_t index = ModuleIndex(info[0], *trainer);
    return data.executor.Run(
        info.Env(),
        [trainer, index, features = ReadFeatures(info[1], *trainer, index),
         cancelled = data.executor.cancelled()] {
          const ComputesAs computing(*trainer->strategy, "forward");
          return trainer->strategy->ForwardModule(index, features, cancelled);
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
          state->strategy->modules()[index]->SetOptimizer(nullptr);
        });
  });
}

Napi::Value TrainerWrap::KeepAverage(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&] {
    return DataOf(info.Env())
        .executor.Run(info.Env(),
                      [state = state(), decay = FromJs<std::optional<double>>(info[0], "decay")] {
                        const WorkPlaceScope place(state->strategy->label(), "trainer", "average");
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
        .executor.Run(info.Env(), [state = state(), values = ReadTrainingState(info[0])] {
          localformer::WriteState(values, state->strategy.get());
        });
  });
}

Napi::Value TrainerWrap::Products(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&] {
    return DataOf(info.Env()).executor.Run(info.Env(), [state = state()] {
      return state->strategy->Products();
    });
  });
}

Napi::Value TrainerWrap::SetProducts(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&] {
    return DataOf(info.Env())
        .executor.Run(info.Env(), [state = state(), choices = FromJs<std::vector<ProductChoice>>(
                                                        info[0], "choices")] {
          state->strategy->choices().Replace(choices);
        });
  });
}

Napi::Value TrainerWrap::Divide(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&] {
    return DataOf(info.Env())
        .executor.Run(info.Env(), [state = state(), group = GroupWrap::From(info[0])->group(),
                                   options = FromJs<DivisionOptions>(info[1], "options")] {
          state->strategy->Divide(group, options);
        });
  });
}

Napi::Value TrainerWrap::Gather(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&] {
    return DataOf(info.Env()).executor.Run(info.Env(), [state = state()] {
      state->strategy->Gather();
    });
  });
}

void TrainerWrap::Dispose(const Napi::CallbackInfo&) { state_.reset(); }

}  // namespace localformer
