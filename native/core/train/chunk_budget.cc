// See chunk_budget.h.
#include "train/chunk_budget.h"

namespace localformer {

std::optional<int64_t> ChunkBudgetBytes(c10::Device device) {
  if (device.is_cpu()) return std::nullopt;
  return int64_t{64} << 20;
}

}  // namespace localformer
