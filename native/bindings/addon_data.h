// What one JavaScript environment holds: its executor and the constructors of the handle classes.
// No globals: the package may be loaded in several worker threads at once.
#pragma once

#include <napi.h>

#include <memory>

#include "executor.h"

namespace localformer {

struct AddonData {
  explicit AddonData(Napi::Env env) : executor(env) {}

  Executor executor;
  Napi::FunctionReference model;
  Napi::FunctionReference trainer;
  Napi::FunctionReference features;
};

inline AddonData& DataOf(Napi::Env env) { return *env.GetInstanceData<AddonData>(); }

}  // namespace localformer
