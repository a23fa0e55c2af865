// liblocalformer_cuda.so: the CUDA functions that c10::DeviceAllocator does not offer on every
// device (lib/native/contract.ts, NativeCuda). Loaded beside a CUDA LibTorch, after
// liblocalformer_torch.so. All synchronous, on the JS thread; a device is an index.
#include <ATen/Context.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <c10/core/DeviceGuard.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAFunctions.h>
#include <cuda_runtime_api.h>
#include <napi.h>

#include <cmath>
#include <mutex>
#include <string>
#include <utility>

#include "coded_error.h"
#include "errors.h"
#include "memory/memory_history.h"
#include "nccl_backend.h"
#include "segments.h"
#include "train/out_of_memory.h"

// Declared as in ATen/cuda/CUDAContextLight.h, which includes the headers of cuBLAS, cuSPARSE and
// cuSOLVER: nothing else of them is needed to build this.
namespace at::cuda {
cudaDeviceProp* getDeviceProperties(c10::DeviceIndex device);
}

namespace localformer {
namespace {

namespace allocator = c10::cuda::CUDACachingAllocator;

// Checks the index here: what LibTorch makes of a wrong one is an internal assertion.
c10::DeviceIndex ReadIndex(const Napi::Value& value) {
  const int count = c10::cuda::device_count();
  const double index = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : -1.0;
  if (!(index >= 0.0 && index < count)) {
    throw CodedError("ERR_DEVICE_UNAVAILABLE",
                     "Expected the index of a CUDA device for `device` but received " +
                         value.ToString().Utf8Value() + ": there are " + std::to_string(count));
  }
  return static_cast<c10::DeviceIndex>(index);
}

std::string Hexadecimal(const cudaUUID_t& uuid) {
  std::string text;
  for (const char byte : uuid.bytes) {
    constexpr const char* kDigits = "0123456789abcdef";
    const auto value = static_cast<unsigned char>(byte);
    text += {kDigits[value >> 4], kDigits[value & 15]};
  }
  return text;
}

Napi::Value DeviceProperties(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&]() -> Napi::Value {
    const cudaDeviceProp& properties = *at::cuda::getDeviceProperties(ReadIndex(info[0]));
    Napi::Object object = Napi::Object::New(info.Env());
    object.Set("name", properties.name);
    object.Set("major", properties.major);
    object.Set("minor", properties.minor);
    object.Set("totalMemoryBytes", static_cast<double>(properties.totalGlobalMem));
    object.Set("multiProcessorCount", properties.multiProcessorCount);
    object.Set("uuid", Hexadecimal(properties.uuid));
    return object;
  });
}

// versions(): of the driver and the runtime 1000 * major + 10 * minor; of cuDNN as it says itself,
// null where this LibTorch has none.
Napi::Value Versions(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&]() -> Napi::Value {
    int driver = 0, runtime = 0;
    if (cudaDriverGetVersion(&driver) != cudaSuccess ||
        cudaRuntimeGetVersion(&runtime) != cudaSuccess) {
      throw CodedError("ERR_DEVICE_UNAVAILABLE", "The CUDA driver does not tell its version");
    }
    Napi::Object object = Napi::Object::New(info.Env());
    object.Set("driver", driver);
    object.Set("runtime", runtime);
    if (at::globalContext().hasCuDNN()) {
      object.Set("cudnn", static_cast<double>(at::detail::getCUDAHooks().versionRuntimeCuDNN()));
    } else {
      object.Set("cudnn", info.Env().Null());
    }
    return object;
  });
}

Napi::Value Synchronize(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&]() -> Napi::Value {
    const c10::DeviceGuard guard(c10::Device(c10::kCUDA, ReadIndex(info[0])));
    c10::cuda::device_synchronize();
    return info.Env().Undefined();
  });
}

// setMemoryFraction(fraction, device)
Napi::Value SetMemoryFraction(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&]() -> Napi::Value {
    const c10::DeviceIndex device = ReadIndex(info[1]);
    // The allocator knows its devices once CUDA is initialised.
    at::globalContext().lazyInitDevice(c10::kCUDA);
    allocator::setMemoryFraction(info[0].As<Napi::Number>().DoubleValue(), device);
    return info.Env().Undefined();
  });
}

// LibTorch makes whole bytes of a fraction by leaving off what is behind the point.
double FractionOf(int64_t bytes, size_t total) {
  const auto wanted = static_cast<size_t>(bytes);
  // From 1 on it knows no limit.
  if (wanted == 0 || wanted >= total) return 1.0;
  const auto all = static_cast<double>(total);
  double fraction = static_cast<double>(wanted) / all;
  while (static_cast<size_t>(fraction * all) < wanted) fraction = std::nextafter(fraction, 1.0);
  return fraction;
}

// setMemoryLimit(bytes, device)
Napi::Value SetMemoryLimit(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&]() -> Napi::Value {
    const c10::DeviceIndex device = ReadIndex(info[1]);
    at::globalContext().lazyInitDevice(c10::kCUDA);
    const size_t total = at::cuda::getDeviceProperties(device)->totalGlobalMem;
    allocator::setMemoryFraction(FractionOf(info[0].As<Napi::Number>().Int64Value(), total),
                                 device);
    return info.Env().Undefined();
  });
}

