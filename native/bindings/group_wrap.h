// The handle that JavaScript holds of a process group.
#pragma once

#include <napi.h>

#include <memory>

#include "distributed/process_group.h"

namespace localformer {

class GroupWrap : public Napi::ObjectWrap<GroupWrap> {
 public:
  static Napi::Function Define(Napi::Env env);
  // joinGroup(options) -> Promise<NativeGroup>
  static Napi::Value Join(const Napi::CallbackInfo& info);

  static constexpr napi_type_tag kTag{0x6c6f63616c666f72, 0x67726f7570000000};

  explicit GroupWrap(const Napi::CallbackInfo& info);
  // Throws CodedError ERR_DISPOSED after dispose().
  std::shared_ptr<ProcessGroup> group() const;
  static GroupWrap* From(const Napi::Value& value);

 private:
  Napi::Value Exchange(const Napi::CallbackInfo& info);
  Napi::Value Sum(const Napi::CallbackInfo& info);
  Napi::Value TrafficSoFar(const Napi::CallbackInfo& info);
  Napi::Value Fail(const Napi::CallbackInfo& info);
  Napi::Value Leave(const Napi::CallbackInfo& info);
  Napi::Value Dispose(const Napi::CallbackInfo& info);

  std::shared_ptr<ProcessGroup> group_;
};

}  // namespace localformer
