// See file_lock.h.
#include "file_lock.h"

#include <sys/file.h>

#include <cerrno>
#include <climits>

#include "errors.h"
#include "from_js.h"

namespace localformer {
namespace {

// In: a file descriptor. False where another one holds the lock. A file system without locks (some
// network ones) gives true: there is nothing to hold.
Napi::Value LockFile(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&]() -> Napi::Value {
    const auto descriptor = FromJs<int64_t>(info[0], "descriptor");
    // One that is no descriptor holds nothing either.
    const bool is_held = descriptor >= 0 && descriptor <= INT_MAX &&
                         flock(static_cast<int>(descriptor), LOCK_EX | LOCK_NB) != 0 &&
                         errno == EWOULDBLOCK;
    return Napi::Boolean::New(info.Env(), !is_held);
  });
}

}  // namespace

void DefineFileLock(Napi::Env env, Napi::Object exports) {
  exports.Set("lockFile", Napi::Function::New(env, LockFile, "lockFile"));
}

}  // namespace localformer
