// memory.* and device functions of the addon; all synchronous and cheap.
#pragma once

#include <napi.h>

namespace localformer {

void DefineMemoryFunctions(Napi::Env env, Napi::Object exports);

}  // namespace localformer
