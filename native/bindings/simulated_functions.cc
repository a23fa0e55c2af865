// See simulated_functions.h. All synchronous, on the JS thread.
#include "simulated_functions.h"

#include <cxxabi.h>
#include <dlfcn.h>

#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "coded_error.h"
#include "errors.h"
#include "from_js.h"
#include "simulated/counts.h"
#include "to_js.h"
#include "train/device_calls.h"

namespace localformer {
namespace {

struct KernelCount {
  std::string name;
  int64_t launches = 0;

  template <typename Self, typename Visit>
  static void Fields(Self& self, Visit&& visit) {
    visit("name", self.name);
    visit("launches", self.launches);
  }
};

template <typename Function>
Function FunctionOf(const char* name) {
  const auto function = reinterpret_cast<Function>(dlsym(RTLD_DEFAULT, name));
  if (function != nullptr) return function;
  throw CodedError("ERR_DEVICE_UNAVAILABLE", "This process has no simulated device",
                   "Load one first: load({ simulate: 'rtx3060' }).");
}

std::string Demangled(const char* name) {
  int status = 0;
  const std::unique_ptr<char, decltype(&std::free)> text(
      abi::__cxa_demangle(name, nullptr, nullptr, &status), std::free);
  return status == 0 ? text.get() : name;
}

// Null where there is no simulated device.
Napi::Value Calls(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&] { return ToJs(info.Env(), ReadDeviceCalls()); });
}

Napi::Value Kernels(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&] {
    std::vector<KernelCount> kernels;
    FunctionOf<sim_visit_kernels>("localformer_simulated_kernels")(
        [](void* data, const char* name, int64_t launches) {
          static_cast<std::vector<KernelCount>*>(data)->push_back({Demangled(name), launches});
        },
        &kernels);
    return ToJs(info.Env(), kernels);
  });
}

// For tests: failSimulatedCall(name, after, status)
Napi::Value Fail(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&]() -> Napi::Value {
    FunctionOf<sim_fail_call>("localformer_simulated_fail")(
        FromJs<std::string>(info[0], "name").c_str(), FromJs<int64_t>(info[1], "after"),
        static_cast<int>(FromJs<int64_t>(info[2], "status")));
    return info.Env().Undefined();
  });
}

}  // namespace

void DefineSimulatedFunctions(Napi::Env env, Napi::Object exports) {
  exports.Set("simulatedCalls", Napi::Function::New(env, Calls, "simulatedCalls"));
  exports.Set("simulatedKernels", Napi::Function::New(env, Kernels, "simulatedKernels"));
  exports.Set("failSimulatedCall", Napi::Function::New(env, Fail, "failSimulatedCall"));
}

}  // namespace localformer
