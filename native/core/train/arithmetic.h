// How a device computes what its libraries leave open, which LibTorch keeps in globals of the
// process: what float32 products and convolutions are rounded to, and cuDNN's choice of algorithms.
#pragma once

#include "fields.h"

namespace localformer {

// Of float32 products and convolutions on CUDA. TF32 rounds their factors to 10 bits of mantissa;
// the CPU knows only IEEE.
enum class Precision { kIeee, kTf32 };

template <>
struct Words<Precision> {
  static constexpr Word<Precision> kTable[] = {{"ieee", Precision::kIeee},
                                               {"tf32", Precision::kTf32}};
};

// While it lives, everything computes in `precision`, and cuDNN in the same way every time. Work
// in another precision, on other threads, waits for its end; so one at a time on a thread.
class ArithmeticInUse {
 public:
  explicit ArithmeticInUse(Precision precision);
  ~ArithmeticInUse();
  ArithmeticInUse(const ArithmeticInUse&) = delete;
  ArithmeticInUse& operator=(const ArithmeticInUse&) = delete;
};

// What LibTorch's globals say now.
struct Arithmetic {
  Precision products = Precision::kIeee;
  Precision convolutions = Precision::kIeee;
  bool deterministic_cudnn = false;
  bool benchmark_cudnn = false;

  template <typename Self, typename Visit>
  static void Fields(Self& self, Visit&& visit) {
    visit("products", self.products);
    visit("convolutions", self.convolutions);
    visit("deterministicCudnn", self.deterministic_cudnn);
    visit("benchmarkCudnn", self.benchmark_cudnn);
  }
};
Arithmetic CurrentArithmetic();

}  // namespace localformer
