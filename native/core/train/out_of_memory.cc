// See out_of_memory.h.
#include "train/out_of_memory.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <mutex>
#include <optional>
#include <string_view>
#include <utility>

#include "memory/memory_stats.h"

namespace localformer {
namespace {

constexpr const char* kHint = "Use more modules, a smaller batch or a smaller image size.";
constexpr const char* kLimitHint =
    "Raise the limit (`--memory-limit SIZE`, in a script `memory.setLimit`), or use more modules, "
    "a "
    "smaller batch or a smaller image size.";

// cudaErrorMemoryAllocation.
constexpr int32_t kRuntimeOutOfMemory = 2;

// What cuBLAS and cuDNN say when there is no memory for them. A handle that cannot be made has
// hardly any other reason on a device that has worked until then.
constexpr std::array<std::string_view, 3> kLibraryOutOfMemory = {
    "_STATUS_ALLOC_FAILED", "DEVICE_ALLOCATION_FAILED", "when calling `cublasCreate(handle)`"};

struct Noted {
  c10::Device device;
  OutOfMemoryInfo info;
};

std::mutex noted_mutex;
std::optional<Noted> noted;  // Guarded by noted_mutex.

// What is known of the last failure: of the CPU on this thread, of another device on any.
std::optional<Noted> TakeFailure() {
  if (const auto last = LastOutOfMemory()) {
    ClearLastOutOfMemory();
    return Noted{c10::Device(c10::kCPU), *last};
  }
  const std::lock_guard<std::mutex> lock(noted_mutex);
  return std::exchange(noted, std::nullopt);
}

// Where the allocator has said nothing: how much was asked for is not known.
OutOfMemoryInfo StateOf(c10::Device device) {
  const auto stats = ReadStats(device);
  OutOfMemoryInfo info;
  info.allocatedBytes = stats.allocated_bytes[0].current;
  info.reservedBytes = stats.reserved_bytes[0].current;
  info.limitBytes =
      static_cast<int64_t>(AllocatorFor(device)->getMemoryInfo(device.index()).second);
  return info;
}

std::string MiB(int64_t bytes) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f MiB", static_cast<double>(bytes) / 1048576.0);
  return text;
}

CodedError Describe(c10::Device device, const OutOfMemoryInfo& info, const std::string& module,
                    const std::string& phase) {
  std::string message = "Out of memory on " + device.str();
  if (info.requestedBytes > 0) message += ": tried to allocate " + MiB(info.requestedBytes);
  message += " (" + MiB(info.allocatedBytes) + " allocated, " + MiB(info.reservedBytes) +
             " reserved, limit " + MiB(info.limitBytes) +
             (info.byControlGroup ? " of the control group)"
              : info.limitIsSet   ? " as it was set)"
                                  : ")");
  if (!module.empty()) message += " in the " + phase + " phase of " + module;
  CodedError error("ERR_OUT_OF_MEMORY", message, info.limitIsSet ? kLimitHint : kHint);
  error.numbers = {{"allocatedBytes", info.allocatedBytes},
                   {"reservedBytes", info.reservedBytes},
                   {"limitBytes", info.limitBytes}};
  if (info.requestedBytes > 0) error.numbers["requestedBytes"] = info.requestedBytes;
  error.text = {{"module", module}, {"phase", phase}};
  return error;
}

}  // namespace

bool IsOutOfMemory(const c10::Error& error) {
  if (dynamic_cast<const c10::OutOfMemoryError*>(&error) != nullptr) return true;
  const auto* accelerator = dynamic_cast<const c10::AcceleratorError*>(&error);
  if (accelerator != nullptr) return accelerator->get_error_code() == kRuntimeOutOfMemory;
  const std::string_view message = error.what_without_backtrace();
  return std::any_of(kLibraryOutOfMemory.begin(), kLibraryOutOfMemory.end(),
                     [&](auto text) { return message.find(text) != std::string_view::npos; });
}

void NoteOutOfMemory(c10::Device device, const OutOfMemoryInfo& info) {
  const std::lock_guard<std::mutex> lock(noted_mutex);
  noted = Noted{device, info};
}

CodedError OutOfMemory(c10::Device device, const std::string& module, const std::string& phase) {
  const auto failure = TakeFailure();
  return failure ? Describe(failure->device, failure->info, module, phase)
                 : Describe(device, StateOf(device), module, phase);
}

CodedError OutOfMemory(const c10::Error& error) {
  if (const auto failure = TakeFailure()) return Describe(failure->device, failure->info, "", "");
  return CodedError("ERR_OUT_OF_MEMORY", error.what_without_backtrace(), kHint);
}

}  // namespace localformer
