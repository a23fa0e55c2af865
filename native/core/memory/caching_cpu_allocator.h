// A caching CPU allocator with PyTorch's allocator statistics, so that memory on the CPU is
// measured by the interface that CUDA's allocator has (c10::DeviceAllocator). In: requests of
// LibTorch, from any thread. Out: 64-byte aligned memory, reused instead of being given back to the
// system. How blocks are placed stands in block_arena.h.
#pragma once

#include <c10/core/CachingDeviceAllocator.h>

#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "allocation_history.h"
#include "block_arena.h"
#include "control_group.h"

namespace localformer {

// What was asked for, and what stood in the way, when an allocation failed. All in bytes.
struct OutOfMemoryInfo {
  int64_t requestedBytes = 0;
  int64_t allocatedBytes = 0;
  int64_t reservedBytes = 0;
  int64_t limitBytes = 0;       // the limit set, else the machine's memory; 0 if that is not known
  bool byControlGroup = false;  // whether limitBytes is the control group's
  bool limitIsSet = false;      // or one that a user has set
};

// The calling thread's last failed allocation in this allocator, if it had one.
std::optional<OutOfMemoryInfo> LastOutOfMemory();
void ClearLastOutOfMemory();
// How many allocations of the calling thread have failed so far.
uint64_t OutOfMemoryCount();

// Safe to call from any thread. One lock guards all state: an allocation takes well under a
// microsecond, and what it saves are page faults of the system, a thousand times that.
//
// Words, as in PyTorch: *requested* is what the caller asked for, *allocated* the sum of the blocks
// handed out (requests rounded up), *reserved* the pages taken from the system. Reserved is held
// below kReservedOverPeak times the highest allocated since the cache was last emptied, plus
// kSmallChunkBytes: what does not fit the cache makes the cache give back as much as that takes,
// which counts as a retry.
class CachingCpuAllocator final : public c10::DeviceAllocator {
 public:
  static constexpr double kReservedOverPeak = 1.2;
  // Requests up to this size are PyTorch's "small_pool": kept apart from large ones, so that they
  // do not cut up the memory that these reuse, and rounded up to 512 bytes, as on CUDA.
  static constexpr size_t kSmallRequestBytes = size_t{1} << 20;
  static constexpr size_t kSmallGranularity = 512;
  static constexpr size_t kSmallChunkBytes = size_t{256} << 10;  // taken from the system at once

  // Reserves addresses (no memory). Throws c10::OutOfMemoryError if not even 256 MiB can be had.
  explicit CachingCpuAllocator(ControlGroup group = ControlGroup::OfProcess());
  // Every block must have been freed. The process-wide allocator is never destroyed.
  ~CachingCpuAllocator() override;
  CachingCpuAllocator(const CachingCpuAllocator&) = delete;
  CachingCpuAllocator& operator=(const CachingCpuAllocator&) = delete;

  // c10::Allocator. Zero bytes give a null pointer. Throws c10::OutOfMemoryError; a failed
  // allocation changes no statistic but num_ooms (and, if the system refused, gives back the
  // cache).
  c10::DataPtr allocate(size_t bytes) override;
  // Frees blocks of the process-wide allocator (see InstallCachingCpuAllocator) only.
  c10::DeleterFnPtr raw_deleter() const override;
  void copy_data(void* destination, const void* source, size_t bytes) const override;

  // c10::DeviceAllocator. The device index is ignored: there is one CPU.
  bool initialized() override { return true; }
  void emptyCache(c10::MempoolId_t pool = {0, 0}) override;
  void recordStream(const c10::DataPtr&, c10::Stream) override {}  // the CPU has no streams
  c10::CachingDeviceAllocator::DeviceStats getDeviceStats(c10::DeviceIndex device = 0) override;
  void resetAccumulatedStats(c10::DeviceIndex device = 0) override;
  void resetPeakStats(c10::DeviceIndex device = 0) override;
  // Bytes free and in all; within the limit where one is set, and the control group's.
  std::pair<size_t, size_t> getMemoryInfo(c10::DeviceIndex device = 0) override;

