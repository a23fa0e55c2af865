// See cpu.h.
#include "kernels/cpu.h"

#include <ATen/Version.h>

#include <atomic>
#include <string>

namespace localformer {
namespace {

std::atomic<bool> are_used{true};

const AllVectorKernels& Choose() {
#if defined(__x86_64__)
  const std::string capability = at::get_cpu_capability();
#if defined(LOCALFORMER_AVX512_BF16)
  if (capability == "AVX512" && __builtin_cpu_supports("avx512bf16")) {
    return vector_avx512_bf16::kKernels;
  }
#endif
  if (capability == "AVX512") return vector_avx512::kKernels;
  if (capability == "AVX2") return vector_avx2::kKernels;
#endif
  return vector_plain::kKernels;
}

}  // namespace

const AllVectorKernels& TheVectorKernels() {
  static const AllVectorKernels& kernels = Choose();
  return kernels;
}

void UseVectorKernels(bool use) { are_used = use; }

bool HasVectorKernels(c10::Device device, c10::ScalarType type) {
  return device.is_cpu() && are_used.load(std::memory_order_relaxed) &&
         (type == c10::ScalarType::Float || type == c10::ScalarType::BFloat16);
}

}  // namespace localformer
