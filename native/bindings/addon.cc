// The addon's table of contents: what JavaScript can call, and what an environment holds.
#include <napi.h>

#include "addon_data.h"
#include "dry_run_functions.h"
#include "errors.h"
#include "features_wrap.h"
#include "file_lock.h"
#include "group_wrap.h"
#include "memory/caching_cpu_allocator.h"
#include "memory_functions.h"
#include "model_wrap.h"
#include "prepared_wrap.h"
#include "product_functions.h"
#include "simulated_functions.h"
#include "trainer_wrap.h"

namespace localformer {
namespace {

// process.exit() takes no environment down: it runs exit handlers, among them the destructors of
// statics that LibTorch makes at its first use of this or that. The threads must be gone before.
void StopOnExit(Napi::Env env, AddonData* data) {
  const Napi::Object process = env.Global().Get("process").As<Napi::Object>();
  const auto stop = [data](const Napi::CallbackInfo&) { data->Stop(); };
  process.Get("once").As<Napi::Function>().Call(
      process, {Napi::String::New(env, "exit"), Napi::Function::New(env, stop)});
}

Napi::Object Register(Napi::Env env, Napi::Object exports) {
  InstallCachingCpuAllocator();
  auto* data = new AddonData(env);
  env.SetInstanceData<AddonData>(data);
  // Runs before the environment takes its handles down, while the threads may still use them.
  env.AddCleanupHook([](AddonData* held) { held->Stop(); }, data);
  StopOnExit(env, data);

  data->model = Napi::Persistent(ModelWrap::Define(env));
  data->trainer = Napi::Persistent(TrainerWrap::Define(env));
  data->features = Napi::Persistent(FeaturesWrap::Define(env));
  data->prepared = Napi::Persistent(PreparedWrap::Define(env));
  data->group = Napi::Persistent(GroupWrap::Define(env));
  exports.Set("createModel", Napi::Function::New(env, ModelWrap::Create, "createModel"));
  exports.Set("createTrainer", Napi::Function::New(env, TrainerWrap::Create, "createTrainer"));
  exports.Set("prepareBatch", Napi::Function::New(env, PreparedWrap::Create, "prepareBatch"));
  exports.Set("joinGroup", Napi::Function::New(env, GroupWrap::Join, "joinGroup"));
  DefineMemoryFunctions(env, exports);
  DefineProductFunctions(env, exports);
  DefineDryRunFunctions(env, exports);
  DefineFileLock(env, exports);
  DefineSimulatedFunctions(env, exports);
  return exports;
}

// Nothing may throw through Node: addresses, threads or memory may be missing.
Napi::Object Init(Napi::Env env, Napi::Object exports) {
  return Guarded(env, [&] { return Register(env, exports); });
}

}  // namespace
}  // namespace localformer

// What the loader calls for every environment that requires the package.
extern "C" __attribute__((visibility("default"))) napi_value localformer_init(napi_env env,
                                                                              napi_value exports) {
  return Napi::RegisterModule(env, exports, localformer::Init);
}
