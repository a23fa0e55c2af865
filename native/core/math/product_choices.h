// Which backend computes a product: the default, oneDNN, or whichever is fastest on this processor,
// measured at the first product of a kind, type and shape and remembered since. The choice decides
// the last digits, so it belongs to a trainer, goes into its state and comes back with that.
#pragma once

#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>
#include <c10/util/FunctionRef.h>

#include <cstdint>
#include <map>
#include <tuple>
#include <vector>

#include "fields.h"
#include "math/backends.h"
#include "swin/compute_type.h"

namespace localformer {

// Of products on the CPU.
enum class MathMode {
  kTuned,   // The fastest, by measuring; small products by DefaultBackendOf.
  kOneDnn,  // oneDNN's, unmeasured.
  kMkl,     // LibTorch's default.
};

template <>
struct Words<MathMode> {
  static constexpr Word<MathMode> kTable[] = {
      {"tuned", MathMode::kTuned}, {"onednn", MathMode::kOneDnn}, {"mkl", MathMode::kMkl}};
};

// A choice: what for, and which.
struct ProductChoice {
  ProductKind kind = ProductKind::kForward;
  c10::ScalarType type = c10::ScalarType::Float;
  int64_t rows = 0;  // A power of two: rows are rounded up, and none beyond the largest counts.
  int64_t in = 0;    // Of the layer.
  int64_t out = 0;
  int64_t threads = 0;
  Backend backend = Backend::kMkl;

  auto Key() const { return std::make_tuple(kind, type, rows, in, out, threads); }

  template <typename Self, typename Visit>
  static void Fields(Self& self, Visit&& visit) {
    visit("kind", self.kind);
    visit("dtype", self.type);
    visit("rows", self.rows);
    visit("in", self.in);
    visit("out", self.out);
    visit("threads", self.threads);
    visit("backend", self.backend);
  }
};

// What is asked for: a product of a layer with so many rows.
struct ProductShape {
  ProductKind kind;
  c10::ScalarType type;
  c10::Device device;
  int64_t rows;
  int64_t in;
  int64_t out;
};

// Computes the product, of its first `rows` alone, and throws the result away.
using TryProduct = c10::function_ref<void(Backend backend, int64_t rows)>;

// Choices of one trainer; used by one thread at a time. What it does not have yet it takes from the
// process, which measures where it has none either.
class ProductChoices {
 public:
  // With all that the process has.
  ProductChoices();

  // Of `choice` all but the backend is asked about; `rows`: to measure with.
  Backend Of(const ProductChoice& choice, int64_t rows, TryProduct attempt);

  std::vector<ProductChoice> List() const;
  // In place of all that it has.
  void Replace(const std::vector<ProductChoice>& choices);

 private:
  std::map<decltype(ProductChoice().Key()), ProductChoice> choices_;
};

// Choices of the process, shared by its threads: those from a file and those measured so far. One
// that is there is not replaced.
std::vector<ProductChoice> ProcessChoices();
void AddProcessChoices(const std::vector<ProductChoice>& choices);
// How many the process has measured so far.
int64_t MeasuredChoices();

// While it lives, the calling thread's products are computed by `mode`; without one by kMkl.
// `choices` outlives it.
class MathInUse {
 public:
  MathInUse(MathMode mode, ProductChoices* choices);
  ~MathInUse();
  MathInUse(const MathInUse&) = delete;
  MathInUse& operator=(const MathInUse&) = delete;

 private:
  const MathMode outer_mode_;
  ProductChoices* const outer_choices_;
};

// What the calling thread computes a product by, now.
Backend BackendFor(const ProductShape& shape, TryProduct attempt);

}  // namespace localformer
