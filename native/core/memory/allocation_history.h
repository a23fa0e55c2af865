// What an allocator did, event by event, as PyTorch's memory snapshots tell it.
// In: allocations, frees, memory taken from the system, under the allocator's lock. Out: the last
// events, and where each live block was allocated.
#pragma once

#include <c10/core/CachingDeviceAllocator.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <unordered_map>
#include <vector>

#include "work_place.h"

namespace localformer {

struct AllocationEvent {
  using Action = c10::CachingDeviceAllocator::TraceEntry::Action;

  Action action = Action::ALLOC;
  // Of what it is about; of a failed allocation the bytes that were free.
  uintptr_t address = 0;
  size_t size = 0;  // As it was asked for, in bytes; of memory of the system what was taken.
  int64_t nanoseconds = 0;  // Since the epoch.
  int64_t stream = 0;
  const AllocationContext* context = nullptr;
};

// Not thread-safe: its owner holds a lock. What it cannot keep for want of memory is left out.
class AllocationHistory {
 public:
  // Keeps the last `most_events`, at least 1.
  explicit AllocationHistory(size_t most_events) : most_events_(most_events) {}

  void Allocated(uintptr_t address, size_t requested) noexcept;
  void Freed(uintptr_t address, size_t requested) noexcept;
  void Mapped(uintptr_t address, size_t bytes) noexcept;
  void Unmapped(uintptr_t address, size_t bytes) noexcept;
  void Failed(size_t requested, size_t free_bytes) noexcept;

  const std::deque<AllocationEvent>& events() const { return events_; }
  // Where a live block was allocated; null where it was before the history began.
  const AllocationContext* ContextOf(uintptr_t address) const;
  // False: events were left out, the oldest first.
  bool is_complete() const { return is_complete_; }

 private:
  void Add(AllocationEvent::Action action, uintptr_t address, size_t size,
           const AllocationContext* context) noexcept;

  const size_t most_events_;
  std::deque<AllocationEvent> events_;
  std::unordered_map<uintptr_t, const AllocationContext*> live_;
  bool is_complete_ = true;
};

// What a snapshot file says of the allocator's own settings.
struct AllocatorSettings {
  std::string configuration;  // PYTORCH_CUDA_ALLOC_CONF.
  int64_t max_split_size = -1;
  double garbage_collection_threshold = 0.0;
  bool expandable_segments = false;
  int64_t pinned_num_register_threads = 1;
  bool release_lock_on_malloc = false;
  bool pinned_use_host_register = false;
  std::vector<size_t> roundup_power2_divisions;
};

// An allocator at one moment, and how it came there.
struct MemorySnapshot {
  std::vector<c10::CachingDeviceAllocator::SegmentInfo> segments;
  std::vector<std::vector<AllocationEvent>> traces;  // One for each device.
  bool is_complete = true;
  AllocatorSettings settings;
};

}  // namespace localformer
