#include "caching_cpu_allocator.h"

#include <c10/core/CPUAllocator.h>
#include <sys/sysinfo.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>

#include "dry_run.h"
#include "uncounted_allocations.h"

namespace localformer {
namespace {

using c10::CachingAllocator::format_size;
using c10::CachingAllocator::Stat;
using c10::CachingAllocator::StatArray;
using c10::CachingAllocator::StatType;

constexpr size_t kWantedAddressBytes = size_t{1} << 40;
constexpr size_t kLeastAddressBytes = size_t{256} << 20;
constexpr size_t kSmallAddressShare = 8;  // an eighth of the addresses is for small blocks

// Left of what the control group allows, for what the process takes beside tensors until the next
// look; and how much is taken between two looks at most.
constexpr int64_t kGroupMarginBytes = int64_t{32} << 20;
constexpr int64_t kMostBetweenLooks = int64_t{256} << 20;

thread_local std::optional<OutOfMemoryInfo> lastOutOfMemory;
thread_local uint64_t outOfMemoryCount = 0;
std::atomic<CachingCpuAllocator*> installed{nullptr};

int64_t SystemBytes() {
  struct sysinfo info {};
  if (sysinfo(&info) != 0) return 0;
  return static_cast<int64_t>((info.totalram + info.totalswap) * info.mem_unit);
}

// Memory that can be had without swapping: the kernel's estimate, which counts droppable caches.
int64_t AvailableBytes() {
  std::ifstream file("/proc/meminfo");
  std::string key, unit;
  int64_t kibibytes = 0;
  while (file >> key >> kibibytes) {
    std::getline(file, unit);
    if (key == "MemAvailable:") return kibibytes * 1024;
  }
  return 0;
}

Stat& Of(StatArray& stats, StatType type) { return stats[static_cast<size_t>(type)]; }

void Change(StatArray& stats, StatType pool, int64_t amount) {
  for (const StatType type : {StatType::AGGREGATE, pool}) {
    Stat& stat = Of(stats, type);
    if (amount > 0) stat.increase(static_cast<size_t>(amount));
    if (amount < 0) stat.decrease(static_cast<size_t>(-amount));
  }
}

void ChangeTo(StatArray& stats, StatType pool, size_t value) {
  const int64_t amount = static_cast<int64_t>(value) - Of(stats, pool).current;
  if (amount != 0) Change(stats, pool, amount);
}

template <typename Function>
void ForEachStatArray(c10::CachingDeviceAllocator::DeviceStats& stats, Function function) {
  for (StatArray* array : {&stats.allocation, &stats.segment, &stats.active, &stats.inactive_split,
                           &stats.allocated_bytes, &stats.reserved_bytes, &stats.active_bytes,
                           &stats.inactive_split_bytes, &stats.requested_bytes}) {
    for (Stat& stat : *array) function(stat);
  }
}

// A pointer that is not ours, or was freed before: going on would corrupt memory later, far away.
// From a tensor's destructor the exception ends the process, with its text.
void RefusePointer(const void* pointer) {
#ifndef NDEBUG
  std::fprintf(stderr, "CachingCpuAllocator: %p is not an allocated block\n", pointer);
  std::abort();
#endif
  TORCH_CHECK(false, "CachingCpuAllocator: ", pointer, " is not an allocated block");
}

void FreeInstalled(void* pointer) {
  if (pointer != nullptr) installed.load(std::memory_order_acquire)->Free(pointer);
}

[[noreturn]] void ThrowOutOfMemory(const OutOfMemoryInfo& info) {
  lastOutOfMemory = info;
  ++outOfMemoryCount;
  TORCH_CHECK_WITH(OutOfMemoryError, false, "Out of memory on the CPU: tried to allocate ",
                   format_size(static_cast<uint64_t>(info.requestedBytes)), " with ",
                   format_size(static_cast<uint64_t>(info.allocatedBytes)), " allocated and ",
                   format_size(static_cast<uint64_t>(info.reservedBytes)),
                   " reserved; the limit is ", format_size(static_cast<uint64_t>(info.limitBytes)));
  std::abort();  // not reached: tells the compiler so
}

}  // namespace

std::optional<OutOfMemoryInfo> LastOutOfMemory() { return lastOutOfMemory; }
void ClearLastOutOfMemory() { lastOutOfMemory.reset(); }
uint64_t OutOfMemoryCount() { return outOfMemoryCount; }

CachingCpuAllocator::CachingCpuAllocator(ControlGroup group)
    : systemBytes_(SystemBytes()),
      group_(std::move(group)),
      range_(kWantedAddressBytes, kLeastAddressBytes),
      small_{BlockArena(range_.begin(),
                        range_.size() / kSmallAddressShare / kHugePageBytes * kHugePageBytes,
                        kSmallGranularity, kSmallChunkBytes),
             StatType::SMALL_POOL},
      large_{BlockArena(small_.arena.end(), range_.begin() + range_.size() - small_.arena.end(),
                        kPageBytes, kPageBytes),
             StatType::LARGE_POOL} {
  TORCH_CHECK_WITH(OutOfMemoryError, range_.size() > 0,
                   "CachingCpuAllocator: the system allows less than ",
                   format_size(kLeastAddressBytes), " of addresses");
  stats_.max_split_size = -1;  // as in PyTorch: blocks of any size are split
}

CachingCpuAllocator::~CachingCpuAllocator() = default;

// ---- Allocating ----

c10::DataPtr CachingCpuAllocator::allocate(size_t bytes) {
  TORCH_CHECK(installed.load(std::memory_order_acquire) == this,
              "CachingCpuAllocator: only the installed allocator makes tensors");
  void* data = bytes > 0 ? Allocate(bytes) : nullptr;
  return {data, data, &FreeInstalled, c10::Device(c10::DeviceType::CPU)};
}

c10::DeleterFnPtr CachingCpuAllocator::raw_deleter() const { return &FreeInstalled; }

void CachingCpuAllocator::copy_data(void* destination, const void* source, size_t bytes) const {
  default_copy_data(destination, source, bytes);
}

void* CachingCpuAllocator::Allocate(size_t bytes) {
  if (UncountedAllocations* trial = UncountedAllocations::Current()) {
    void* pointer = trial->Allocate(bytes);
    TORCH_CHECK_WITH(OutOfMemoryError, pointer != nullptr,
                     "No memory for a trial: ", format_size(bytes));
    return pointer;
  }
  std::unique_lock<std::mutex> lock(mutex_);
  Pool& pool = bytes <= kSmallRequestBytes ? small_ : large_;
  std::optional<uintptr_t> address;
  const bool mustFail = allocationsUntilFailure_ > 0 && --allocationsUntilFailure_ == 0;
  // The test of the size keeps the rounding from overflowing.
  if (!mustFail && bytes <= range_.size()) {
    address = Place(pool, pool.arena.RoundUp(bytes), bytes);
  }
  if (!address) {
    ++stats_.num_ooms;
    const OutOfMemoryInfo info = DescribeFailure(bytes, std::exchange(refusedByGroup_, false));
    if (history_) {
      const int64_t unused = std::max<int64_t>(info.limitBytes - info.reservedBytes, 0);
      history_->Failed(bytes, static_cast<size_t>(unused));
    }
    lock.unlock();
    ThrowOutOfMemory(info);
  }
  const BlockArena::Block& block = *pool.arena.FindAllocated(*address);
  CountBlock(pool, block, true);
  if (history_) history_->Allocated(*address, block.requested);
  UpdateWindows();
  const int64_t size = static_cast<int64_t>(block.size);
  const size_t allocated = static_cast<size_t>(Allocated());
  const size_t reserved = static_cast<size_t>(Reserved());
  lock.unlock();
  void* pointer = reinterpret_cast<void*>(*address);
  c10::reportMemoryUsageToProfiler(pointer, size, allocated, reserved, c10::DeviceType::CPU);
  return pointer;
}

// The address of a new block, or nothing if the limit, the addresses or the system forbid it.
std::optional<uintptr_t> CachingCpuAllocator::Place(Pool& pool, size_t blockBytes,
                                                    size_t requestedBytes) {
  auto placement = pool.arena.Find(blockBytes);
  if (!placement || !FitsLimit(blockBytes, placement->commitBytes)) return std::nullopt;
  if (placement->commitBytes > 0 && !FitsGroup(blockBytes, placement->commitBytes)) {
    refusedByGroup_ = true;
    return std::nullopt;
  }
  if (!pool.arena.Take(*placement, blockBytes, requestedBytes)) {
    // The system refuses more memory, so the holes in what it gave have to do.
    ReleaseCached(SIZE_MAX);
    ++stats_.num_alloc_retries;
    SyncReserved();
    placement = pool.arena.Find(blockBytes);
    if (!pool.arena.Take(*placement, blockBytes, requestedBytes)) return std::nullopt;
  }
  boundPeak_ = std::max(boundPeak_, Allocated() + static_cast<int64_t>(blockBytes));
  if (placement->commitBytes > 0) {
    const auto bound = static_cast<int64_t>(static_cast<double>(boundPeak_) * kReservedOverPeak) +
                       static_cast<int64_t>(kSmallChunkBytes);
    if (TrimTo(std::min({bound, EffectiveLimit(), groupCeiling_}))) ++stats_.num_alloc_retries;
  }
  SyncReserved();
  return placement->address;
}

bool CachingCpuAllocator::FitsLimit(size_t blockBytes, size_t commitBytes) const {
  const int64_t limit = EffectiveLimit();
  if (Allocated() + static_cast<int64_t>(blockBytes) > limit) return false;
  return commitBytes == 0 || NeededFor(blockBytes) <= limit;
}

// Memory that cannot be given back is what is allocated and the rest of pages partly allocated.
int64_t CachingCpuAllocator::NeededFor(size_t blockBytes) const {
  const size_t stuck = small_.arena.stuckBytes() + large_.arena.stuckBytes();
  return Allocated() + static_cast<int64_t>(blockBytes + kPageBytes + stuck);
}

bool CachingCpuAllocator::FitsGroup(size_t blockBytes, size_t commitBytes) {
  const auto bytes = static_cast<int64_t>(commitBytes);
  const bool looked = untilNextLook_ < bytes;
  if (looked) LookAtGroup();
  // What was seen before may have changed for the better.
  if (NeededFor(blockBytes) > groupCeiling_ && !looked) LookAtGroup();
  untilNextLook_ -= bytes;
  return NeededFor(blockBytes) <= groupCeiling_;
}

// Some reading of files, well below a millisecond, for page faults of a hundred times that.
void CachingCpuAllocator::LookAtGroup() {
  const int64_t available = group_.AvailableBytes();
  // What a dry run takes it hardly touches.
  if (available == ControlGroup::kNone || IsDryRun()) {
    groupCeiling_ = INT64_MAX;
    untilNextLook_ = kMostBetweenLooks;
    return;
  }
  const int64_t left = available - kGroupMarginBytes;
  groupCeiling_ = Reserved() + left;
  untilNextLook_ = std::clamp<int64_t>(left / 4, 0, kMostBetweenLooks);
}

// Gives cached memory back until no more than `reservedBytes` are reserved. True if it did.
bool CachingCpuAllocator::TrimTo(int64_t reservedBytes) {
  const auto reserved =
      static_cast<int64_t>(small_.arena.committedBytes() + large_.arena.committedBytes());
  return reserved > reservedBytes &&
         ReleaseCached(static_cast<size_t>(reserved - reservedBytes)) > 0;
}

size_t CachingCpuAllocator::ReleaseCached(size_t bytes) {
  size_t released = large_.arena.Release(bytes);
  if (released < bytes) released += small_.arena.Release(bytes - released);
  return released;
}

void CachingCpuAllocator::Free(void* pointer) {
  const auto address = reinterpret_cast<uintptr_t>(pointer);
  const bool is_ours = address - range_.begin() < range_.size();
  if (!is_ours && UncountedAllocations::Free(pointer)) return;
  std::unique_lock<std::mutex> lock(mutex_);
  Pool& pool = small_.arena.Contains(address) ? small_ : large_;
  const BlockArena::Block* block = pool.arena.FindAllocated(address);
  if (block == nullptr) {
    lock.unlock();
    RefusePointer(pointer);
    return;
  }
  const int64_t size = static_cast<int64_t>(block->size);
  CountBlock(pool, *block, false);
  if (history_) history_->Freed(address, block->requested);
  pool.arena.Free(address);
  SyncReserved();
  const size_t allocated = static_cast<size_t>(Allocated());
  const size_t reserved = static_cast<size_t>(Reserved());
  lock.unlock();
  c10::reportMemoryUsageToProfiler(pointer, -size, allocated, reserved, c10::DeviceType::CPU);
}

void CachingCpuAllocator::emptyCache(c10::MempoolId_t) {
  const std::lock_guard<std::mutex> lock(mutex_);
  ReleaseCached(SIZE_MAX);
  boundPeak_ = Allocated();
  SyncReserved();
}

// ---- Statistics ----

void CachingCpuAllocator::CountBlock(const Pool& pool, const BlockArena::Block& block, bool added) {
  const int64_t sign = added ? 1 : -1;
  const int64_t size = sign * static_cast<int64_t>(block.size);
  Change(stats_.allocation, pool.type, sign);
  Change(stats_.active, pool.type, sign);
  Change(stats_.allocated_bytes, pool.type, size);
  Change(stats_.active_bytes, pool.type, size);
  Change(stats_.requested_bytes, pool.type, sign * static_cast<int64_t>(block.requested));
}

// Brings the statistics of memory held to the arenas' counters. A pool that shrank comes first: the
// other may have grown by what it gave back, and their sum must not show a peak that never was.
void CachingCpuAllocator::SyncReserved() {
  const auto smallBytes = static_cast<int64_t>(small_.arena.committedBytes());
  const bool smallGrew = smallBytes > Of(stats_.reserved_bytes, small_.type).current;
  for (Pool* pool : {smallGrew ? &large_ : &small_, smallGrew ? &small_ : &large_}) {
    ChangeTo(stats_.reserved_bytes, pool->type, pool->arena.committedBytes());
    ChangeTo(stats_.segment, pool->type, pool->arena.segments());
    ChangeTo(stats_.inactive_split, pool->type, pool->arena.stuckBlocks());
    ChangeTo(stats_.inactive_split_bytes, pool->type, pool->arena.stuckBytes());
    stats_.num_device_alloc += static_cast<int64_t>(pool->arena.TakeCommits());
    stats_.num_device_free += static_cast<int64_t>(pool->arena.TakeReleases());
    if (history_) RecordChanges(*pool);
  }
}

void CachingCpuAllocator::RecordChanges(Pool& pool) {
  for (const BlockArena::Change& change : pool.arena.TakeChanges()) {
    if (change.is_taken) {
      history_->Mapped(change.address, change.size);
    } else {
      history_->Unmapped(change.address, change.size);
    }
  }
}

int64_t CachingCpuAllocator::Allocated() const { return stats_.allocated_bytes[0].current; }
int64_t CachingCpuAllocator::Reserved() const { return stats_.reserved_bytes[0].current; }

int64_t CachingCpuAllocator::EffectiveLimit() const {
  if (limit_ > 0) return limit_;
  return systemBytes_ > 0 ? systemBytes_ : INT64_MAX;
}

OutOfMemoryInfo CachingCpuAllocator::DescribeFailure(size_t requestedBytes, bool byGroup) const {
  const size_t requested = std::min(requestedBytes, static_cast<size_t>(INT64_MAX));
  const int64_t limit = limit_ > 0 ? limit_ : systemBytes_;
  return {static_cast<int64_t>(requested),       Allocated(), Reserved(),
          byGroup ? group_.LimitBytes() : limit, byGroup,     !byGroup && limit_ > 0};
}

c10::CachingDeviceAllocator::DeviceStats CachingCpuAllocator::getDeviceStats(c10::DeviceIndex) {
  const std::lock_guard<std::mutex> lock(mutex_);
  return stats_;
}

void CachingCpuAllocator::resetAccumulatedStats(c10::DeviceIndex) {
  const std::lock_guard<std::mutex> lock(mutex_);
  ForEachStatArray(stats_, [](Stat& stat) { stat.reset_accumulated(); });
  stats_.num_alloc_retries = 0;
  stats_.num_ooms = 0;
  stats_.num_device_alloc = 0;
  stats_.num_device_free = 0;
}

void CachingCpuAllocator::resetPeakStats(c10::DeviceIndex) {
  const std::lock_guard<std::mutex> lock(mutex_);
  ForEachStatArray(stats_, [](Stat& stat) { stat.reset_peak(); });
}

std::pair<size_t, size_t> CachingCpuAllocator::getMemoryInfo(c10::DeviceIndex) {
  const int64_t available = std::min(AvailableBytes(), group_.AvailableBytes());
  const std::lock_guard<std::mutex> lock(mutex_);
  const int64_t total = std::min(limit_ > 0 ? limit_ : systemBytes_, group_.LimitBytes());
  const int64_t unused = std::max<int64_t>(total - Reserved(), 0);
  return {static_cast<size_t>(std::min(available, unused)), static_cast<size_t>(total)};
}

void CachingCpuAllocator::SetLimit(int64_t bytes) {
  TORCH_CHECK(bytes >= 0, "Expected a limit of 0 or more bytes but received ", bytes);
  const std::lock_guard<std::mutex> lock(mutex_);
  limit_ = bytes;
  TrimTo(EffectiveLimit());
  SyncReserved();
}

int64_t CachingCpuAllocator::Limit() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return limit_;
}

