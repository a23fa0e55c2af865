// See model_wrap.h. Every asynchronous method copies what it needs, then works on the native
// thread.
#include "model_wrap.h"

#include "addon_data.h"
#include "coded_error.h"
#include "from_js.h"
#include "local/evaluation.h"
#include "local/module_costs.h"
#include "local/supervision.h"
#include "local/unit_costs.h"
#include "memory/work_place.h"
#include "read_batch.h"
#include "read_device.h"
#include "tensors.h"
#include "to_js.h"
#include "train/arithmetic.h"
#include "train/device.h"
#include "train/out_of_memory.h"

namespace localformer {
namespace {

struct PlainGradients {
  PlainTensor logits;
  double loss = 0.0;
  std::vector<PlainTensor> gradients;

  template <typename Self, typename Visit>
  static void Fields(Self& self, Visit&& visit) {
    visit("logits", self.logits);
    visit("loss", self.loss);
    visit("gradients", self.gradients);
  }
};

// What parts of a network are measured in.
Precision PrecisionOf(const MeasureOptions&) { return Precision::kIeee; }
Precision PrecisionOf(const MeasureModuleOptions& options) { return options.module.precision; }

}  // namespace

ModelState::ModelState(const SwinOptions& options, c10::Device on)
    : model(std::make_shared<SwinModel>(options)), device(on) {
  if (!device.is_cpu()) model->To(device);
}

Napi::Function ModelWrap::Define(Napi::Env env) {
  return DefineClass(env, "NativeModel",
                     {
                         InstanceMethod<&ModelWrap::Units>("units"),
                         InstanceMethod<&ModelWrap::Parameters>("parameters"),
                         InstanceMethod<&ModelWrap::ReadParameters>("readParameters"),
                         InstanceMethod<&ModelWrap::WriteParameters>("writeParameters"),
                         InstanceMethod<&ModelWrap::Predict>("predict"),
                         InstanceMethod<&ModelWrap::Evaluate>("evaluate"),
                         InstanceMethod<&ModelWrap::Gradients>("gradients"),
                         InstanceMethod<&ModelWrap::MeasureUnits>("measureUnits"),
                         InstanceMethod<&ModelWrap::MeasureModule>("measureModule"),
                         InstanceMethod<&ModelWrap::TimeUnits>("timeUnits"),
                         InstanceMethod<&ModelWrap::TimeModule>("timeModule"),
                         InstanceMethod<&ModelWrap::Dispose>("dispose"),
                     });
}

// Called by Create with the state; scripts cannot construct handles.
ModelWrap::ModelWrap(const Napi::CallbackInfo& info) : Napi::ObjectWrap<ModelWrap>(info) {
  if (!info[0].IsExternal()) throw Napi::TypeError::New(info.Env(), "Illegal constructor");
  state_ = *info[0].As<Napi::External<std::shared_ptr<ModelState>>>().Data();
  info.This().As<Napi::Object>().TypeTag(&kTag);
}

Napi::Value ModelWrap::Create(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&] {
    AddonData& data = DataOf(info.Env());
    const SwinOptions options = FromJs<SwinOptions>(info[0], "model");
    const c10::Device device = ReadDevice(info[1]);
    return data.executor.Run(
        info.Env(),
        [options, device] {
          try {
            const ArithmeticInUse arithmetic(Precision::kIeee);
            {
              const WorkPlaceScope place("", "libraries", "workspaces");
              WarmUp(device);
            }
            const WorkPlaceScope place("", "network", "weights");
            return std::make_shared<ModelState>(options, device);
          } catch (const c10::Error& error) {
            // Not every such error says for which device it is.
            if (IsOutOfMemory(error)) throw OutOfMemory(device, "", "");
            throw;
          }
        },
        [](Napi::Env env, std::shared_ptr<ModelState>& state) -> Napi::Value {
          return DataOf(env).model.New(
              {Napi::External<std::shared_ptr<ModelState>>::New(env, &state)});
        });
  });
}

