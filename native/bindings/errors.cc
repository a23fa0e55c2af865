// See errors.h.
#include "errors.h"

#include <c10/util/Exception.h>

#include <cstdlib>
#include <new>
#include <string>

#include "coded_error.h"
#include "memory/memory_stats.h"
#include "swin/unit.h"
#include "train/out_of_memory.h"

namespace localformer {
namespace {

Napi::Object Plain(Napi::Env env, const std::string& code, const std::string& message) {
  Napi::Object error = Napi::Error::New(env, message).Value();
  error.Set("code", code);
  return error;
}

Napi::Object FromCoded(Napi::Env env, const CodedError& error) {
  Napi::Object object = Plain(env, error.code, error.what());
  if (!error.hint.empty()) object.Set("hint", error.hint);
  for (const auto& [key, value] : error.text) object.Set(key, value);
  for (const auto& [key, value] : error.numbers) object.Set(key, static_cast<double>(value));
  return object;
}

// The backtrace that LibTorch appends is for the package's developers.
std::string TorchMessage(const c10::Error& error) {
  const char* debug = std::getenv("LOCALFORMER_DEBUG");
  const std::string value = debug == nullptr ? "" : debug;
  // As lib/base/environment.ts reads it.
  const bool is_debug = !value.empty() && value != "0" && value != "false";
  return is_debug ? error.what() : error.what_without_backtrace();
}

}  // namespace

Napi::Value ToJsError(Napi::Env env, std::exception_ptr exception) {
  try {
    std::rethrow_exception(exception);
  } catch (const CodedError& error) {
    return FromCoded(env, error);
  } catch (const Cancelled& error) {
    return Plain(env, "ERR_DISPOSED", error.what());
  } catch (const c10::Error& error) {
    if (IsOutOfMemory(error)) return FromCoded(env, OutOfMemory(error));
    return Plain(env, "ERR_TORCH", TorchMessage(error));
  } catch (const std::bad_alloc&) {
    return Plain(env, "ERR_OUT_OF_MEMORY", "The process has no memory left beside its tensors");
  } catch (const std::exception& error) {
    return Plain(env, "ERR_TORCH", error.what());
  } catch (...) {
    return Plain(env, "ERR_TORCH", "an exception of an unknown type");
  }
}

}  // namespace localformer