void CachingCpuAllocator::FailAllocation(int64_t count) {
  TORCH_CHECK(count >= 0, "Expected a count of 0 or more but received ", count);
  const std::lock_guard<std::mutex> lock(mutex_);
  allocationsUntilFailure_ = count;
}

bool CachingCpuAllocator::TakesFailure() {
  const std::lock_guard<std::mutex> lock(mutex_);
  const bool fails = allocationsUntilFailure_ > 0 && --allocationsUntilFailure_ == 0;
  if (fails) ++stats_.num_ooms;
  return fails;
}

// ---- Windows ----

void CachingCpuAllocator::UpdateWindows() {
  for (Window& window : windows_) {
    window.peakAllocatedBytes = std::max(window.peakAllocatedBytes, Allocated());
    window.peakReservedBytes = std::max(window.peakReservedBytes, Reserved());
  }
}

CachingCpuAllocator::WindowHandle CachingCpuAllocator::OpenWindow() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return windows_.insert(windows_.end(), {Allocated(), Reserved()});
}

CachingCpuAllocator::Window CachingCpuAllocator::ReadWindow(WindowHandle window) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return *window;
}

void CachingCpuAllocator::CloseWindow(WindowHandle window) {
  const std::lock_guard<std::mutex> lock(mutex_);
  windows_.erase(window);
}

