// See features_wrap.h.
#include "features_wrap.h"

#include <ATen/ATen.h>

#include "addon_data.h"
#include "coded_error.h"
#include "from_js.h"
#include "tensors.h"

namespace localformer {

Napi::Function FeaturesWrap::Define(Napi::Env env) {
  return DefineClass(env, "NativeFeatures",
                     {
                         InstanceMethod<&FeaturesWrap::Shape>("shape"),
                         InstanceMethod<&FeaturesWrap::ByteLength>("byteLength"),
                         InstanceMethod<&FeaturesWrap::Dispose>("dispose"),
                     });
}

FeaturesWrap::FeaturesWrap(const Napi::CallbackInfo& info) : Napi::ObjectWrap<FeaturesWrap>(info) {
  if (!info[0].IsExternal()) throw Napi::TypeError::New(info.Env(), "Illegal constructor");
  state_ = *info[0].As<Napi::External<FeaturesState>>().Data();
  info.This().As<Napi::Object>().TypeTag(&kTag);
}

Napi::Object FeaturesWrap::New(Napi::Env env, FeaturesState state) {
  return DataOf(env).features.New({Napi::External<FeaturesState>::New(env, &state)});
}

FeaturesWrap* FeaturesWrap::From(const Napi::Value& value) {
  return HandleFromJs<FeaturesWrap>(value, "features");
}

const FeaturesState& FeaturesWrap::state() const {
  if (!state_.tensor.defined()) throw CodedError("ERR_DISPOSED", "The features were disposed");
  return state_;
}

Napi::Value FeaturesWrap::Shape(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(),
                 [&]() -> Napi::Value { return ToJs(info.Env(), tensor().sizes().vec()); });
}

Napi::Value FeaturesWrap::ByteLength(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&]() -> Napi::Value {
    return Napi::Number::New(info.Env(), static_cast<double>(tensor().nbytes()));
  });
}

void FeaturesWrap::Dispose(const Napi::CallbackInfo&) { state_.tensor.reset(); }

}  // namespace localformer
