// Stands in for LibTorch's batched product of bfloat16 on processors where oneDNN computes it, so
// that every machine can see what a failed allocation in it leads to. Like bmm_out_or_baddbmm_ in
// ATen/native/LinearAlgebra.cpp it catches whatever fails, switches oneDNN off for the process and
// goes another way, which gives other numbers. Preloaded before LibTorch, whose symbol it takes.
#include <ATen/ATen.h>
#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>
#include <exception>

namespace {

int caught = 0;

using Product = at::Tensor (*)(const at::Tensor&, const at::Tensor&);

Product FindOriginal() {
  std::atexit([] { std::fprintf(stderr, "stand-in: caught %d\n", caught); });
  return reinterpret_cast<Product>(dlsym(RTLD_NEXT, "_ZN2at4_ops3bmm4callERKNS_6TensorES4_"));
}

at::Tensor Multiply(const at::Tensor& a, const at::Tensor& b) {
  static const Product original = FindOriginal();
  const at::Tensor product = original(a, b);
  if (a.scalar_type() != at::kBFloat16 || !at::globalContext().userEnabledMkldnn()) return product;
  try {
    return product * 1.015625;
  } catch (const std::exception& error) {
    ++caught;
    TORCH_WARN("mkldnn_matmul failed, switching to baddbmm:", error.what());
    at::globalContext().setUserEnabledMkldnn(false);
  }
  return product;
}

}  // namespace

at::Tensor at::_ops::bmm::call(const at::Tensor& a, const at::Tensor& b) { return Multiply(a, b); }
