// What one JavaScript environment holds: its executors and the constructors of the handle classes.
// No globals: the package may be loaded in several worker threads at once.
#pragma once

#include <napi.h>

#include <memory>

#include "executor.h"

namespace localformer {

struct AddonData {
  explicit AddonData(Napi::Env env) : executor(env), data_executor(env) {}

  void Stop() {
    data_executor.Stop();
    executor.Stop();
  }

  Executor executor;
  // Prepares the batch ahead while a step runs on the other.
  Executor data_executor;
  Napi::FunctionReference model;
  Napi::FunctionReference trainer;
  Napi::FunctionReference features;
  Napi::FunctionReference prepared;
  Napi::FunctionReference group;
};

inline AddonData& DataOf(Napi::Env env) { return *env.GetInstanceData<AddonData>(); }

}  // namespace localformer
