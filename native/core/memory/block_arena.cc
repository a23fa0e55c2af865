#include "block_arena.h"

#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <vector>

namespace localformer {
namespace {

uintptr_t RoundDownTo(uintptr_t value, size_t unit) { return value / unit * unit; }
uintptr_t RoundUpTo(uintptr_t value, size_t unit) { return RoundDownTo(value + unit - 1, unit); }

// Under `ulimit -v` three quarters of the addresses left, and not the last ones: whoever else in
// the process asks for stacks, libraries or JavaScript's heap ends it where there are none.
size_t AllowedAddressBytes() {
  rlimit limit{};
  if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return SIZE_MAX;
  size_t usedPages = 0;
  std::ifstream("/proc/self/statm") >> usedPages;
  const size_t used = usedPages * static_cast<size_t>(sysconf(_SC_PAGESIZE));
  constexpr size_t kLeastForOthers = size_t{256} << 20;
  if (limit.rlim_cur < used + kLeastForOthers) return 0;
  const size_t left = limit.rlim_cur - used;
  return left - std::max(left / 4, kLeastForOthers);
}

}  // namespace

AddressRange::AddressRange(size_t wantedBytes, size_t leastBytes) {
  size_t bytes = std::min(wantedBytes, AllowedAddressBytes());
  for (; bytes >= leastBytes; bytes /= 2) {
    // Inaccessible memory counts towards no overcommit limit; BlockArena makes it accessible as it
    // grows.
    void* mapping =
        mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapping == MAP_FAILED) continue;
    mapping_ = mapping;
    mappedBytes_ = bytes;
    begin_ = RoundUpTo(reinterpret_cast<uintptr_t>(mapping), kHugePageBytes);
    size_ = RoundDownTo(reinterpret_cast<uintptr_t>(mapping) + bytes - begin_, kHugePageBytes);
    // Page faults dominate a step on fresh memory; huge pages make 512 times fewer of them.
    // Where they are switched off this fails, and nothing but speed is lost.
    madvise(reinterpret_cast<void*>(begin_), size_, MADV_HUGEPAGE);
    return;
  }
}

AddressRange::~AddressRange() {
  if (mapping_ != nullptr) munmap(mapping_, mappedBytes_);
}

// A run of free blocks, cached and released ones in turn.
struct BlockArena::Hole {
  uintptr_t begin = 0;
  uintptr_t end = 0;
};

BlockArena::BlockArena(uintptr_t begin, size_t size, size_t granularity, size_t commitUnit)
    : begin_(begin),
      end_(begin + size),
      granularity_(granularity),
      commitUnit_(commitUnit),
      accessibleEnd_(begin) {
  if (size > 0) blocks_.emplace(begin, Block{size});
}

size_t BlockArena::RoundUp(size_t bytes) const { return RoundUpTo(bytes, granularity_); }

// ---- Where a block goes ----

std::optional<BlockArena::Placement> BlockArena::Find(size_t size) const {
  if (auto placement = FindCached(size)) return placement;
  return FindHole(size);
}

std::optional<BlockArena::Placement> BlockArena::FindCached(size_t size) const {
  const auto fit = cached_.lower_bound({size, 0});
  if (fit == cached_.end()) return std::nullopt;
  return Placement{fit->second, 0, 0, 0};
}

// Looks at every block: a few microseconds, next to the page faults of the memory it will take.
std::optional<BlockArena::Placement> BlockArena::FindHole(size_t size) const {
  std::optional<Placement> best;
  const auto consider = [&](const Hole& hole) {
    if (hole.end - hole.begin < size) return;
    const Placement placement = PlaceInHole(hole, size);
    if (!best || placement.commitBytes < best->commitBytes) best = placement;
  };
  Hole hole;
  for (const auto& [address, block] : blocks_) {
    if (block.state != State::kAllocated) {
      if (hole.end != address) hole.begin = address;
      hole.end = address + block.size;
    } else if (hole.end == address) {
      consider(hole);
    }
  }
  if (hole.end == end_) consider(hole);
  return best;
}

