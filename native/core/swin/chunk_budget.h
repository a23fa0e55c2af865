// How much is taken at a time of work that could be done at once, so that its memory stays small:
// of the branches of blocks, and of auxiliary losses. A property of the device, and here alone:
// each chunk costs a card as many launches as the whole would, while a call costs the CPU next to
// nothing and a chunk is best when it stays in the caches. Sizes are ours, measured.
#pragma once

#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>

#include <cstdint>
#include <optional>

#include "swin/kept_bytes.h"

namespace localformer {

// ---- Branches ----

// What is taken at a time of the `rows` of products of `type` in a backward pass: a share of them,
// and on a card a larger one or as many as fit into `room` bytes, of which one takes `row_bytes`.
int64_t ChunkRows(c10::Device device, c10::ScalarType type, int64_t rows, int64_t row_bytes,
                  int64_t room);
// The same where all that is needed was kept: on a card, where each of it makes room for what comes
// next, all rows.
int64_t KeptChunkRows(c10::Device device, c10::ScalarType type, int64_t rows);
// The same forward, where nothing but the result is kept of what a chunk computes.
int64_t ForwardChunkRows(c10::Device device, c10::ScalarType type, int64_t rows,
                         const KeptBytes* kept);

// ---- Auxiliary losses ----

// Bytes that the largest tensor of a chunk may take on this device; none on the CPU.
std::optional<int64_t> ChunkBudgetBytes(c10::Device device);

// On a card they take so many chunks at least: together with their gradient these then hold no more
// than the segment's backward pass, which in bfloat16 holds half.
int64_t FewestChunks(c10::ScalarType compute_type);

// Parts of the batch in which an auxiliary loss with gradients of its own is taken on a card. What
// such a part works in, together with the gradient, is then no more than the segment's passes take.
int64_t AuxiliaryParts(c10::ScalarType compute_type);

}  // namespace localformer
