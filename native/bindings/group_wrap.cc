// See group_wrap.h.
#include "group_wrap.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "addon_data.h"
#include "coded_error.h"
#include "from_js.h"
#include "to_js.h"

namespace localformer {

Napi::Function GroupWrap::Define(Napi::Env env) {
  return DefineClass(env, "NativeGroup",
                     {
                         InstanceMethod<&GroupWrap::Exchange>("exchange"),
                         InstanceMethod<&GroupWrap::Sum>("sum"),
                         InstanceMethod<&GroupWrap::TrafficSoFar>("traffic"),
                         InstanceMethod<&GroupWrap::Fail>("fail"),
                         InstanceMethod<&GroupWrap::Leave>("leave"),
                         InstanceMethod<&GroupWrap::Dispose>("dispose"),
                     });
}

// Called by Join with the group; scripts cannot construct handles.
GroupWrap::GroupWrap(const Napi::CallbackInfo& info) : Napi::ObjectWrap<GroupWrap>(info) {
  if (!info[0].IsExternal()) throw Napi::TypeError::New(info.Env(), "Illegal constructor");
  group_ = *info[0].As<Napi::External<std::shared_ptr<ProcessGroup>>>().Data();
  info.This().As<Napi::Object>().TypeTag(&kTag);
}

Napi::Value GroupWrap::Join(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&] {
    AddonData& data = DataOf(info.Env());
    return data.executor.Run(
        info.Env(),
        [options = FromJs<GroupOptions>(info[0], "options"),
         cancelled = data.executor.cancelled()] {
          return std::make_shared<ProcessGroup>(options, cancelled);
        },
        [](Napi::Env env, std::shared_ptr<ProcessGroup>& group) -> Napi::Value {
          return DataOf(env).group.New(
              {Napi::External<std::shared_ptr<ProcessGroup>>::New(env, &group)});
        });
  });
}

std::shared_ptr<ProcessGroup> GroupWrap::group() const {
  if (!group_) throw CodedError("ERR_DISPOSED", "The process group was left");
  return group_;
}

GroupWrap* GroupWrap::From(const Napi::Value& value) {
  if (IsHandle<GroupWrap>(value)) return Unwrap(value.As<Napi::Object>());
  throw Unexpected("a process group", "group", value);
}

Napi::Value GroupWrap::Exchange(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&] {
    return DataOf(info.Env())
        .executor.Run(info.Env(), [group = group(), key = FromJs<std::string>(info[0], "key"),
                                   text = FromJs<std::string>(info[1], "text")] {
          return group->Exchange(key, text);
        });
  });
}

Napi::Value GroupWrap::Sum(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&] {
    const auto given = FromJs<std::vector<double>>(info[0], "values");
    return DataOf(info.Env()).executor.Run(info.Env(), [group = group(), given] {
      const at::Tensor values = at::empty({static_cast<int64_t>(given.size())}, at::kDouble);
      std::copy(given.begin(), given.end(), values.mutable_data_ptr<double>());
      if (!given.empty()) group->all()->Sum(values).Wait();
      const double* sums = values.const_data_ptr<double>();
      return std::vector<double>(sums, sums + values.numel());
    });
  });
}

Napi::Value GroupWrap::TrafficSoFar(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&] {
    return DataOf(info.Env()).executor.Run(info.Env(), [group = group()] {
      return group->traffic();
    });
  });
}

// Beside whatever is under way: another thread tells.
Napi::Value GroupWrap::Fail(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&]() -> Napi::Value {
    group()->Fail(FromJs<std::string>(info[0], "reason"));
    return info.Env().Undefined();
  });
}

Napi::Value GroupWrap::Leave(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&] {
    return DataOf(info.Env()).executor.Run(info.Env(), [group = group()] { group->Leave(); });
  });
}

// What ends it may wait for the others to be told: not on this thread.
Napi::Value GroupWrap::Dispose(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&]() -> Napi::Value {
    return DataOf(info.Env())
        .executor.Run(info.Env(),
                      [group = std::exchange(group_, nullptr)]() mutable { group.reset(); });
  });
}

}  // namespace localformer
