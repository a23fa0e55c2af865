// See backends.h.
#include "math/backends.h"

#include <ATen/ATen.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/cpu/Utils.h>

#include <algorithm>
#include <array>
#include <exception>
#include <optional>
#include <string_view>

#include "memory/dry_run.h"
#include "memory/uncounted_allocations.h"

namespace localformer {
namespace {

using Linear = at::Tensor(const at::Tensor&, const at::Tensor&, const std::optional<at::Tensor>&,
                          std::string_view, c10::List<std::optional<at::Scalar>>,
                          std::optional<std::string_view>);

// x weight^T + bias by oneDNN: an operation that LibTorch has for its compiler, by name alone.
at::Tensor OneDnnLinear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  static const auto linear = c10::Dispatcher::singleton()
                                 .findSchemaOrThrow("mkldnn::_linear_pointwise", "")
                                 .typed<Linear>();
  const at::AutoDispatchBelowADInplaceOrView no_autograd;
  return linear.call(x, weight, bias.defined() ? std::make_optional(bias) : std::nullopt, "none",
                     c10::List<std::optional<at::Scalar>>(), "");
}

// [rows, channels] as an image [1, channels, 1, rows], its channels last in memory.
at::Tensor AsImage(const at::Tensor& t) {
  const at::Tensor rows = t.contiguous();
  return rows.view({1, 1, rows.size(0), rows.size(1)}).permute({0, 3, 1, 2});
}

at::Tensor ByConvolution(const at::Tensor& dy, const at::Tensor& x, at::Tensor placeholder) {
  const int64_t out = dy.size(1), in = x.size(1);
  // The weight gives its shape alone: any memory of that size does.
  if (!placeholder.defined() && x.is_contiguous() && x.size(0) >= out) placeholder = x;
  if (!placeholder.defined() && dy.is_contiguous() && dy.size(0) >= in) placeholder = dy;
  const at::Tensor weight = placeholder.defined()
                                ? placeholder.as_strided({out, in, 1, 1}, {in, 1, 1, 1})
                                : at::empty({out, in, 1, 1}, x.options());
  const auto gradients =
      at::convolution_backward(AsImage(dy), AsImage(x), weight, c10::nullopt, {1, 1}, {0, 0},
                               {1, 1}, /*transposed=*/false, {0, 0}, 1, {false, true, false});
  return std::get<1>(gradients).reshape({out, in}).contiguous();
}

// Does oneDNN's product know the type here? In bfloat16 that takes a processor with AVX-512.
bool HasOneDnn(c10::ScalarType type) {
  const auto works = [](c10::ScalarType of) {
    const UncountedAllocations uncounted;
    try {
      const at::Tensor ones = at::ones({16, 16}, of);
      return OneDnnLinear(ones, ones.t(), ones[0]).equal(at::full({16, 16}, 17, of));
    } catch (const std::exception&) {
      return false;
    }
  };
  static const bool floats = works(at::kFloat), bfloats = works(at::kBFloat16);
  return type == at::kFloat ? floats : type == at::kBFloat16 && bfloats;
}

std::vector<Backend> LibraryBackendsOf(ProductKind kind) {
  switch (kind) {
    case ProductKind::kForward:
      return {Backend::kMkl, Backend::kOneDnn};
    case ProductKind::kInputGradient:
      return {Backend::kMkl, Backend::kOneDnn, Backend::kOneDnnCopied};
    case ProductKind::kWeightGradient:
    case ProductKind::kAddedWeightGradient:
      return {Backend::kMkl, Backend::kOneDnn, Backend::kConvolution};
  }
  return {Backend::kMkl};
}

// --- bfloat16 in float32: half of a float's bits, so that widening rounds nothing ---

at::Tensor Widened(const at::Tensor& t) {
  if (!t.defined()) return t;
  return IsDryRunOn(t.device()) ? at::empty(t.sizes(), t.options().dtype(at::kFloat))
                                : t.to(at::kFloat);
}

// use(begin, end) over all rows, of which `values` numbers each are wide at a time: so many rows
// that these stay in the processor's caches, and that a product is worth its call.
template <typename Use>
void OverWideRows(int64_t rows, int64_t values, const Use& use) {
  constexpr int64_t kWideBytes = int64_t{8} << 20, kLeastRows = 256;
  const int64_t size = std::max(kWideBytes / (values * 4), kLeastRows);
  for (int64_t begin = 0; begin < rows; begin += size) use(begin, std::min(begin + size, rows));
}

// Rows [begin, end) of what is rounded to `to`.
void Narrow(const at::Tensor& wide, const at::Tensor& to, int64_t begin, int64_t end) {
  if (!IsDryRunOn(to.device())) to.slice(0, begin, end).copy_(wide);
}

// Of oneDNN and MKL the one that is seldom the slower in float32.
Backend WideBackend() { return HasOneDnn(at::kFloat) ? Backend::kOneDnn : Backend::kMkl; }

at::Tensor WidenedLinearProduct(const at::Tensor& x, const at::Tensor& weight,
                                const at::Tensor& bias) {
  std::vector<int64_t> sizes = x.sizes().vec();
  sizes.back() = weight.size(0);
  at::Tensor out = at::empty(sizes, x.options());
  const at::Tensor rows = x.reshape({-1, x.size(-1)}), to = out.view({-1, out.size(-1)});
  const at::Tensor wide = Widened(weight), wide_bias = Widened(bias);
  OverWideRows(rows.size(0), weight.size(0) + weight.size(1), [&](int64_t begin, int64_t end) {
    const at::Tensor part = Widened(rows.slice(0, begin, end));
    Narrow(LinearProductBy(WideBackend(), part, wide, wide_bias), to, begin, end);
  });
  return out;
}

at::Tensor WidenedInputGradient(const at::Tensor& dy, const at::Tensor& weight) {
  at::Tensor dx = at::empty({dy.size(0), weight.size(1)}, dy.options());
  const at::Tensor wide = Widened(weight);
  OverWideRows(dy.size(0), weight.size(0) + weight.size(1), [&](int64_t begin, int64_t end) {
    const at::Tensor part = Widened(dy.slice(0, begin, end));
    Narrow(InputGradientBy(WideBackend(), part, wide), dx, begin, end);
  });
  return dx;
}

}  // namespace

