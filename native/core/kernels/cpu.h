// How the kernels of this folder run on the CPU: which of them take a tensor, in which
// instructions, and on how many threads.
#pragma once

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cstdint>

#include "kernels/vector_kernels.h"
#include "memory/dry_run.h"

namespace localformer {

// The loops for the instructions that this processor has (LibTorch's choice, which
// ATEN_CPU_CAPABILITY changes).
const AllVectorKernels& TheVectorKernels();

// For tests: false makes every operation of this folder take its plain form on the CPU too.
void UseVectorKernels(bool use);

// Do vector kernels take products of this type here? Else an operation's plain form does.
bool HasVectorKernels(c10::Device device, c10::ScalarType type);

inline const VectorKernels<float>& KernelsFor(const float*) { return TheVectorKernels().of_float; }
inline const VectorKernels<uint16_t>& KernelsFor(const uint16_t*) {
  return TheVectorKernels().of_bfloat16;
}

// Calls `use` with a null pointer of what the kernels take for numbers of `type`.
template <typename Use>
void WithNumbers(c10::ScalarType type, const Use& use) {
  if (type == c10::ScalarType::Float) {
    use(static_cast<float*>(nullptr));
  } else {
    use(static_cast<uint16_t*>(nullptr));
  }
}

// A tensor's numbers as the kernels take them; none where it is undefined.
template <typename T>
T* NumbersOf(const at::Tensor& tensor) {
  return tensor.defined() ? static_cast<T*>(tensor.mutable_data_ptr()) : nullptr;
}

// Sums over rows are taken in so many groups, whatever the number of threads: their order, and so
// their last digits, do not depend on it.
constexpr int64_t kRowGroups = 32;

// use(begin, end) over all of [0, count), by several threads.
template <typename Use>
void OverRows(int64_t count, const Use& use) {
  constexpr int64_t kLeastRows = 64;
  if (IsDryRun()) return;
  at::parallel_for(0, count, kLeastRows, use);
}

// use(begin, end, sums): each group adds to floats of its own, which begin at 0 and are added to
// `totals` [size] afterwards, one group after the other.
template <typename Use>
void SumOverRows(int64_t count, float* totals, int64_t size, const Use& use) {
  const int64_t groups = std::min(kRowGroups, std::max<int64_t>(count / 16, 1));
  const at::Tensor sums = at::zeros({groups, size}, at::kFloat);
  if (IsDryRun()) return;
  auto* all = sums.mutable_data_ptr<float>();
  at::parallel_for(0, groups, 1, [&](int64_t first, int64_t last) {
    for (int64_t group = first; group < last; ++group) {
      use(group * count / groups, (group + 1) * count / groups, all + group * size);
    }
  });
  for (int64_t group = 0; group < groups; ++group) {
    for (int64_t i = 0; i < size; ++i) totals[i] += all[group * size + i];
  }
}

}  // namespace localformer
