// See work_count.h.
#include "math/work_count.h"

#include <atomic>

namespace localformer {
namespace {

// Products of a card's backward pass are asked for by autograd's own threads.
std::atomic<int64_t> float32{0}, bfloat16{0};

}  // namespace

void CountWork(c10::ScalarType type, int64_t operations) {
  auto& count = type == c10::ScalarType::BFloat16 ? bfloat16 : float32;
  count.fetch_add(operations, std::memory_order_relaxed);
}

WorkCount CountedWork() { return {float32.load(), bfloat16.load()}; }

}  // namespace localformer
