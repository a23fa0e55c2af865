// Backends of products, of the whole process; all synchronous.
#pragma once

#include <napi.h>

namespace localformer {

void DefineProductFunctions(Napi::Env env, Napi::Object exports);

}  // namespace localformer
