// The handle that JavaScript holds of features on their way from one module to the next.
#pragma once

#include <ATen/core/Tensor.h>
#include <napi.h>

#include <array>

namespace localformer {

// A tensor on the device; of a network's input also how its pixels were normalised.
struct FeaturesState {
  at::Tensor tensor;
  std::array<double, 3> mean{};
  std::array<double, 3> std{};
};

class FeaturesWrap : public Napi::ObjectWrap<FeaturesWrap> {
 public:
  static Napi::Function Define(Napi::Env env);
  static Napi::Object New(Napi::Env env, FeaturesState state);

  static constexpr napi_type_tag kTag{0x6c6f63616c666f72, 0x6665617475726573};

  explicit FeaturesWrap(const Napi::CallbackInfo& info);
  // Throws CodedError ERR_DISPOSED after dispose().
  const FeaturesState& state() const;
  const at::Tensor& tensor() const { return state().tensor; }
  static FeaturesWrap* From(const Napi::Value& value);

 private:
  Napi::Value Shape(const Napi::CallbackInfo& info);
  Napi::Value ByteLength(const Napi::CallbackInfo& info);
  void Dispose(const Napi::CallbackInfo& info);

  FeaturesState state_;
};

}  // namespace localformer
