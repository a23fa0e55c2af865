// What a block does to its tokens row by row, between the products: normalisation, GELU and the
// residual sums. Each in one pass on the CPU (kernels/vector_kernels.h), by LibTorch's operations
// elsewhere.
// Maps are contiguous [samples, tokens, channels]; the residual stream and what is normalised is
// float32 (float64 where gradients are checked), what products take and give is of `type`.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/ScalarType.h>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace localformer {

struct NormParameters {
  const at::Tensor& weight;  // [channels]
  const at::Tensor& bias;
};

// Of the rows of x, [samples, tokens] each.
struct NormStatistics {
  at::Tensor mean;
  at::Tensor rstd;
};

// sum += value; a sum that is undefined becomes it. So are all sums below, of the type of `x`'s
// stream: each may be undefined at first.
void AddTo(at::Tensor& sum, const at::Tensor& value);

// The sum of the rows [rows, channels] in `type`, by LibTorch's operations. A card that reduces
// many rows to few numbers at once works in a buffer nearly as large as what it sums; it needs none
// where it first adds some hundred each.
at::Tensor SumOfRows(const at::Tensor& x, c10::ScalarType type);

// Sums over the rows of several matrices, the gradients of a branch's biases: elsewhere than on the
// CPU in one reduction for all of them, of sums of some hundred rows each. Matrices may come in
// parts of their rows, each part of all before the next one's.
class RowSums {
 public:
  // Of so many channels each.
  explicit RowSums(std::vector<int64_t> channels);

  // Adds the rows of x [rows, channels] in `type` to the n-th sum, by LibTorch's operations.
  void Add(size_t n, const at::Tensor& x, c10::ScalarType type);
  // The n-th sum [channels] as it is, float32 on the CPU and 0 at first, to be added to.
  at::Tensor Slot(size_t n);
  // The n-th sum [channels], of all that was added.
  at::Tensor Of(size_t n);

 private:
  void Fold();

  std::vector<int64_t> begins_;  // Of each in all of them; behind the last, how many there are.
  at::Tensor total_, part_;      // [all channels], [groups of rows, all channels]
  std::vector<bool> is_in_part_;
};

// Layer normalisation over the channels (eps 1e-5), in `type`.
at::Tensor NormRows(const at::Tensor& x, const NormParameters& norm, c10::ScalarType type,
                    NormStatistics* statistics);

// From the gradient of NormRows' result: adds those of weight and bias to `dweight` and `dbias`,
// and that of x to `dx`, where one is given.
void NormRowsBackward(const at::Tensor& gradient, const at::Tensor& x,
                      const NormStatistics& statistics, const NormParameters& norm, at::Tensor* dx,
                      at::Tensor& dweight, at::Tensor& dbias);

// out = x + scale * branch. `scale` [samples] or none: 1. `out` may be x.
void AddRows(const at::Tensor& x, const at::Tensor& branch, const at::Tensor& scale,
             at::Tensor& out);

// scale * x in `type`; the sum over all rows is added to the n-th of `sums`.
at::Tensor ScaleRows(const at::Tensor& x, const at::Tensor& scale, c10::ScalarType type,
                     RowSums& sums, size_t n);

// GELU, exactly: x times the normal distribution up to x.
at::Tensor Gelu(const at::Tensor& x);

// `gradient`, of GELU's result, becomes that of x; its sum over the rows is added to the n-th of
// `sums`. `out`: GELU's result, written where it is defined.
void GeluBackward(at::Tensor& gradient, const at::Tensor& x, at::Tensor& out, RowSums& sums,
                  size_t n);

}  // namespace localformer
