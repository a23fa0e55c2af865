// See product_functions.h.
#include "product_functions.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "coded_error.h"
#include "errors.h"
#include "from_js.h"
#include "math/backends.h"
#include "math/product_choices.h"
#include "tensors.h"
#include "to_js.h"

namespace localformer {
namespace {

struct ProductOptions {
  ProductKind kind = ProductKind::kForward;
  c10::ScalarType type = c10::ScalarType::Float;
  Backend backend = Backend::kMkl;

  template <typename Self, typename Visit>
  static void Fields(Self& self, Visit&& visit) {
    visit("kind", self.kind);
    visit("dtype", self.type);
    visit("backend", self.backend);
  }
};

struct ProductResult {
  PlainTensor values;
  c10::ScalarType type = c10::ScalarType::Float;
  bool is_contiguous = false;

  template <typename Self, typename Visit>
  static void Fields(Self& self, Visit&& visit) {
    visit("values", self.values);
    visit("dtype", self.type);
    visit("isContiguous", self.is_contiguous);
  }
};

// By name, of `type`; undefined where there is none.
class Operands {
 public:
  Operands(const std::vector<PlainTensor>& tensors, c10::ScalarType type) {
    for (const PlainTensor& one : tensors) {
      at::Tensor values = at::empty(one.shape);
      if (static_cast<size_t>(values.numel()) != one.data.size()) {
        throw CodedError("ERR_SHAPE", "The shape of " + one.name + " does not fit its values");
      }
      std::copy(one.data.begin(), one.data.end(), values.mutable_data_ptr<float>());
      tensors_[one.name] = values.to(type);
    }
  }

  at::Tensor operator[](const char* name) const {
    const auto found = tensors_.find(name);
    return found == tensors_.end() ? at::Tensor() : found->second;
  }

 private:
  std::map<std::string, at::Tensor> tensors_;
};

at::Tensor ProductBy(const ProductOptions& options, const Operands& operands) {
  const Backend by = options.backend;
  switch (options.kind) {
    case ProductKind::kForward:
      return LinearProductBy(by, operands["x"], operands["weight"], operands["bias"]);
    case ProductKind::kInputGradient:
      return InputGradientBy(by, operands["dy"], operands["weight"]);
    case ProductKind::kWeightGradient:
      return WeightGradientBy(by, operands["dy"], operands["x"]);
    case ProductKind::kAddedWeightGradient:
      break;
  }
  at::Tensor sum = operands["sum"];
  AddWeightGradientBy(by, sum, operands["dy"], operands["x"]);
  return sum;
}

Napi::Value Choices(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&] { return ToJs(info.Env(), ProcessChoices()); });
}

// addProductChoices(choices)
Napi::Value AddChoices(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&]() -> Napi::Value {
    AddProcessChoices(FromJs<std::vector<ProductChoice>>(info[0], "choices"));
    return info.Env().Undefined();
  });
}

Napi::Value Measured(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&] { return ToJs(info.Env(), MeasuredChoices()); });
}

// For tests: productBackends(kind, dtype)
Napi::Value Backends(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&] {
    return ToJs(info.Env(), BackendsOf(FromJs<ProductKind>(info[0], "kind"),
                                       FromJs<c10::ScalarType>(info[1], "dtype")));
  });
}

// For tests: productBy(options, operands)
Napi::Value By(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&] {
    const auto options = FromJs<ProductOptions>(info[0], "options");
    const Operands operands(ReadTensors(info[1], "operands"), options.type);
    const at::Tensor result = ProductBy(options, operands);
    return ToJs(info.Env(), ProductResult{CopyOut("result", result.to(at::kFloat)),
                                          result.scalar_type(), result.is_contiguous()});
  });
}

}  // namespace

void DefineProductFunctions(Napi::Env env, Napi::Object exports) {
  exports.Set("productChoices", Napi::Function::New(env, Choices, "productChoices"));
  exports.Set("addProductChoices", Napi::Function::New(env, AddChoices, "addProductChoices"));
  exports.Set("measuredProducts", Napi::Function::New(env, Measured, "measuredProducts"));
  exports.Set("productBackends", Napi::Function::New(env, Backends, "productBackends"));
  exports.Set("productBy", Napi::Function::New(env, By, "productBy"));
}

}  // namespace localformer
