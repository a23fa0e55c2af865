// How many multiplications and additions products were asked for since the process began, by type:
// what a step costs to compute, whatever computes it. Counted where a product is asked for, on a
// simulated device and in a dry run too.
#pragma once

#include <c10/core/ScalarType.h>

#include <cstdint>

namespace localformer {

// Operations: a product of [m, k] and [k, n] has 2 m n k.
struct WorkCount {
  int64_t float32 = 0;  // And whatever else is not bfloat16.
  int64_t bfloat16 = 0;

  template <typename Self, typename Visit>
  static void Fields(Self& self, Visit&& visit) {
    visit("float32", self.float32);
    visit("bfloat16", self.bfloat16);
  }
};

void CountWork(c10::ScalarType type, int64_t operations);
WorkCount CountedWork();

}  // namespace localformer