// At that end of the hole that holds more cached memory, so that no hole is cut in three.
BlockArena::Placement BlockArena::PlaceInHole(const Hole& hole, size_t size) const {
  const size_t run = std::min(std::max(size, commitUnit_), hole.end - hole.begin);
  const uintptr_t lowEnd = std::min(RoundUpTo(hole.begin + run, kPageBytes), hole.end);
  const uintptr_t highBegin = std::max(RoundDownTo(hole.end - run, kPageBytes), hole.begin);
  const size_t lowBytes = ReleasedBytesWithin(hole.begin, lowEnd);
  const size_t highBytes = ReleasedBytesWithin(highBegin, hole.end);
  if (lowBytes <= highBytes) return {hole.begin, hole.begin, lowEnd, lowBytes};
  return {hole.end - size, highBegin, hole.end, highBytes};
}

size_t BlockArena::ReleasedBytesWithin(uintptr_t begin, uintptr_t end) const {
  size_t bytes = 0;
  for (auto block = std::prev(blocks_.upper_bound(begin));
       block != blocks_.end() && block->first < end; ++block) {
    if (block->second.state != State::kReleased) continue;
    bytes += std::min(end, block->first + block->second.size) - std::max(begin, block->first);
  }
  return bytes;
}

// ---- Handing out and taking back ----

bool BlockArena::Take(const Placement& placement, size_t size, size_t requested) {
  if (placement.commitBytes > 0) {
    if (!MakeAccessible(placement.commitEnd)) return false;
    Commit(placement.commitBegin, placement.commitEnd);
  }
  auto block = std::prev(blocks_.upper_bound(placement.address));
  Unindex(block);
  if (block->first < placement.address) {
    auto taken = SplitAt(block, placement.address);
    Index(block);
    block = taken;
  }
  if (block->second.size > size) Index(SplitAt(block, placement.address + size));
  block->second.state = State::kAllocated;
  block->second.requested = requested;
  return true;
}

const BlockArena::Block* BlockArena::FindAllocated(uintptr_t address) const {
  const auto block = blocks_.find(address);
  if (block == blocks_.end() || block->second.state != State::kAllocated) return nullptr;
  return &block->second;
}

void BlockArena::Free(uintptr_t address) {
  const auto block = blocks_.find(address);
  block->second.requested = 0;
  block->second.freedAt = ++frees_;
  SetState(block, State::kCached);
}

// ---- Taking memory from the system and giving it back ----

bool BlockArena::MakeAccessible(uintptr_t end) {
  if (end <= accessibleEnd_) return true;
  const uintptr_t newEnd = std::min(RoundUpTo(end, kHugePageBytes), end_);
  void* begin = reinterpret_cast<void*>(accessibleEnd_);
  if (mprotect(begin, newEnd - accessibleEnd_, PROT_READ | PROT_WRITE) != 0) return false;
  accessibleEnd_ = newEnd;
  return true;
}

// The kernel provides a page when it is first touched; from here on it counts as taken.
void BlockArena::Commit(uintptr_t begin, uintptr_t end) {
  auto block = std::prev(blocks_.upper_bound(begin));
  while (block != blocks_.end() && block->first < end) {
    if (block->second.state == State::kReleased) {
      if (block->first < begin) block = SplitAt(block, begin);
      if (block->first + block->second.size > end) SplitAt(block, end);
      committedBytes_ += block->second.size;
      Keep(block->first, block->second.size, true);
      block->second.freedAt = ++frees_;
      SetState(block, State::kCached);
      block = std::prev(blocks_.upper_bound(begin));  // it may have been merged
    }
    ++block;
  }
  ++commits_;
  CountSegments();
}

size_t BlockArena::Release(size_t bytes) {
  std::vector<std::pair<uint64_t, uintptr_t>> byAge;
  for (const auto& [size, address] : cached_)
    byAge.push_back({blocks_.at(address).freedAt, address});
  std::sort(byAge.begin(), byAge.end());
  size_t released = 0;
  for (const auto& [age, address] : byAge) {
    if (released >= bytes) break;
    released += ReleasePages(blocks_.find(address), bytes - released);
  }
  if (released > 0) CountSegments();
  return released;
}

