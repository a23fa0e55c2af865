// See model_wrap.h. Every asynchronous method copies what it needs, then works on the native
// thread.
#include "model_wrap.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include "addon_data.h"
#include "coded_error.h"
#include "local/unit_costs.h"
#include "options.h"
#include "tensors.h"
#include "to_js.h"

namespace localformer {
namespace {

struct Gradients {
  PlainTensor logits;
  double loss = 0.0;
  std::vector<PlainTensor> gradients;
};

// Cross-entropy's gradients of the whole network, without stochastic depth and without an update.
Gradients ComputeGradients(const ModelState& state, const BatchInput& batch,
                           const std::atomic<bool>* cancelled) {
  const GradientsCleared cleared(state.model->parameters());
  ForwardContext context;
  context.cancelled = cancelled;
  const at::Tensor logits = state.model->Forward(batch.Images(state.device), context);
  const at::Tensor loss = at::cross_entropy_loss(logits, batch.Labels(state.device));
  Gradients result;
  result.logits = CopyOut("logits", logits);
  result.loss = loss.item<double>();
  loss.backward();
  for (const auto& [name, parameter] : state.model->parameters()) {
    result.gradients.push_back(CopyOut(name, parameter.grad()));
  }
  return result;
}

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
                         InstanceMethod<&ModelWrap::Gradients>("gradients"),
                         InstanceMethod<&ModelWrap::MeasureUnits>("measureUnits"),
                         InstanceMethod<&ModelWrap::Dispose>("dispose"),
                     });
}

// Called by Create with the state; scripts cannot construct handles.
ModelWrap::ModelWrap(const Napi::CallbackInfo& info) : Napi::ObjectWrap<ModelWrap>(info) {
  if (!info[0].IsExternal()) throw Napi::TypeError::New(info.Env(), "Illegal constructor");
  state_ = *info[0].As<Napi::External<std::shared_ptr<ModelState>>>().Data();
}

Napi::Value ModelWrap::Create(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&] {
    AddonData& data = DataOf(info.Env());
    const SwinOptions options = ReadSwinOptions(info[0].As<Napi::Object>());
    const c10::Device device = ReadDevice(info[1]);
    return data.executor.Run(
        info.Env(), [options, device] { return std::make_shared<ModelState>(options, device); },
        [](Napi::Env env, std::shared_ptr<ModelState>& state) -> Napi::Value {
          return DataOf(env).model.New(
              {Napi::External<std::shared_ptr<ModelState>>::New(env, &state)});
        });
  });
}

ModelWrap* ModelWrap::From(const Napi::Value& value) { return Unwrap(value.As<Napi::Object>()); }

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
        .executor.Run(info.Env(),
                      [state = state(), values = ReadTensors(info[0].As<Napi::Object>())] {
                        CopyIn(values, state->model->parameters());
                      });
  });
}

Napi::Value ModelWrap::Predict(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&] {
    AddonData& data = DataOf(info.Env());
    return data.executor.Run(
        info.Env(),
        [state = state(), batch = ReadBatch(info[0].As<Napi::Object>()),
         cancelled = data.executor.cancelled()] {
          c10::NoGradGuard no_grad;
          ForwardContext context;
          context.cancelled = cancelled;
          return CopyOut("logits", state->model->Forward(batch.Images(state->device), context));
        },
        [](Napi::Env env, PlainTensor& logits) -> Napi::Value { return ToJs(env, logits); });
  });
}

Napi::Value ModelWrap::Gradients(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&] {
    AddonData& data = DataOf(info.Env());
    return data.executor.Run(
        info.Env(),
        [state = state(), batch = ReadBatch(info[0].As<Napi::Object>()),
         cancelled = data.executor.cancelled()] {
          return ComputeGradients(*state, batch, cancelled);
        },
        [](Napi::Env env, struct Gradients& result) -> Napi::Value {
          Napi::Object object = Napi::Object::New(env);
          object.Set("logits", ToJs(env, result.logits));
          object.Set("loss", result.loss);
          object.Set("gradients", ToJs(env, result.gradients));
          return object;
        });
  });
}

Napi::Value ModelWrap::MeasureUnits(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&] {
    AddonData& data = DataOf(info.Env());
    return data.executor.Run(
        info.Env(), [state = state(), batch = info[0].As<Napi::Number>().Int64Value(),
                     recompute = ReadRecompute(info[1]), compute_type = ReadComputeType(info[2]),
                     cancelled = data.executor.cancelled()] {
          return localformer::MeasureUnits(*state->model, state->device, batch, recompute,
                                           compute_type, cancelled);
        });
  });
}

void ModelWrap::Dispose(const Napi::CallbackInfo&) { state_.reset(); }

}  // namespace localformer
