// See chunk_budget.h.
#include "swin/chunk_budget.h"

#include <algorithm>

namespace localformer {
namespace {

// On a card a quarter raises no module's peak, which is where its losses are.
int64_t Share(c10::Device device, c10::ScalarType type, int64_t rows) {
  // Fewer are not worth a product's call; of products of bfloat16, up to ten times as fast, more.
  const int64_t least = device.is_cpu() && type == c10::ScalarType::BFloat16 ? 8192 : 2048;
  const int64_t chunks = device.is_cpu() ? 16 : 4;
  return std::max((rows + chunks - 1) / chunks, least);
}

}  // namespace

int64_t ChunkRows(c10::Device device, c10::ScalarType type, int64_t rows, int64_t row_bytes,
                  int64_t room) {
  const int64_t share = Share(device, type, rows);
  return device.is_cpu() ? share : std::max(share, room / row_bytes);
}

int64_t KeptChunkRows(c10::Device device, c10::ScalarType type, int64_t rows) {
  return device.is_cpu() ? Share(device, type, rows) : rows;
}

int64_t ForwardChunkRows(c10::Device device, c10::ScalarType type, int64_t rows,
                         const KeptBytes* kept) {
  if (device.is_cpu()) return Share(device, type, rows);
  return kept != nullptr && kept->is_chunk() ? rows : (rows + 1) / 2;
}

std::optional<int64_t> ChunkBudgetBytes(c10::Device device) {
  if (device.is_cpu()) return std::nullopt;
  return int64_t{64} << 20;
}

int64_t FewestChunks(c10::ScalarType compute_type) {
  return compute_type == c10::ScalarType::Float ? 6 : 12;
}

int64_t AuxiliaryParts(c10::ScalarType compute_type) {
  return compute_type == c10::ScalarType::Float ? 4 : 8;
}

}  // namespace localformer
