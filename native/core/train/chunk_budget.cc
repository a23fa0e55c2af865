// See chunk_budget.h.
#include "train/chunk_budget.h"

namespace localformer {

std::optional<int64_t> ChunkBudgetBytes(c10::Device device) {
  if (device.is_cpu()) return std::nullopt;
  return int64_t{64} << 20;
}

int64_t AuxiliaryParts(c10::ScalarType compute_type) {
  return compute_type == c10::ScalarType::Float ? 4 : 8;
}

}  // namespace localformer
