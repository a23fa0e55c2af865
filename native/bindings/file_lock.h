// A lock on an open file that the system drops when the process ends, however it ends. Node has none.
#pragma once

#include <napi.h>

namespace localformer {

void DefineFileLock(Napi::Env env, Napi::Object exports);

}  // namespace localformer