std::vector<Backend> BackendsOf(ProductKind kind, c10::ScalarType type) {
  // Of bfloat16 without instructions for it LibTorch's own loops take up to a hundred times as
  // long: not even a trial is worth it.
  if (!HasOneDnn(type)) return {DefaultBackendOf(type)};
  std::vector<Backend> all = LibraryBackendsOf(kind);
  if (type == at::kBFloat16) all.push_back(Backend::kWidened);
  return all;
}

Backend OneDnnBackendOf(ProductKind kind, c10::ScalarType type) {
  if (!HasOneDnn(type)) return DefaultBackendOf(type);
  const bool is_weight =
      kind == ProductKind::kWeightGradient || kind == ProductKind::kAddedWeightGradient;
  return is_weight ? Backend::kConvolution : Backend::kOneDnn;
}

Backend DefaultBackendOf(c10::ScalarType type) {
  return type == at::kBFloat16 && !HasOneDnn(type) ? Backend::kWidened : Backend::kMkl;
}

bool HasFastProducts(c10::Device device, c10::ScalarType type) {
  if (type != at::kBFloat16) return false;
  static const bool has_amx = [] {
    const auto capabilities = at::cpu::get_cpu_capabilities();
    const auto found = capabilities.find("amx_bf16");
    return found != capabilities.end() && found->second.toBool();
  }();
  return !device.is_cpu() || has_amx;
}

at::Tensor LinearProductBy(Backend backend, const at::Tensor& x, const at::Tensor& weight,
                           const at::Tensor& bias) {
  if (backend == Backend::kWidened) return WidenedLinearProduct(x, weight, bias);
  if (IsDryRunOn(x.device())) {
    std::vector<int64_t> sizes = x.contiguous().sizes().vec();
    sizes.back() = weight.size(0);
    return at::empty(sizes, x.options());
  }
  if (backend == Backend::kMkl) return at::linear(x, weight, bias);
  return OneDnnLinear(x, weight, bias);
}

at::Tensor InputGradientBy(Backend backend, const at::Tensor& dy, const at::Tensor& weight) {
  if (backend == Backend::kWidened) return WidenedInputGradient(dy, weight);
  if (IsDryRunOn(dy.device())) {
    at::Tensor turned;
    if (backend == Backend::kOneDnnCopied) turned = at::empty_like(weight);
    return at::empty({dy.size(0), weight.size(1)}, dy.options());
  }
  if (backend == Backend::kMkl) return at::mm(dy, weight);
  const at::Tensor turned = weight.t();
  return OneDnnLinear(dy, backend == Backend::kOneDnnCopied ? turned.contiguous() : turned, {});
}

at::Tensor WeightGradientBy(Backend backend, const at::Tensor& dy, const at::Tensor& x) {
  if (backend == Backend::kWidened) {
    at::Tensor sum;
    AddWidenedWeightGradient(sum, dy, x);
    at::Tensor product = at::empty(sum.sizes(), x.options());
    Narrow(sum, product, 0, sum.size(0));
    return product;
  }
  if (IsDryRunOn(x.device())) return at::empty({dy.size(1), x.size(1)}, x.options());
  if (backend == Backend::kMkl) return at::mm(dy.t(), x);
  if (backend == Backend::kConvolution) return ByConvolution(dy, x, {});
  return OneDnnLinear(dy.t(), x.t(), {});
}

void AddWeightGradientBy(Backend backend, at::Tensor& sum, const at::Tensor& dy,
                         const at::Tensor& x) {
  if (IsDryRunOn(x.device())) {
    if (backend != Backend::kMkl) WeightGradientBy(backend, dy, x);
  } else if (backend == Backend::kMkl) {
    sum.addmm_(dy.t(), x);
  } else if (backend == Backend::kConvolution) {
    sum.add_(ByConvolution(dy, x, sum));
  } else {
    sum.add_(WeightGradientBy(backend, dy, x));
  }
}

void AddWidenedWeightGradient(at::Tensor& sum, const at::Tensor& dy, const at::Tensor& x) {
  OverWideRows(dy.size(0), dy.size(1) + x.size(1), [&](int64_t begin, int64_t end) {
    const at::Tensor part = Widened(dy.slice(0, begin, end)), of = Widened(x.slice(0, begin, end));
    if (sum.defined()) {
      AddWeightGradientBy(Backend::kMkl, sum, part, of);
    } else {
      sum = WeightGradientBy(Backend::kMkl, part, of);
    }
  });
}

}  // namespace localformer
