// What the branches of one pass through a segment keep for its backward pass. When a branch's turn
// comes there, what those behind it kept is free again: of that its chunks may take a share (Room
// in swin/branch.h) without raising the peak that the forward pass has had. Told from shapes alone,
// so that chunks, and with them the order of sums, are the same in every process.
#pragma once

#include <cstdint>
#include <memory>

namespace localformer {

class KeptBytes {
 public:
  // Of a chunk that is small enough to be taken as a whole.
  static std::shared_ptr<KeptBytes> OfChunk() {
    auto kept = std::make_shared<KeptBytes>();
    kept->is_chunk_ = true;
    return kept;
  }

  // The next branch keeps so many bytes, and its weights' gradients will take others. Returns the
  // sum up to it.
  int64_t Add(int64_t kept, int64_t gradients) { return total_ += kept - gradients; }
  int64_t total() const { return total_; }
  bool is_chunk() const { return is_chunk_; }

 private:
  int64_t total_ = 0;
  bool is_chunk_ = false;
};

}  // namespace localformer
