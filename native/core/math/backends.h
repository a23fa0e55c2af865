// The ways in which LibTorch can compute the products of linear layers. All give the same shapes,
// types and strides as LibTorch's default, and values that differ by rounding.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "fields.h"

namespace localformer {

enum class Backend {
  kMkl,           // LibTorch's default: MKL in float32, in bfloat16 whatever it takes.
  kOneDnn,        // oneDNN's product, operands transposed as views.
  kOneDnnCopied,  // The same with the weight transposed in memory.
  kConvolution,   // The weight's gradient of a 1 x 1 convolution, by oneDNN.
  kWidened,       // bfloat16 in float32, some rows at a time, the result rounded: the fastest where
                  // the processor has no instructions for bfloat16, or slow ones.
};

template <>
struct Words<Backend> {
  static constexpr Word<Backend> kTable[] = {{"mkl", Backend::kMkl},
                                             {"onednn", Backend::kOneDnn},
                                             {"onednn-copied", Backend::kOneDnnCopied},
                                             {"convolution", Backend::kConvolution},
                                             {"widened", Backend::kWidened}};
};

enum class ProductKind { kForward, kInputGradient, kWeightGradient, kAddedWeightGradient };

template <>
struct Words<ProductKind> {
  static constexpr Word<ProductKind> kTable[] = {
      {"forward", ProductKind::kForward},
      {"input", ProductKind::kInputGradient},
      {"weight", ProductKind::kWeightGradient},
      {"added-weight", ProductKind::kAddedWeightGradient}};
};

// Those that can compute such a product of tensors of `type` on this processor, the default first.
std::vector<Backend> BackendsOf(ProductKind kind, c10::ScalarType type);

// The one of oneDNN where no measuring decides; the default where oneDNN cannot.
Backend OneDnnBackendOf(ProductKind kind, c10::ScalarType type);

// The one where nothing is measured: LibTorch's default, but in bfloat16 kWidened where that would
// have to do without instructions for it.
Backend DefaultBackendOf(c10::ScalarType type);

// Are products of `type` many times as fast as those of float32 on this device? Those of bfloat16
// are on a card, and on a processor with AMX: other instructions for it do twice as much in a
// cycle, or no more.
bool HasFastProducts(c10::Device device, c10::ScalarType type);

// As their namesakes in products.h, by one of BackendsOf. No autograd.
at::Tensor LinearProductBy(Backend backend, const at::Tensor& x, const at::Tensor& weight,
                           const at::Tensor& bias);
at::Tensor InputGradientBy(Backend backend, const at::Tensor& dy, const at::Tensor& weight);
at::Tensor WeightGradientBy(Backend backend, const at::Tensor& dy, const at::Tensor& x);
void AddWeightGradientBy(Backend backend, at::Tensor& sum, const at::Tensor& dy,
                         const at::Tensor& x);

// The weight's gradient of bfloat16 operands, computed in float32 and added to a float32 `sum`
// without being rounded in between; an undefined one becomes it.
void AddWidenedWeightGradient(at::Tensor& sum, const at::Tensor& dy, const at::Tensor& x);

}  // namespace localformer
