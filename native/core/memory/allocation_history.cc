// See allocation_history.h.
#include "allocation_history.h"

#include <c10/util/ApproximateClock.h>

namespace localformer {

using Action = AllocationEvent::Action;

void AllocationHistory::Allocated(uintptr_t address, size_t requested) noexcept {
  const AllocationContext* context = ContextHere();
  Add(Action::ALLOC, address, requested, context);
  try {
    live_[address] = context;
  } catch (...) {
    is_complete_ = false;
  }
}

void AllocationHistory::Freed(uintptr_t address, size_t requested) noexcept {
  const AllocationContext* context = ContextHere();
  // On the CPU no other stream holds a block back.
  Add(Action::FREE_REQUESTED, address, requested, context);
  Add(Action::FREE_COMPLETED, address, requested, context);
  live_.erase(address);
}

void AllocationHistory::Mapped(uintptr_t address, size_t bytes) noexcept {
  Add(Action::SEGMENT_MAP, address, bytes, ContextHere());
}

void AllocationHistory::Unmapped(uintptr_t address, size_t bytes) noexcept {
  Add(Action::SEGMENT_UNMAP, address, bytes, ContextHere());
}

void AllocationHistory::Failed(size_t requested, size_t free_bytes) noexcept {
  Add(Action::OOM, free_bytes, requested, ContextHere());
}

const AllocationContext* AllocationHistory::ContextOf(uintptr_t address) const {
  const auto found = live_.find(address);
  return found == live_.end() ? nullptr : found->second;
}

void AllocationHistory::Add(Action action, uintptr_t address, size_t size,
                            const AllocationContext* context) noexcept {
  try {
    events_.push_back({action, address, size, c10::getTime(), 0, context});
  } catch (...) {
    is_complete_ = false;
    return;
  }
  if (events_.size() <= most_events_) return;
  events_.pop_front();
  is_complete_ = false;
}

}  // namespace localformer
