// Steps for their memory alone, and what they would cost to compute: what a planner asks.
#pragma once

#include <napi.h>

namespace localformer {

void DefineDryRunFunctions(Napi::Env env, Napi::Object exports);

}  // namespace localformer
