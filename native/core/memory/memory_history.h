// Records what a device's allocator does, with the operators that ask for it, and writes it as a
// file that PyTorch's tools read. In: a device. Out: a snapshot file (snapshot_file.h).
#pragma once

#include <c10/core/Device.h>

#include <cstdint>
#include <string>

#include "allocation_history.h"

namespace localformer {

// How a type of device records; the CPU's is known.
struct HistorySource {
  void (*record)(size_t most_events) = nullptr;  // 0: no longer.
  MemorySnapshot (*read)() = nullptr;
};

// Once for a type of device; visible for liblocalformer_cuda.so.
__attribute__((visibility("default"))) void RegisterHistorySource(c10::DeviceType type,
                                                                  HistorySource source);

// Keeps the last `most_events` of all devices of this type from now on, and forgets those before;
// 0: no longer. Observes LibTorch's operators for as long as any type records. Peaks and results
// are the same. Throws CodedError ERR_DEVICE_UNAVAILABLE where the type has no source.
void RecordMemoryHistory(c10::DeviceType type, size_t most_events);

struct WrittenSnapshot {
  int64_t events = 0;
  bool is_complete = true;  // False: the oldest events were left out.

  template <typename Self, typename Visit>
  static void Fields(Self& self, Visit&& visit) {
    visit("events", self.events);
    visit("isComplete", self.is_complete);
  }
};

// Writes what is recorded of this type.
WrittenSnapshot DumpSnapshot(c10::DeviceType type, const std::string& file);

}  // namespace localformer
