// See room_below_peak.h.
#include "memory/room_below_peak.h"

#include <algorithm>
#include <atomic>

#include "memory/memory_stats.h"
#include "memory/peak_window.h"

namespace localformer {
namespace {

std::atomic<int> refused{0};  // How many refuse it.

}  // namespace

int64_t RoomBelowPeak(c10::Device device) {
  if (device.is_cpu() || refused.load() > 0) return 0;
  return FreeBelowPeak(AllocatorFor(device), std::max<c10::DeviceIndex>(device.index(), 0));
}

NoRoomBelowPeak::NoRoomBelowPeak() { ++refused; }
NoRoomBelowPeak::~NoRoomBelowPeak() { --refused; }

}  // namespace localformer
