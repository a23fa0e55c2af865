// A range of reserved addresses, cut into blocks that are handed out, cached or without memory.
// In: sizes. Out: addresses, with as little new memory as the free space allows.
// Best fit with splitting and coalescing; holes can be given back page by page, so fragmentation
// costs addresses (plentiful) and never memory. Not thread-safe: its owner holds a lock.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

namespace localformer {

constexpr size_t kPageBytes = 4096;
constexpr size_t kHugePageBytes = size_t{2} << 20;

// Addresses taken from the system without memory behind them.
class AddressRange {
 public:
  // As much of `wantedBytes` as the system allows (`ulimit -v` may allow less); empty if it allows
  // less than `leastBytes`. Begins at a huge page.
  AddressRange(size_t wantedBytes, size_t leastBytes);
  ~AddressRange();
  AddressRange(const AddressRange&) = delete;
  AddressRange& operator=(const AddressRange&) = delete;

  uintptr_t begin() const { return begin_; }
  size_t size() const { return size_; }

 private:
  void* mapping_ = nullptr;
  size_t mappedBytes_ = 0;
  uintptr_t begin_ = 0;
  size_t size_ = 0;
};

class BlockArena {
 public:
  enum class State {
    kAllocated,  // handed out
    kCached,     // free, its memory kept
    kReleased,   // free, without memory; begins and ends at pages
  };
  struct Block {
    size_t size = 0;
    size_t requested = 0;  // what the caller asked for, if allocated
    State state = State::kReleased;
    uint64_t freedAt = 0;  // order of freeing, if cached
  };
  using Blocks = std::map<uintptr_t, Block>;  // by address; together they cover the whole range

  // Block sizes are multiples of `granularity` (a divisor of the page). New memory is taken in runs
  // of `commitUnit` bytes where there is room for it.
  BlockArena(uintptr_t begin, size_t size, size_t granularity, size_t commitUnit);

  // Where a block could go. Valid until the arena changes.
  struct Placement {
    uintptr_t address = 0;
    uintptr_t commitBegin =
        0;  // memory is needed in the released parts of [commitBegin, commitEnd)
    uintptr_t commitEnd = 0;
    size_t commitBytes = 0;  // how much that is; 0 if a cached block fits
  };
  // Best-fitting cached block; else the hole that needs least new memory; else nothing.
  std::optional<Placement> Find(size_t size) const;
  // False, with nothing changed, if the system refuses memory.
  bool Take(const Placement& placement, size_t size, size_t requested);

  // The allocated block at `address`, or null if there is none.
  const Block* FindAllocated(uintptr_t address) const;
  void Free(uintptr_t address);

  // Gives cached pages back to the system, longest unused first, until at least `bytes` are given
  // back or none is left. Returns how much that was.
  size_t Release(size_t bytes);

  size_t RoundUp(size_t bytes) const;  // to the granularity
  bool Contains(uintptr_t address) const { return address >= begin_ && address < end_; }
  const Blocks& blocks() const { return blocks_; }
  uintptr_t end() const { return end_; }

  size_t committedBytes() const { return committedBytes_; }
  size_t segments() const { return segments_; }  // runs of memory between released ones
  // Free bytes, and blocks that hold such, in pages shared with an allocated block.
  size_t stuckBytes() const { return stuckBytes_; }
  size_t stuckBlocks() const { return stuckBlocks_; }
  // Memory that was taken from the system or given back.
  struct Change {
    uintptr_t address = 0;
    size_t size = 0;
    bool is_taken = false;
  };
  // From now on changes are kept, in their order, until they are asked for; without `keep` they are
  // not.
  void KeepChanges(bool keep);
  std::vector<Change> TakeChanges() { return std::exchange(changes_, {}); }
  // Times memory was taken or given back since the last call.
  size_t TakeCommits() { return std::exchange(commits_, 0); }
  size_t TakeReleases() { return std::exchange(releases_, 0); }

 private:
  struct Hole;  // a run of free blocks

  std::optional<Placement> FindCached(size_t size) const;
  std::optional<Placement> FindHole(size_t size) const;
  Placement PlaceInHole(const Hole& hole, size_t size) const;
  size_t ReleasedBytesWithin(uintptr_t begin, uintptr_t end) const;

  bool MakeAccessible(uintptr_t end);
  void Commit(uintptr_t begin, uintptr_t end);
  size_t ReleasePages(Blocks::iterator block, size_t bytes);

  Blocks::iterator SplitAt(Blocks::iterator block, uintptr_t address);
  Blocks::iterator Coalesce(Blocks::iterator block);
  void SetState(Blocks::iterator block, State state);
  void Index(Blocks::iterator block);
  void Unindex(Blocks::iterator block);
  void CountSegments();
  void Keep(uintptr_t address, size_t size, bool is_taken) noexcept;

  const uintptr_t begin_;
  const uintptr_t end_;
  const size_t granularity_;
  const size_t commitUnit_;
  uintptr_t accessibleEnd_;  // addresses below can be written; only ever grows

  Blocks blocks_;
  std::set<std::pair<size_t, uintptr_t>> cached_;  // (size, address) of the cached blocks
  uint64_t frees_ = 0;

  size_t committedBytes_ = 0;
  size_t segments_ = 0;
  size_t stuckBytes_ = 0;
  size_t stuckBlocks_ = 0;
  size_t commits_ = 0;
  size_t releases_ = 0;
  bool keeps_changes_ = false;
  std::vector<Change> changes_;
};

}  // namespace localformer
