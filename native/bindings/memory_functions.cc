// See memory_functions.h.
#include "memory_functions.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <torch/version.h>

#include <algorithm>
#include <atomic>

#include "addon_data.h"
#include "errors.h"
#include "from_js.h"
#include "kernels/cpu.h"
#include "memory/caching_cpu_allocator.h"
#include "memory/memory_history.h"
#include "memory/memory_stats.h"
#include "read_device.h"
#include "segments.h"
#include "to_js.h"
#include "train/arithmetic.h"
#include "train/device.h"

namespace localformer {
namespace {

// OpenMP makes as many as it is asked for.
constexpr int64_t kMostThreads = 4096;

Napi::Value Stats(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&]() -> Napi::Value {
    Napi::Object object = Napi::Object::New(info.Env());
    for (const auto& [key, value] : FlatStats(ReadStats(ReadDevice(info[0])))) {
      object.Set(key, static_cast<double>(value));
    }
    return object;
  });
}

template <void (*Function)(c10::Device)>
Napi::Value OnDevice(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&]() -> Napi::Value {
    Function(ReadDevice(info[0]));
    return info.Env().Undefined();
  });
}

Napi::Value MemoryInfo(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&]() -> Napi::Value {
    const c10::Device device = ReadDevice(info[0]);
    const auto [free, total] = AllocatorFor(device)->getMemoryInfo(device.index());
    Napi::Object object = Napi::Object::New(info.Env());
    object.Set("freeBytes", static_cast<double>(free));
    object.Set("totalBytes", static_cast<double>(total));
    return object;
  });
}

Napi::Value SetCpuLimit(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&]() -> Napi::Value {
    InstallCachingCpuAllocator()->SetLimit(FromJs<int64_t>(info[0], "bytes"));
    return info.Env().Undefined();
  });
}

// For tests: failCpuAllocation(count)
Napi::Value FailCpuAllocation(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&]() -> Napi::Value {
    InstallCachingCpuAllocator()->FailAllocation(FromJs<int64_t>(info[0], "count"));
    return info.Env().Undefined();
  });
}

// recordMemoryHistory(device, mostEvents)
Napi::Value RecordHistory(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&]() -> Napi::Value {
    const auto most_events = AtLeast(0, FromJs<int64_t>(info[1], "mostEvents"), "mostEvents");
    RecordMemoryHistory(ReadDevice(info[0]).type(), static_cast<size_t>(most_events));
    return info.Env().Undefined();
  });
}

// dumpMemorySnapshot(device, file)
Napi::Value DumpMemorySnapshot(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&] {
    return DataOf(info.Env())
        .executor.Run(info.Env(), [type = ReadDevice(info[0]).type(),
                                   file = FromJs<std::string>(info[1], "file")] {
          return DumpSnapshot(type, file);
        });
  });
}

Napi::Value CpuSnapshot(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&]() -> Napi::Value {
    Napi::Array array = Napi::Array::New(info.Env());
    for (const auto& segment : InstallCachingCpuAllocator()->Snapshot()) {
      array.Set(array.Length(), ToJs(info.Env(), segment));
    }
    return array;
  });
}

Napi::Value Workspaces(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&]() -> Napi::Value {
    return Napi::Number::New(info.Env(), static_cast<double>(WorkspaceBytes(ReadDevice(info[0]))));
  });
}

Napi::Value CudaDeviceCount(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&]() -> Napi::Value {
    const bool cuda = at::globalContext().hasCUDA();
    return Napi::Number::New(info.Env(), cuda ? at::detail::getCUDAHooks().deviceCount() : 0);
  });
}

Napi::Value GetThreads(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), at::get_num_threads());
}

// Was the number of threads decided, by the user or once for all environments?
std::atomic<bool> are_threads_decided{false};

Napi::Value SetThreads(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&]() -> Napi::Value {
    const auto threads = AtLeast(1, FromJs<int64_t>(info[0], "threads"), "threads");
    const auto count = static_cast<int>(std::min(threads, kMostThreads));
    are_threads_decided = true;
    at::set_num_threads(count);
    // OpenMP keeps the number for each thread that calls, so the one that works is told too.
    DataOf(info.Env()).executor.Run(info.Env(), [count] { at::set_num_threads(count); });
    return info.Env().Undefined();
  });
}

Napi::Value LimitThreads(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&]() -> Napi::Value {
    const auto most = AtLeast(1, FromJs<int64_t>(info[0], "threads"), "threads");
    if (are_threads_decided.exchange(true) || at::get_num_threads() <= most) {
      return info.Env().Undefined();
    }
    return SetThreads(info);
  });
}

Napi::Value Versions(const Napi::CallbackInfo& info) {
  Napi::Object object = Napi::Object::New(info.Env());
  object.Set("libtorch", TORCH_VERSION);
  object.Set("cpuCapability", at::get_cpu_capability());
  object.Set("cuda", at::globalContext().hasCUDA());
  return object;
}

Napi::Value ReadArithmetic(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&] { return ToJs(info.Env(), CurrentArithmetic()); });
}

// For tests: useVectorKernels(use)
Napi::Value SetVectorKernels(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&]() -> Napi::Value {
    UseVectorKernels(FromJs<bool>(info[0], "use"));
    return info.Env().Undefined();
  });
}

// For tests: refuseNondeterminism(refuse). An operation that may give other bits the next time then
// throws, and memory that nobody wrote is NaN.
Napi::Value RefuseNondeterminism(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&]() -> Napi::Value {
    at::globalContext().setDeterministicAlgorithms(FromJs<bool>(info[0], "refuse"),
                                                   /*warn_only=*/false);
    return info.Env().Undefined();
  });
}

}  // namespace

void DefineMemoryFunctions(Napi::Env env, Napi::Object exports) {
  const auto define = [&](const char* name, Napi::Value (*function)(const Napi::CallbackInfo&)) {
    exports.Set(name, Napi::Function::New(env, function, name));
  };
  define("memoryStats", Stats);
  define("emptyCache", OnDevice<EmptyCache>);
  define("resetPeakMemoryStats", OnDevice<ResetPeakStats>);
  define("resetAccumulatedMemoryStats", OnDevice<ResetAccumulatedStats>);
  define("memoryInfo", MemoryInfo);
  define("setCpuMemoryLimit", SetCpuLimit);
  define("failCpuAllocation", FailCpuAllocation);
  define("cpuMemorySnapshot", CpuSnapshot);
  define("recordMemoryHistory", RecordHistory);
  define("dumpMemorySnapshot", DumpMemorySnapshot);
  define("workspaceBytes", Workspaces);
  define("cudaDeviceCount", CudaDeviceCount);
  define("threads", GetThreads);
  define("setThreads", SetThreads);
  define("limitThreads", LimitThreads);
  define("versions", Versions);
  define("arithmetic", ReadArithmetic);
  define("useVectorKernels", SetVectorKernels);
  define("refuseNondeterminism", RefuseNondeterminism);
}

}  // namespace localformer