ModelWrap* ModelWrap::From(const Napi::Value& value) {
  return HandleFromJs<ModelWrap>(value, "model");
}

std::shared_ptr<ModelState> ModelWrap::state() const {
  if (!state_) throw CodedError("ERR_DISPOSED", "The model was disposed");
  return state_;
}

Napi::Value ModelWrap::Units(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&]() -> Napi::Value {
    std::vector<UnitDescription> units;
    for (const auto& unit : state()->model->units()) units.push_back(Describe(*unit));
    return ToJs(info.Env(), units);
  });
}

Napi::Value ModelWrap::Parameters(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&]() -> Napi::Value {
    return Describe(info.Env(), state()->model->parameters());
  });
}

Napi::Value ModelWrap::ReadParameters(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&] {
    return DataOf(info.Env()).executor.Run(info.Env(), [state = state()] {
      return CopyOut(state->model->parameters());
    });
  });
}

Napi::Value ModelWrap::WriteParameters(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&] {
    return DataOf(info.Env())
        .executor.Run(info.Env(), [state = state(), values = ReadTensors(info[0], "values")] {
          CopyIn(values, state->model->parameters());
        });
  });
}

Napi::Value ModelWrap::Predict(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&] {
    AddonData& data = DataOf(info.Env());
    return data.executor.Run(info.Env(), [state = state(), batch = ReadBatch(info[0]),
                                          cancelled = data.executor.cancelled()] {
      const ArithmeticInUse arithmetic(Precision::kIeee);
      return CopyOut("logits", ClassLogits(*state->model, batch.Images(state->device), cancelled));
    });
  });
}

Napi::Value ModelWrap::Evaluate(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&] {
    AddonData& data = DataOf(info.Env());
    return data.executor.Run(info.Env(), [state = state(), batch = ReadBatch(info[0]),
                                          cancelled = data.executor.cancelled()] {
      const ArithmeticInUse arithmetic(Precision::kIeee);
      return ScoreLogits(ClassLogits(*state->model, batch.Images(state->device), cancelled),
                         batch.labels);
    });
  });
}

Napi::Value ModelWrap::Gradients(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&] {
    AddonData& data = DataOf(info.Env());
    return data.executor.Run(info.Env(), [state = state(), batch = ReadBatch(info[0]),
                                          cancelled = data.executor.cancelled()] {
      const ArithmeticInUse arithmetic(Precision::kIeee);
      const NetworkGradients result =
          GradientsOf(*state->model, batch.Images(state->device),
                      LabelTensor(batch.labels, state->device), cancelled);
      return PlainGradients{CopyOut("logits", result.logits), result.loss,
                            CopyOut(result.gradients)};
    });
  });
}

template <typename Options, typename Measure>
Napi::Value ModelWrap::Measured(const Napi::CallbackInfo& info, Measure measure) {
  return Guarded(info.Env(), [&] {
    AddonData& data = DataOf(info.Env());
    return data.executor.Run(
        info.Env(), [state = state(), options = FromJs<Options>(info[0], "options"), measure,
                     cancelled = data.executor.cancelled()] {
          const ArithmeticInUse arithmetic(PrecisionOf(options));
          return measure(*state->model, state->device, options, cancelled);
        });
  });
}

Napi::Value ModelWrap::MeasureUnits(const Napi::CallbackInfo& info) {
  return Measured<MeasureOptions>(info, localformer::MeasureUnits);
}

Napi::Value ModelWrap::MeasureModule(const Napi::CallbackInfo& info) {
  return Measured<MeasureModuleOptions>(info, localformer::MeasureModule);
}

Napi::Value ModelWrap::TimeUnits(const Napi::CallbackInfo& info) {
  return Measured<TimeOptions>(info, localformer::TimeUnits);
}

Napi::Value ModelWrap::TimeModule(const Napi::CallbackInfo& info) {
  return Measured<MeasureModuleOptions>(info, localformer::TimeModule);
}

void ModelWrap::Dispose(const Napi::CallbackInfo&) { state_.reset(); }

}  // namespace localformer