// ---- Snapshot ----

namespace {

using c10::CachingDeviceAllocator::BlockInfo;
using c10::CachingDeviceAllocator::SegmentInfo;

// Owned by nobody: contexts live forever.
std::shared_ptr<c10::GatheredContext> Shared(const AllocationContext* context) {
  if (context == nullptr) return nullptr;
  return {std::shared_ptr<void>(), const_cast<AllocationContext*>(context)};
}

void AddBlock(SegmentInfo& segment, const BlockArena::Block& block,
              const AllocationContext* context) {
  const bool allocated = block.state == BlockArena::State::kAllocated;
  BlockInfo info;
  info.size = block.size;
  info.requested_size = block.requested;
  info.allocated = allocated;
  info.active = allocated;
  info.context_when_allocated = Shared(context);
  segment.total_size += info.size;
  segment.requested_size += info.requested_size;
  segment.allocated_size += allocated ? info.size : 0;
  segment.active_size = segment.allocated_size;
  segment.blocks.push_back(std::move(info));
}

void AddSegments(std::vector<SegmentInfo>& segments, const BlockArena& arena, bool isLarge,
                 const AllocationHistory* history) {
  bool inside = false;
  for (const auto& [address, block] : arena.blocks()) {
    const bool committed = block.state != BlockArena::State::kReleased;
    if (committed && !inside) {
      SegmentInfo segment;
      segment.address = address;
      segment.is_large = isLarge;
      segment.is_expandable = true;
      segments.push_back(std::move(segment));
    }
    if (committed) {
      AddBlock(segments.back(), block, history == nullptr ? nullptr : history->ContextOf(address));
    }
    inside = committed;
  }
}

}  // namespace