// Empty before the first allocation.
Napi::Value Segments(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&]() -> Napi::Value {
    const c10::DeviceIndex device = ReadIndex(info[0]);
    Napi::Array array = Napi::Array::New(info.Env());
    const auto snapshot = allocator::snapshot({0, 0}, /*include_traces=*/false);
    for (const auto& segment : snapshot.segments) {
      if (segment.device == device) array.Set(array.Length(), ToJs(info.Env(), segment));
    }
    return array;
  });
}

// Written and read under the lock of memory_history.cc.
size_t most_recorded = SIZE_MAX;

// Of all devices.
void RecordHistory(size_t most_events) {
  most_recorded = most_events == 0 ? SIZE_MAX : most_events;
  at::globalContext().lazyInitDevice(c10::kCUDA);
  if (most_events == 0) {
    allocator::recordHistory(false, nullptr, 1, allocator::RecordContext::NEVER,
                             /*clearHistory=*/true, {});
    return;
  }
  allocator::recordHistory(true, SharedContextHere, most_events, allocator::RecordContext::ALL,
                           /*clearHistory=*/true, {});
}

AllocationEvent EventOf(const allocator::TraceEntry& entry) {
  return {entry.action_, entry.addr_, entry.size_,
          // The snapshot has it in microseconds.
          entry.time_.t_ * 1000, static_cast<int64_t>(reinterpret_cast<intptr_t>(entry.stream_)),
          dynamic_cast<const AllocationContext*>(entry.context_.get())};
}

AllocatorSettings SettingsOf(const allocator::AllocatorConfigInfo& config) {
  return {config.last_allocator_settings,
          static_cast<int64_t>(config.max_split_size),
          config.garbage_collection_threshold,
          config.expandable_segments,
          static_cast<int64_t>(config.pinned_num_register_threads),
          config.release_lock_on_malloc,
          config.pinned_use_host_register,
          config.roundup_power2_divisions};
}

// LibTorch does not say whether it has left events out: where it kept as many as it may, it has.
MemorySnapshot ReadHistory() {
  allocator::SnapshotInfo info = allocator::snapshot();
  MemorySnapshot snapshot;
  snapshot.segments = std::move(info.segments);
  snapshot.settings = SettingsOf(info.config_metadata);
  for (const auto& entries : info.device_traces) {
    auto& trace = snapshot.traces.emplace_back();
    trace.reserve(entries.size());
    for (const allocator::TraceEntry& entry : entries) trace.push_back(EventOf(entry));
    if (trace.size() >= most_recorded) snapshot.is_complete = false;
  }
  return snapshot;
}

// What is told of a failed allocation is what holds at that moment, the fraction's limit included.
void ObserveOutOfMemory() {
  static std::once_flag once;
  std::call_once(once, [] {
    // The allocator knows its devices once CUDA is initialised.
    at::globalContext().lazyInitDevice(c10::kCUDA);
    // CUDA's own asynchronous allocator (PYTORCH_CUDA_ALLOC_CONF) has no observers.
    if (allocator::name() != "native") return;
    allocator::attachOutOfMemoryObserver([](int64_t index, size_t requested, size_t limit, size_t) {
      const c10::Device device(c10::kCUDA, static_cast<c10::DeviceIndex>(index));
      const auto stats = allocator::getDeviceStats(device.index());
      OutOfMemoryInfo info;
      info.requestedBytes = static_cast<int64_t>(requested);
      info.allocatedBytes = stats.allocated_bytes[0].current;
      info.reservedBytes = stats.reserved_bytes[0].current;
      info.limitBytes = static_cast<int64_t>(limit);
      info.limitIsSet = allocator::getMemoryFraction(device.index()) < 1.0;
      NoteOutOfMemory(device, info);
    });
  });
}

Napi::Object Register(Napi::Env env, Napi::Object exports) {
  ObserveOutOfMemory();
  RegisterHistorySource(c10::kCUDA, {RecordHistory, ReadHistory});
  RegisterNccl();
  const auto define = [&](const char* name, Napi::Value (*function)(const Napi::CallbackInfo&)) {
    exports.Set(name, Napi::Function::New(env, function, name));
  };
  define("deviceProperties", DeviceProperties);
  define("synchronize", Synchronize);
  define("versions", Versions);
  define("setMemoryFraction", SetMemoryFraction);
  define("setMemoryLimit", SetMemoryLimit);
  define("memorySnapshot", Segments);
  return exports;
}

// Nothing may throw through Node.
Napi::Object Init(Napi::Env env, Napi::Object exports) {
  return Guarded(env, [&] { return Register(env, exports); });
}

}  // namespace
}  // namespace localformer

// What the loader calls for every environment that asks for CUDA's functions.
extern "C" __attribute__((visibility("default"))) napi_value localformer_init(napi_env env,
                                                                              napi_value exports) {
  return Napi::RegisterModule(env, exports, localformer::Init);
}
