// Memory for trials: what a thread allocates while it tries something out is in no statistic, peak,
// limit or timeline, and no test's failure falls on it. The CPU's allocator asks here first.
#pragma once

#include <cstddef>
#include <map>

namespace localformer {

// While it lives, the calling thread's allocations are uncounted. Blocks that are freed meanwhile
// are kept for requests of the same size, so that a second try takes no fresh page; all of them go
// back to the system with it. A block that outlives it is freed as any other. Scopes nest.
class UncountedAllocations {
 public:
  UncountedAllocations();
  ~UncountedAllocations();
  UncountedAllocations(const UncountedAllocations&) = delete;
  UncountedAllocations& operator=(const UncountedAllocations&) = delete;

  // The calling thread's innermost; null: its allocations count.
  static UncountedAllocations* Current();

  // 64-byte aligned; null where the system has no more. `bytes` > 0.
  void* Allocate(size_t bytes);
  // From any thread. False where it is no such block.
  static bool Free(void* pointer);

 private:
  UncountedAllocations* const outer_;
  std::multimap<size_t, void*> kept_;
};

}  // namespace localformer
