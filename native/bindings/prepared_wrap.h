// The handle that JavaScript holds of a batch that was prepared ahead of its step.
#pragma once

#include <napi.h>

#include <memory>

#include "data/batch_input.h"

namespace localformer {

class PreparedWrap : public Napi::ObjectWrap<PreparedWrap> {
 public:
  static Napi::Function Define(Napi::Env env);
  // prepareBatch(batch) -> Promise<NativePrepared>; works on the data thread.
  static Napi::Value Create(const Napi::CallbackInfo& info);
  // What a step takes: a NativeBatch, which is copied, or a NativePrepared. Throws CodedError
  // ERR_DISPOSED.
  static std::shared_ptr<const BatchInput> ReadStepBatch(const Napi::Value& value);

  static constexpr napi_type_tag kTag{0x6c6f63616c666f72, 0x7072657061726564};

  explicit PreparedWrap(const Napi::CallbackInfo& info);

 private:
  const std::shared_ptr<const BatchInput>& batch() const;
  Napi::Value ByteLength(const Napi::CallbackInfo& info);
  Napi::Value Read(const Napi::CallbackInfo& info);
  void Dispose(const Napi::CallbackInfo& info);

  std::shared_ptr<const BatchInput> batch_;
};

}  // namespace localformer
