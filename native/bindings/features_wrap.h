// The handle that JavaScript holds of features on their way from one module to the next.
#pragma once

#include <ATen/core/Tensor.h>
#include <napi.h>

namespace localformer {

class FeaturesWrap : public Napi::ObjectWrap<FeaturesWrap> {
 public:
  static Napi::Function Define(Napi::Env env);
  static Napi::Object New(Napi::Env env, at::Tensor tensor);

  explicit FeaturesWrap(const Napi::CallbackInfo& info);
  // Throws CodedError ERR_DISPOSED after dispose().
  at::Tensor tensor() const;
  static FeaturesWrap* From(const Napi::Value& value);

 private:
  Napi::Value Shape(const Napi::CallbackInfo& info);
  Napi::Value ByteLength(const Napi::CallbackInfo& info);
  void Dispose(const Napi::CallbackInfo& info);

  at::Tensor tensor_;
};

}  // namespace localformer
