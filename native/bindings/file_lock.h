// A lock on an open file, which Node has not; the system drops it with the process, killed or not.
#pragma once

#include <napi.h>

namespace localformer {

void DefineFileLock(Napi::Env env, Napi::Object exports);

}  // namespace localformer
