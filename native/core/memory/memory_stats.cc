#include "memory_stats.h"

#include <algorithm>
#include <array>

#include "../coded_error.h"
#include "peak_window.h"

namespace localformer {
namespace {

using c10::CachingAllocator::Stat;
using c10::CachingAllocator::StatArray;
using c10::CachingDeviceAllocator::DeviceStats;
using FlatList = std::vector<std::pair<std::string, int64_t>>;

// In the order of c10::CachingAllocator::StatType.
constexpr std::array<const char*, 3> kPoolNames = {"all", "small_pool", "large_pool"};

void AddStat(FlatList& list, const std::string& name, const Stat& stat) {
  list.emplace_back(name + ".current", stat.current);
  list.emplace_back(name + ".peak", stat.peak);
  list.emplace_back(name + ".allocated", stat.allocated);
  list.emplace_back(name + ".freed", stat.freed);
}

void AddStatArray(FlatList& list, const std::string& name, const StatArray& stats) {
  for (size_t pool = 0; pool < kPoolNames.size(); ++pool) {
    AddStat(list, name + "." + kPoolNames[pool], stats[pool]);
  }
}

// c10 refuses to name the CPU's allocator as a DeviceAllocator, though ours is one.
c10::DeviceAllocator* FindAllocator(c10::DeviceType type) {
  try {
    return dynamic_cast<c10::DeviceAllocator*>(c10::GetAllocator(type));
  } catch (const c10::Error&) {  // no allocator is registered for this type
    return nullptr;
  }
}

}  // namespace

c10::DeviceAllocator* AllocatorFor(c10::Device device) {
  if (c10::DeviceAllocator* allocator = FindAllocator(device.type())) return allocator;
  throw CodedError("ERR_DEVICE_UNAVAILABLE",
                   "No memory statistics for device " + device.str() + " in this process",
                   device.is_cpu() ? "Install the caching CPU allocator before making tensors."
                                   : "Use a LibTorch built for this device.");
}

DeviceStats ReadStats(c10::Device device) {
  c10::DeviceAllocator* allocator = AllocatorFor(device);
  if (!allocator->initialized()) return {};
  return StatsOutsideWindows(allocator, std::max<c10::DeviceIndex>(device.index(), 0));
}

void ResetPeakStats(c10::Device device) {
  c10::DeviceAllocator* allocator = AllocatorFor(device);
  if (!allocator->initialized()) return;
  ResetPeaksOutsideWindows(allocator, std::max<c10::DeviceIndex>(device.index(), 0));
}

void ResetAccumulatedStats(c10::Device device) {
  c10::DeviceAllocator* allocator = AllocatorFor(device);
  if (!allocator->initialized()) return;
  allocator->resetAccumulatedStats(std::max<c10::DeviceIndex>(device.index(), 0));
}

void EmptyCache(c10::Device device) {
  c10::DeviceAllocator* allocator = AllocatorFor(device);
  if (allocator->initialized()) allocator->emptyCache();
}

FlatList FlatStats(const DeviceStats& stats) {
  FlatList list;
  AddStatArray(list, "allocation", stats.allocation);
  AddStatArray(list, "segment", stats.segment);
  AddStatArray(list, "active", stats.active);
  AddStatArray(list, "inactive_split", stats.inactive_split);
  AddStatArray(list, "allocated_bytes", stats.allocated_bytes);
  AddStatArray(list, "reserved_bytes", stats.reserved_bytes);
  AddStatArray(list, "active_bytes", stats.active_bytes);
  AddStatArray(list, "inactive_split_bytes", stats.inactive_split_bytes);
  AddStatArray(list, "requested_bytes", stats.requested_bytes);
  AddStat(list, "oversize_allocations", stats.oversize_allocations);
  AddStat(list, "oversize_segments", stats.oversize_segments);
  list.emplace_back("num_alloc_retries", stats.num_alloc_retries);
  list.emplace_back("num_ooms", stats.num_ooms);
  list.emplace_back("num_sync_all_streams", stats.num_sync_all_streams);
  list.emplace_back("num_device_alloc", stats.num_device_alloc);
  list.emplace_back("num_device_free", stats.num_device_free);
  list.emplace_back("max_split_size", stats.max_split_size);
  std::sort(list.begin(), list.end());
  return list;
}

}  // namespace localformer
