// See gradient_check.h.
#include "train/gradient_check.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

namespace localformer {
namespace {

constexpr int64_t kGrain = int64_t{1} << 16;

// Float32's exponent is all ones in NaN and infinity alone. One pass over memory, with nothing in
// it that could end it early, so that compilers make it wide.
bool HasNonFinite(const float* values, int64_t count) {
  constexpr uint32_t kExponent = 0x7f800000U;
  uint32_t found = 0;
  for (int64_t i = 0; i < count; ++i) {
    uint32_t bits;
    std::memcpy(&bits, values + i, sizeof bits);
    found |= (bits & kExponent) == kExponent ? 1U : 0U;
  }
  return found != 0;
}

bool IsFiniteOnHost(const at::Tensor& gradient) {
  const float* values = gradient.const_data_ptr<float>();
  std::atomic<bool> is_finite{true};
  at::parallel_for(0, gradient.numel(), kGrain, [&](int64_t begin, int64_t end) {
    if (HasNonFinite(values + begin, end - begin)) is_finite.store(false);
  });
  return is_finite.load();
}

}  // namespace

std::string FindNonFiniteGradient(const ParameterList& parameters) {
  const auto found =
      std::find_if(parameters.begin(), parameters.end(), [](const NamedTensor& parameter) {
        const at::Tensor& gradient = parameter.second.grad();
        return gradient.defined() && !IsFiniteOnHost(gradient.contiguous());
      });
  return found == parameters.end() ? "" : found->first;
}

LargestGradients FindLargestGradients(const ParameterList& parameters) {
  c10::NoGradGuard no_grad;
  LargestGradients largest;
  std::vector<at::Tensor> gradients;
  for (const auto& [name, parameter] : parameters) {
    if (!parameter.grad().defined()) continue;
    largest.names.push_back(name);
    gradients.push_back(parameter.grad());
  }
  if (gradients.empty()) return largest;
  largest.magnitudes = at::_foreach_norm(gradients, std::numeric_limits<double>::infinity());
  return largest;
}

}  // namespace localformer
