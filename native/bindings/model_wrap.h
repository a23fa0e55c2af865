// The handle that JavaScript holds of a model.
#pragma once

#include <napi.h>

#include <memory>

#include "swin/model.h"

namespace localformer {

// A model and the device it lives on.
struct ModelState {
  ModelState(const SwinOptions& options, c10::Device device);

  std::shared_ptr<SwinModel> model;
  c10::Device device;
};

class ModelWrap : public Napi::ObjectWrap<ModelWrap> {
 public:
  static Napi::Function Define(Napi::Env env);
  // createModel(options, device) -> Promise<NativeModel>
  static Napi::Value Create(const Napi::CallbackInfo& info);

  static constexpr napi_type_tag kTag{0x6c6f63616c666f72, 0x6d6f64656c000000};

  explicit ModelWrap(const Napi::CallbackInfo& info);
  // Throws CodedError ERR_DISPOSED after dispose().
  std::shared_ptr<ModelState> state() const;
  static ModelWrap* From(const Napi::Value& value);

 private:
  Napi::Value Units(const Napi::CallbackInfo& info);
  Napi::Value Parameters(const Napi::CallbackInfo& info);
  Napi::Value ReadParameters(const Napi::CallbackInfo& info);
  Napi::Value WriteParameters(const Napi::CallbackInfo& info);
  Napi::Value Predict(const Napi::CallbackInfo& info);
  Napi::Value Evaluate(const Napi::CallbackInfo& info);
  Napi::Value Gradients(const Napi::CallbackInfo& info);
  Napi::Value MeasureUnits(const Napi::CallbackInfo& info);
  Napi::Value MeasureModule(const Napi::CallbackInfo& info);
  Napi::Value TimeUnits(const Napi::CallbackInfo& info);
  Napi::Value TimeModule(const Napi::CallbackInfo& info);
  void Dispose(const Napi::CallbackInfo& info);
  // What `measure` finds of a part of the network, by its `Options`.
  template <typename Options, typename Measure>
  Napi::Value Measured(const Napi::CallbackInfo& info, Measure measure);

  std::shared_ptr<ModelState> state_;
};

}  // namespace localformer
