// How much is taken at a time of work that could be done at once, so that its memory stays small.
#pragma once

#include <c10/core/Device.h>

#include <cstdint>
#include <optional>

namespace localformer {

// Bytes that the largest tensor of a chunk may take on this device. Each chunk costs a card as many
// launches as the whole would; none on the CPU, where a call costs next to nothing and a chunk is
// best when it stays in the caches.
std::optional<int64_t> ChunkBudgetBytes(c10::Device device);

}  // namespace localformer
