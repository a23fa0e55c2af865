// See products.h.
#include "math/products.h"

#include <ATen/ATen.h>
#include <c10/util/Exception.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <optional>
#include <vector>

#include "math/backends.h"
#include "math/product_choices.h"
#include "math/work_count.h"
#include "memory/dry_run.h"

namespace localformer {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

at::Tensor Rows(const at::Tensor& t) { return t.reshape({-1, t.size(-1)}); }

// Of a product that is about to be computed. `a` has the rows; `b` is the weight, or x beside dy.
ProductShape ShapeOf(ProductKind kind, const at::Tensor& a, const at::Tensor& b) {
  const int64_t rows = a.numel() / std::max<int64_t>(a.size(-1), 1);
  const bool is_weight = kind == ProductKind::kForward || kind == ProductKind::kInputGradient;
  const int64_t out = is_weight ? b.size(0) : a.size(1);
  CountWork(a.scalar_type(), 2 * rows * b.size(1) * out);
  return {kind, a.scalar_type(), a.device(), rows, b.size(1), out};
}

struct LinearFunction : torch::autograd::Function<LinearFunction> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& weight,
                            const std::optional<at::Tensor>& bias) {
    ctx->save_for_backward({x, weight});
    ctx->saved_data["has_bias"] = bias.has_value();
    return LinearProduct(x, weight, bias.value_or(at::Tensor()));
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &x = saved[0], &weight = saved[1];
    const at::Tensor dy = Rows(gradients[0]).to(x.scalar_type());
    at::Tensor dx, dw, db;
    if (ctx->needs_input_grad(0)) dx = InputGradient(dy, weight).view(x.sizes());
    if (ctx->needs_input_grad(1)) dw = WeightGradient(dy, Rows(x));
    if (ctx->saved_data["has_bias"].toBool() && ctx->needs_input_grad(2)) db = dy.sum(0);
    return {dx, dw, db};
  }
};

}  // namespace

at::Tensor LinearProduct(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  const auto attempt = [&](Backend backend, int64_t rows) {
    LinearProductBy(backend, Rows(x).narrow(0, 0, rows), weight, bias);
  };
  return LinearProductBy(BackendFor(ShapeOf(ProductKind::kForward, x, weight), attempt), x, weight,
                         bias);
}

at::Tensor InputGradient(const at::Tensor& dy, const at::Tensor& weight) {
  const auto attempt = [&](Backend backend, int64_t rows) {
    InputGradientBy(backend, dy.narrow(0, 0, rows), weight);
  };
  return InputGradientBy(BackendFor(ShapeOf(ProductKind::kInputGradient, dy, weight), attempt), dy,
                         weight);
}

namespace {

Backend WeightGradientBackend(const at::Tensor& dy, const at::Tensor& x) {
  const auto attempt = [&](Backend backend, int64_t rows) {
    WeightGradientBy(backend, dy.narrow(0, 0, rows), x.narrow(0, 0, rows));
  };
  return BackendFor(ShapeOf(ProductKind::kWeightGradient, dy, x), attempt);
}

// a b, of bfloat16, added to a `sum` of float32: a card's products give it without rounding,
// in one launch.
void AddWideProduct(at::Tensor& sum, const at::Tensor& a, const at::Tensor& b) {
  if (sum.defined()) {
    at::addmm_out(sum, sum, a, b, sum.scalar_type());
  } else {
    sum = at::mm(a, b, at::kFloat);
  }
}

// Does t's device have such products? Cards of compute capability 8.0 on; each is asked once.
bool GivesWideProducts(const at::Tensor& t) {
  if (!t.is_cuda() || t.scalar_type() != at::kBFloat16) return false;
  // Threads may outlive statics.
  static auto& mutex = *new std::mutex;
  static auto& answers = *new std::map<c10::DeviceIndex, bool>;
  const std::lock_guard<std::mutex> lock(mutex);
  const auto known = answers.find(t.get_device());
  if (known != answers.end()) return known->second;
  const at::Tensor ones = at::ones({16, 16}, t.options());
  bool gives = true;
  try {
    at::mm(ones, ones, at::kFloat);
  } catch (const c10::OutOfMemoryError&) {
    throw;
  } catch (const c10::Error&) {
    // Where the card cannot multiply at all, that is told and nothing is learned.
    at::mm(ones, ones);
    gives = false;
  }
  return answers[t.get_device()] = gives;
}

}  // namespace

at::Tensor WeightGradient(const at::Tensor& dy, const at::Tensor& x) {
  return WeightGradientBy(WeightGradientBackend(dy, x), dy, x);
}

void AddWeightGradient(at::Tensor& sum, const at::Tensor& dy, const at::Tensor& x) {
  if (GivesWideProducts(dy)) {
    CountWork(dy.scalar_type(), 2 * dy.numel() * x.size(1));
    return AddWideProduct(sum, dy.t(), x);
  }
  const c10::ScalarType type = at::promote_types(dy.scalar_type(), at::kFloat);
  if (!sum.defined() || dy.scalar_type() != type) {
    const Backend backend = WeightGradientBackend(dy, x);
    if (backend == Backend::kWidened) return AddWidenedWeightGradient(sum, dy, x);
    const at::Tensor product = WeightGradientBy(backend, dy, x);
    if (sum.defined()) {
      sum.add_(product);
    } else {
      sum = product.to(type);
    }
    return;
  }
  at::Tensor copy;
  const auto attempt = [&](Backend backend, int64_t rows) {
    if (!copy.defined()) copy = sum.clone();
    AddWeightGradientBy(backend, copy, dy.narrow(0, 0, rows), x.narrow(0, 0, rows));
  };
  AddWeightGradientBy(BackendFor(ShapeOf(ProductKind::kAddedWeightGradient, dy, x), attempt), sum,
                      dy, x);
}

void AddInputGradient(at::Tensor& sum, const at::Tensor& dy, const at::Tensor& weight) {
  if (GivesWideProducts(dy)) {
    CountWork(dy.scalar_type(), 2 * dy.size(0) * weight.numel());
    return AddWideProduct(sum, dy, weight);
  }
  if (dy.scalar_type() != sum.scalar_type()) {
    sum.add_(InputGradient(dy, weight));
    return;
  }
  CountWork(dy.scalar_type(), 2 * dy.size(0) * weight.numel());
  if (!IsDryRunOn(sum.device())) sum.addmm_(dy, weight);
}

at::Tensor LinearMap(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  // An undefined tensor is no argument of a function.
  const auto optional_bias = bias.defined() ? std::make_optional(bias) : std::nullopt;
  return LinearFunction::apply(x, weight, optional_bias);
}

}  // namespace localformer
