// What the stress test's files share: a condition that is counted where it does not hold.
#pragma once

#include <atomic>
#include <cstdio>
#include <cstdlib>

namespace localformer {

inline std::atomic<int> failures{0};

}  // namespace localformer

#define EXPECT(condition)                                                \
  do {                                                                   \
    if (!(condition)) {                                                  \
      std::printf("FAILED %s:%d: %s\n", __FILE__, __LINE__, #condition); \
      if (++localformer::failures > 20) std::exit(1);                    \
    }                                                                    \
  } while (false)
