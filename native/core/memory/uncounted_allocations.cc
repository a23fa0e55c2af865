// See uncounted_allocations.h.
#include "uncounted_allocations.h"

#include <cstdlib>
#include <mutex>
#include <unordered_map>

namespace localformer {
namespace {

constexpr size_t kAlignment = 64;

thread_local UncountedAllocations* current = nullptr;

// Blocks that are handed out, with their sizes.
struct Blocks {
  std::mutex mutex;
  std::unordered_map<void*, size_t> sizes;
};
Blocks& TheBlocks() {
  static auto* blocks = new Blocks;  // Threads may free while the process exits.
  return *blocks;
}

}  // namespace

UncountedAllocations::UncountedAllocations() : outer_(current) { current = this; }

UncountedAllocations::~UncountedAllocations() {
  current = outer_;
  for (const auto& kept : kept_) std::free(kept.second);
}

UncountedAllocations* UncountedAllocations::Current() { return current; }

void* UncountedAllocations::Allocate(size_t bytes) {
  if (bytes > SIZE_MAX - kAlignment) return nullptr;
  const size_t size = (bytes + kAlignment - 1) / kAlignment * kAlignment;
  void* pointer = nullptr;
  const auto kept = kept_.find(size);
  if (kept != kept_.end()) {
    pointer = kept->second;
    kept_.erase(kept);
  } else {
    pointer = std::aligned_alloc(kAlignment, size);
  }
  if (pointer == nullptr) return nullptr;
  Blocks& blocks = TheBlocks();
  const std::lock_guard<std::mutex> lock(blocks.mutex);
  blocks.sizes.emplace(pointer, size);
  return pointer;
}

bool UncountedAllocations::Free(void* pointer) {
  Blocks& blocks = TheBlocks();
  size_t size = 0;
  {
    const std::lock_guard<std::mutex> lock(blocks.mutex);
    const auto found = blocks.sizes.find(pointer);
    if (found == blocks.sizes.end()) return false;
    size = found->second;
    blocks.sizes.erase(found);
  }
  if (current != nullptr) {
    current->kept_.emplace(size, pointer);
  } else {
    std::free(pointer);
  }
  return true;
}

}  // namespace localformer
