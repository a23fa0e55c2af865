// See device.h.
#include "train/device.h"

#include <c10/core/impl/VirtualGuardImpl.h>

#include <algorithm>

#include "memory/memory_stats.h"

namespace localformer {

void Synchronize(c10::Device device) {
  if (device.is_cpu()) return;
  c10::impl::VirtualGuardImpl(device.type()).synchronizeDevice(device.index());
}

int64_t AllocatedBytes(c10::Device device) { return ReadStats(device).allocated_bytes[0].current; }

PeakWindow OpenPeakWindow(c10::Device device) {
  // The CPU has no index.
  return PeakWindow(AllocatorFor(device), std::max<c10::DeviceIndex>(device.index(), 0));
}

}  // namespace localformer