std::vector<SegmentInfo> CachingCpuAllocator::Segments() const {
  std::vector<SegmentInfo> segments;
  AddSegments(segments, small_.arena, false, history_.get());
  AddSegments(segments, large_.arena, true, history_.get());
  return segments;
}

std::vector<SegmentInfo> CachingCpuAllocator::Snapshot() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return Segments();
}

void CachingCpuAllocator::RecordHistory(size_t most_events) {
  std::unique_ptr<AllocationHistory> history;
  if (most_events > 0) history = std::make_unique<AllocationHistory>(most_events);
  const std::lock_guard<std::mutex> lock(mutex_);
  for (Pool* pool : {&small_, &large_}) pool->arena.KeepChanges(history != nullptr);
  history_.swap(history);  // The former one goes when the lock is free again.
}

MemorySnapshot CachingCpuAllocator::History() const {
  MemorySnapshot snapshot;
  snapshot.settings.expandable_segments = true;
  snapshot.traces.resize(1);
  const std::lock_guard<std::mutex> lock(mutex_);
  snapshot.segments = Segments();
  if (!history_) return snapshot;
  snapshot.traces[0].assign(history_->events().begin(), history_->events().end());
  snapshot.is_complete = history_->is_complete();
  return snapshot;
}

// ---- Installing ----

CachingCpuAllocator* InstallCachingCpuAllocator() {
  static CachingCpuAllocator* const allocator = [] {
    auto* made = new CachingCpuAllocator();  // leaked on purpose, see the header
    installed.store(made, std::memory_order_release);
    c10::SetCPUAllocator(made, /*priority=*/UINT8_MAX);
    return made;
  }();
  return allocator;
}

}  // namespace localformer