// Gives back the whole pages at the upper end of a cached block, about `bytes` of them: in huge
// pages, if it has more than that. Its other parts stay cached.
size_t BlockArena::ReleasePages(Blocks::iterator block, size_t bytes) {
  uintptr_t begin = RoundUpTo(block->first, kPageBytes);
  const uintptr_t end = RoundDownTo(block->first + block->second.size, kPageBytes);
  if (end <= begin) return 0;
  if (end - begin > bytes) begin = std::max(begin, RoundDownTo(end - bytes, kHugePageBytes));
  // Refused for locked memory (mlockall): then the pages stay, and stay counted.
  if (madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED) != 0) return 0;
  Unindex(block);
  if (block->first + block->second.size > end) Index(SplitAt(block, end));
  if (block->first < begin) {
    auto upper = SplitAt(block, begin);
    Index(block);
    block = upper;
  }
  block->second.state = State::kReleased;
  Coalesce(block);
  committedBytes_ -= end - begin;
  Keep(begin, end - begin, false);
  ++releases_;
  return end - begin;
}

void BlockArena::KeepChanges(bool keep) {
  keeps_changes_ = keep;
  changes_.clear();
}

// In the midst of a change nothing may be thrown: what cannot be kept is left out.
void BlockArena::Keep(uintptr_t address, size_t size, bool is_taken) noexcept {
  if (!keeps_changes_) return;
  try {
    changes_.push_back({address, size, is_taken});
  } catch (...) {
  }
}

// ---- Blocks and their index ----

// Cuts a block that is not indexed; both parts have its state. Returns the upper one.
BlockArena::Blocks::iterator BlockArena::SplitAt(Blocks::iterator block, uintptr_t address) {
  Block upper = block->second;
  upper.size = block->first + block->second.size - address;
  block->second.size = address - block->first;
  return blocks_.emplace_hint(std::next(block), address, upper);
}

// A block that is not indexed becomes free in the given state.
void BlockArena::SetState(Blocks::iterator block, State state) {
  block->second.state = state;
  Index(Coalesce(block));
}

// Merges a block that is not indexed with its neighbours of the same state. Returns the whole.
BlockArena::Blocks::iterator BlockArena::Coalesce(Blocks::iterator block) {
  const auto next = std::next(block);
  if (next != blocks_.end() && next->second.state == block->second.state) {
    Unindex(next);
    block->second.size += next->second.size;
    blocks_.erase(next);
  }
  if (block == blocks_.begin()) return block;
  const auto previous = std::prev(block);
  if (previous->second.state != block->second.state) return block;
  Unindex(previous);
  previous->second.size += block->second.size;
  previous->second.freedAt = block->second.freedAt;
  blocks_.erase(block);
  return previous;
}

namespace {

// Bytes of a free block outside the whole pages within it.
size_t StuckBytes(uintptr_t address, size_t size) {
  const uintptr_t begin = RoundUpTo(address, kPageBytes);
  const uintptr_t end = RoundDownTo(address + size, kPageBytes);
  return end > begin ? size - (end - begin) : size;
}

}  // namespace

// Only cached blocks are indexed; for others these do nothing.
void BlockArena::Index(Blocks::iterator block) {
  if (block->second.state != State::kCached) return;
  cached_.insert({block->second.size, block->first});
  const size_t stuck = StuckBytes(block->first, block->second.size);
  stuckBytes_ += stuck;
  stuckBlocks_ += stuck > 0;
}

void BlockArena::Unindex(Blocks::iterator block) {
  if (block->second.state != State::kCached) return;
  cached_.erase({block->second.size, block->first});
  const size_t stuck = StuckBytes(block->first, block->second.size);
  stuckBytes_ -= stuck;
  stuckBlocks_ -= stuck > 0;
}

void BlockArena::CountSegments() {
  segments_ = 0;
  bool inside = false;
  for (const auto& [address, block] : blocks_) {
    const bool committed = block.state != State::kReleased;
    segments_ += committed && !inside;
    inside = committed;
  }
}

}  // namespace localformer
