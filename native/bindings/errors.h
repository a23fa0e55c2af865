// The one place where C++ exceptions become JavaScript errors with a code.
#pragma once

#include <napi.h>

#include <exception>

namespace localformer {

// An Error with `code`, and where known `hint` and facts as properties. Visible, so that
// liblocalformer_cuda.so translates its exceptions here too.
__attribute__((visibility("default"))) Napi::Value ToJsError(Napi::Env env,
                                                             std::exception_ptr exception);

// Runs `work` on the JS thread; what it throws becomes a thrown JavaScript error.
template <typename Work>
auto Guarded(Napi::Env env, const Work& work) -> decltype(work()) {
  try {
    return work();
  } catch (const Napi::Error&) {
    throw;
  } catch (...) {
    throw Napi::Error(env, ToJsError(env, std::current_exception()));
  }
}

}  // namespace localformer
