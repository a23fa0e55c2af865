// The handle that JavaScript holds of a trainer: a strategy over a model.
#pragma once

#include <napi.h>

#include <memory>

#include "local/strategy.h"
#include "model_wrap.h"

namespace localformer {

// A strategy, and the model that it keeps alive.
struct TrainerState {
  std::shared_ptr<ModelState> model;
  std::unique_ptr<Strategy> strategy;
};

class TrainerWrap : public Napi::ObjectWrap<TrainerWrap> {
 public:
  static Napi::Function Define(Napi::Env env);
  // createTrainer(model, options) -> Promise<NativeTrainer>
  static Napi::Value Create(const Napi::CallbackInfo& info);

  explicit TrainerWrap(const Napi::CallbackInfo& info);

 private:
  std::shared_ptr<TrainerState> state() const;
  Napi::Value Modules(const Napi::CallbackInfo& info);
  Napi::Value AuxiliaryParameters(const Napi::CallbackInfo& info);
  Napi::Value ReadAuxiliary(const Napi::CallbackInfo& info);
  Napi::Value WriteAuxiliary(const Napi::CallbackInfo& info);
  Napi::Value Step(const Napi::CallbackInfo& info);
  Napi::Value Evaluate(const Napi::CallbackInfo& info);
  Napi::Value Predict(const Napi::CallbackInfo& info);
  Napi::Value Reconstruct(const Napi::CallbackInfo& info);
  Napi::Value Features(const Napi::CallbackInfo& info);
  Napi::Value StepModule(const Napi::CallbackInfo& info);
  Napi::Value ForwardModule(const Napi::CallbackInfo& info);
  Napi::Value ReleaseOptimizer(const Napi::CallbackInfo& info);
  Napi::Value KeepAverage(const Napi::CallbackInfo& info);
  Napi::Value ReadAverage(const Napi::CallbackInfo& info);
  Napi::Value ReadState(const Napi::CallbackInfo& info);
  Napi::Value WriteState(const Napi::CallbackInfo& info);
  Napi::Value Products(const Napi::CallbackInfo& info);
  Napi::Value SetProducts(const Napi::CallbackInfo& info);
  Napi::Value Divide(const Napi::CallbackInfo& info);
  Napi::Value Gather(const Napi::CallbackInfo& info);
  void Dispose(const Napi::CallbackInfo& info);

  std::shared_ptr<TrainerState> state_;
};

}  // namespace localformer
