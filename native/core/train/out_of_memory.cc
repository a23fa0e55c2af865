// See out_of_memory.h.
#include "train/out_of_memory.h"

#include <cstdio>

#include "memory/caching_cpu_allocator.h"
#include "memory/memory_stats.h"

namespace localformer {
namespace {

constexpr const char* kHint =
    "Use more modules, a smaller batch or a smaller image size; `memory.setLimit` moves a limit.";

std::string MiB(int64_t bytes) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f MiB", static_cast<double>(bytes) / 1048576.0);
  return text;
}

}  // namespace

CodedError OutOfMemory(c10::Device device, const std::string& module, const std::string& phase) {
  OutOfMemoryInfo info;
  if (const auto last = LastOutOfMemory(); device.is_cpu() && last) {
    info = *last;
  } else {
    const auto stats = ReadStats(device);
    info.allocatedBytes = stats.allocated_bytes[0].current;
    info.reservedBytes = stats.reserved_bytes[0].current;
    info.limitBytes =
        static_cast<int64_t>(AllocatorFor(device)->getMemoryInfo(device.index()).second);
  }
  ClearLastOutOfMemory();
  std::string message = "Out of memory on " + device.str();
  if (info.requestedBytes > 0) message += ": tried to allocate " + MiB(info.requestedBytes);
  message += " (" + MiB(info.allocatedBytes) + " allocated, " + MiB(info.reservedBytes) +
             " reserved, limit " + MiB(info.limitBytes) +
             (info.byControlGroup ? " of the control group)" : ")");
  if (!module.empty()) message += " in the " + phase + " phase of " + module;
  CodedError error("ERR_OUT_OF_MEMORY", message, kHint);
  error.numbers = {{"requestedBytes", info.requestedBytes},
                   {"allocatedBytes", info.allocatedBytes},
                   {"reservedBytes", info.reservedBytes},
                   {"limitBytes", info.limitBytes}};
  error.text = {{"module", module}, {"phase", phase}};
  return error;
}

CodedError OutOfMemory(const c10::OutOfMemoryError& error) {
  if (LastOutOfMemory()) return OutOfMemory(c10::Device(c10::kCPU), "", "");
  return CodedError("ERR_OUT_OF_MEMORY", error.what_without_backtrace(), kHint);
}

}  // namespace localformer
