// What scripts and tests ask of a simulated CUDA device.
#pragma once

#include <napi.h>

namespace localformer {

void DefineSimulatedFunctions(Napi::Env env, Napi::Object exports);

}  // namespace localformer
