// Stands in for LibTorch's backward pass of a convolution, which of linear layers is one way to a
// weight's gradient: it fails as oneDNN does where it finds no memory, in words that say nothing of
// it. Preloaded before LibTorch, whose symbol it takes. Larger kernels, those of images, go on to
// it, and so do calls before the one whose number FAILS_FROM has (from 1).
#include <ATen/ATen.h>
#include <dlfcn.h>

#include <array>
#include <cstdlib>
#include <stdexcept>
#include <tuple>

// Within LibTorch's operators `std` is another namespace.
using Gradients = std::tuple<at::Tensor, at::Tensor, at::Tensor>;
using Mask = std::array<bool, 3>;

namespace {

constexpr char kSymbol[] =
    "_ZN2at4_ops20convolution_backward4callERKNS_6TensorES4_S4_N3c1016OptionalArrayRefINS5_"
    "6SymIntEEENS5_8ArrayRefIS7_EESA_SA_bSA_S7_St5arrayIbLm3EE";

void CountAndFail() {
  static const char* from = std::getenv("FAILS_FROM");
  static int calls = 0;
  if (++calls < (from == nullptr ? 1 : std::atoi(from))) return;
  throw std::runtime_error("could not create a primitive");
}

}  // namespace

Gradients at::_ops::convolution_backward::call(
    const at::Tensor& dy, const at::Tensor& x, const at::Tensor& weight,
    at::OptionalSymIntArrayRef bias_sizes, c10::SymIntArrayRef stride, c10::SymIntArrayRef padding,
    c10::SymIntArrayRef dilation, bool transposed, c10::SymIntArrayRef output_padding,
    c10::SymInt groups, Mask output_mask) {
  if (weight.size(2) == 1) CountAndFail();
  static const auto original = reinterpret_cast<decltype(&call)>(dlsym(RTLD_NEXT, kSymbol));
  return original(dy, x, weight, bias_sizes, stride, padding, dilation, transposed, output_padding,
                  groups, output_mask);
}
