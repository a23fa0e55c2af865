// See file_lock.h.
#include "file_lock.h"

#include <sys/file.h>

#include <cerrno>

namespace localformer {
namespace {

// In: a file descriptor. False where another one holds the lock. A file system without locks (some
// network ones) gives true: there is nothing to hold.
Napi::Value LockFile(const Napi::CallbackInfo& info) {
  const int descriptor = info[0].As<Napi::Number>().Int32Value();
  const bool is_held = flock(descriptor, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
  return Napi::Boolean::New(info.Env(), !is_held);
}

}  // namespace

void DefineFileLock(Napi::Env env, Napi::Object exports) {
  exports.Set("lockFile", Napi::Function::New(env, LockFile, "lockFile"));
}

}  // namespace localformer