  // An allocation that would bring allocated above `bytes`, or reserved even with an empty cache,
  // throws. 0 = no limit but the machine's memory and what the control group lets the process have
  // (an allocation beyond that throws, where the kernel would end the process). Gives cached memory
  // above it back at once; if more than that is allocated already, only later allocations fail.
  void SetLimit(int64_t bytes);
  int64_t Limit() const;

  // For tests: the `count`-th allocation from now on fails as if memory had run out, and that one
  // alone; 0: none does.
  void FailAllocation(int64_t count);
  // Counts an allocation that is made elsewhere; true where it is the one to fail.
  bool TakesFailure();

  // Runs of reserved memory in address order, with their blocks; where a history is recorded each
  // with its AllocationContext.
  std::vector<c10::CachingDeviceAllocator::SegmentInfo> Snapshot() const;

  // From now on what happens is kept, the last `most_events`; 0: no longer, and what was is
  // forgotten. No figure of memory depends on it.
  void RecordHistory(size_t most_events);
  // Segments and events of one moment.
  MemorySnapshot History() const;

  // What allocate() and its deleter do, on this object: `bytes` > 0; `pointer` from Allocate.
  void* Allocate(size_t bytes);
  void Free(void* pointer);

  // Peaks over a stretch of time, independent of resetPeakStats and of each other.
  // Used by PeakWindow; every opened window must be closed.
  struct Window {
    int64_t peakAllocatedBytes = 0;
    int64_t peakReservedBytes = 0;
  };
  using WindowHandle = std::list<Window>::iterator;
  WindowHandle OpenWindow();
  Window ReadWindow(WindowHandle window) const;
  void CloseWindow(WindowHandle window);

 private:
  using DeviceStats = c10::CachingDeviceAllocator::DeviceStats;
  using StatArray = c10::CachingAllocator::StatArray;
  using StatType = c10::CachingAllocator::StatType;
  struct Pool {
    BlockArena arena;
    StatType type;
  };

  // All below need mutex_ held.
  std::optional<uintptr_t> Place(Pool& pool, size_t blockBytes, size_t requestedBytes);
  bool FitsLimit(size_t blockBytes, size_t commitBytes) const;
  // Whether the control group has memory for a block that takes so much from the system.
  bool FitsGroup(size_t blockBytes, size_t commitBytes);
  void LookAtGroup();
  // Needed for a block beside what is allocated, when all that can be given back has been.
  int64_t NeededFor(size_t blockBytes) const;
  bool TrimTo(int64_t reservedBytes);
  size_t ReleaseCached(size_t bytes);
  void CountBlock(const Pool& pool, const BlockArena::Block& block, bool added);
  void SyncReserved();
  void RecordChanges(Pool& pool);
  void UpdateWindows();
  std::vector<c10::CachingDeviceAllocator::SegmentInfo> Segments() const;
  int64_t Allocated() const;
  int64_t Reserved() const;
  int64_t EffectiveLimit() const;
  OutOfMemoryInfo DescribeFailure(size_t requestedBytes, bool byGroup) const;

  mutable std::mutex mutex_;
  const int64_t systemBytes_;  // memory and swap of the machine
  const ControlGroup group_;
  AddressRange range_;
  Pool small_;
  Pool large_;
  DeviceStats stats_;
  int64_t boundPeak_ = 0;  // highest allocated since the cache was last emptied
  int64_t limit_ = 0;
  // What of reserved bytes the group had memory for when it was looked at, and how much may be
  // taken until it is looked at again: others in it take memory too.
  int64_t groupCeiling_ = INT64_MAX;
  int64_t untilNextLook_ = 0;
  bool refusedByGroup_ = false;          // the allocation at work
  int64_t allocationsUntilFailure_ = 0;  // 0: none fails
  std::list<Window> windows_;
  std::unique_ptr<AllocationHistory> history_;  // Null where none is recorded.
};

// Makes the process-wide allocator LibTorch's CPU allocator, once; later calls return the same.
// Call it before tensors are made: earlier ones keep the deleter they were made with. It is never
// destroyed, since threads may still free memory while the process exits.
CachingCpuAllocator* InstallCachingCpuAllocator();

}  // namespace localformer
