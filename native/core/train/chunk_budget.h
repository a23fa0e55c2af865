// How much is taken at a time of work that could be done at once, so that its memory stays small.
#pragma once

#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>

#include <cstdint>
#include <optional>

namespace localformer {

// Bytes that the largest tensor of a chunk may take on this device. Each chunk costs a card as many
// launches as the whole would; none on the CPU, where a call costs next to nothing and a chunk is
// best when it stays in the caches.
std::optional<int64_t> ChunkBudgetBytes(c10::Device device);

// Parts of the batch in which an auxiliary loss with gradients of its own is taken on a card. What
// such a part works in, together with the gradient, is then no more than the segment's passes take,
// which in bfloat16 take half.
int64_t AuxiliaryParts(c10::ScalarType compute_type);

}  // namespace localformer
