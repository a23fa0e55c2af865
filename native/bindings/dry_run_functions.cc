// See dry_run_functions.h. All synchronous, on the JS thread.
#include "dry_run_functions.h"

#include "errors.h"
#include "from_js.h"
#include "math/work_count.h"
#include "memory/dry_run.h"
#include "to_js.h"

namespace localformer {
namespace {

// setDryRuns(dry)
Napi::Value Set(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&]() -> Napi::Value {
    SetDryRuns(FromJs<bool>(info[0], "dry"));
    return info.Env().Undefined();
  });
}

Napi::Value Work(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&] { return ToJs(info.Env(), CountedWork()); });
}

}  // namespace

void DefineDryRunFunctions(Napi::Env env, Napi::Object exports) {
  exports.Set("setDryRuns", Napi::Function::New(env, Set, "setDryRuns"));
  exports.Set("countedWork", Napi::Function::New(env, Work, "countedWork"));
}

}  // namespace localformer
