// See rows.h.
#include "kernels/rows.h"

#include <ATen/ATen.h>
#include <c10/util/Exception.h>

#include <algorithm>

#include "kernels/cpu.h"

namespace localformer {
namespace {

constexpr double kEps = 1e-5;

// Of a float32 stream and products of `type`?
bool TakesVectors(const at::Tensor& x, c10::ScalarType type) {
  return HasVectorKernels(x.device(), type) && x.scalar_type() == at::kFloat;
}

int64_t RowsOf(const at::Tensor& x) { return x.numel() / x.size(-1); }

at::Tensor BySample(const at::Tensor& scale) { return scale.view({-1, 1, 1}); }

// [rows, channels] -> [groups, some hundred rows, channels]
at::Tensor InGroups(const at::Tensor& x) {
  int64_t together = std::clamp<int64_t>(x.size(0), 1, 256);
  while (x.size(0) % together != 0) --together;
  return x.view({-1, together, x.size(1)});
}

}  // namespace

void AddTo(at::Tensor& sum, const at::Tensor& value) {
  if (sum.defined()) {
    sum.add_(value);
  } else {
    sum = value;
  }
}

at::Tensor SumOfRows(const at::Tensor& x, c10::ScalarType type) {
  return InGroups(x).sum(1, /*keepdim=*/false, type).sum(0);
}

RowSums::RowSums(std::vector<int64_t> channels) : begins_{0}, is_in_part_(channels.size()) {
  for (const int64_t count : channels) begins_.push_back(begins_.back() + count);
}

void RowSums::Add(size_t n, const at::Tensor& x, c10::ScalarType type) {
  if (is_in_part_[n]) Fold();
  const at::Tensor groups = InGroups(x);
  if (!part_.defined()) {
    part_ = at::empty({groups.size(0), begins_.back()}, x.options().dtype(type));
  }
  TORCH_INTERNAL_ASSERT(groups.size(0) == part_.size(0) && part_.scalar_type() == type);
  at::Tensor own = part_.slice(1, begins_[n], begins_[n + 1]);
  at::sum_out(own, groups, at::IntArrayRef({1}), /*keepdim=*/false, type);
  is_in_part_[n] = true;
}

void RowSums::Fold() {
  const at::Tensor sums = part_.sum(0);
  // Of those that nothing was added to in this part, as where the CPU adds to a slot, the columns
  // hold nothing.
  for (size_t n = 0; n < is_in_part_.size(); ++n) {
    if (!is_in_part_[n]) sums.slice(0, begins_[n], begins_[n + 1]).zero_();
  }
  AddTo(total_, sums);
  part_.reset();
  is_in_part_.assign(is_in_part_.size(), false);
}

at::Tensor RowSums::Slot(size_t n) {
  if (!total_.defined()) total_ = at::zeros({begins_.back()}, at::kFloat);
  return total_.slice(0, begins_[n], begins_[n + 1]);
}

at::Tensor RowSums::Of(size_t n) {
  if (part_.defined()) Fold();
  return Slot(n);
}

at::Tensor NormRows(const at::Tensor& x, const NormParameters& norm, c10::ScalarType type,
                    NormStatistics* statistics) {
  const int64_t channels = x.size(2);
  if (!TakesVectors(x, type)) {
    const auto [out, mean, rstd] =
        at::native_layer_norm(x, {channels}, norm.weight, norm.bias, kEps);
    *statistics = {mean.squeeze(-1), rstd.squeeze(-1)};
    return out.to(type);
  }
  *statistics = {at::empty({x.size(0), x.size(1)}, x.options()),
                 at::empty({x.size(0), x.size(1)}, x.options())};
  const at::Tensor out = at::empty(x.sizes(), x.options().dtype(type));
  WithNumbers(type, [&](auto* numbers) {
    using T = std::remove_pointer_t<decltype(numbers)>;
    const NormRowsArgs<T> args{x.const_data_ptr<float>(),
                               norm.weight.const_data_ptr<float>(),
                               norm.bias.const_data_ptr<float>(),
                               NumbersOf<T>(out),
                               NumbersOf<float>(statistics->mean),
                               NumbersOf<float>(statistics->rstd),
                               channels};
    OverRows(RowsOf(x),
             [&](int64_t begin, int64_t end) { KernelsFor(numbers).norm_rows(args, begin, end); });
  });
  return out;
}

void NormRowsBackward(const at::Tensor& gradient, const at::Tensor& x,
                      const NormStatistics& statistics, const NormParameters& norm, at::Tensor* dx,
                      at::Tensor& dweight, at::Tensor& dbias) {
  const int64_t channels = x.size(2);
  const c10::ScalarType type = gradient.scalar_type();
  if (!TakesVectors(x, type)) {
    const auto [dx_own, dweight_own, dbias_own] = at::native_layer_norm_backward(
        gradient.to(x.scalar_type()), x, {channels}, statistics.mean.unsqueeze(-1),
        statistics.rstd.unsqueeze(-1), norm.weight, norm.bias, {dx != nullptr, true, true});
    AddTo(dweight, dweight_own);
    AddTo(dbias, dbias_own);
    if (dx != nullptr) AddTo(*dx, dx_own);
    return;
  }
  const at::Tensor sums = at::zeros({2 * channels}, at::kFloat);
  if (dx != nullptr && !dx->defined()) *dx = at::zeros_like(x);
  WithNumbers(type, [&](auto* numbers) {
    using T = std::remove_pointer_t<decltype(numbers)>;
    SumOverRows(RowsOf(x), NumbersOf<float>(sums), 2 * channels,
                [&](int64_t begin, int64_t end, float* own) {
                  const NormRowsBackwardArgs<T> args{
                      NumbersOf<T>(gradient),
                      x.const_data_ptr<float>(),
                      statistics.mean.const_data_ptr<float>(),
                      statistics.rstd.const_data_ptr<float>(),
                      norm.weight.const_data_ptr<float>(),
                      dx == nullptr ? nullptr : NumbersOf<float>(*dx),
                      own,
                      own + channels,
                      channels};
                  KernelsFor(numbers).norm_rows_backward(args, begin, end);
                });
  });
  AddTo(dweight, sums.slice(0, 0, channels));
  AddTo(dbias, sums.slice(0, channels));
}

void AddRows(const at::Tensor& x, const at::Tensor& branch, const at::Tensor& scale,
             at::Tensor& out) {
  const c10::ScalarType type = branch.scalar_type();
  if (!TakesVectors(x, type)) {
    if (scale.defined()) {
      at::addcmul_out(out, x, branch.to(x.scalar_type()), BySample(scale));
    } else {
      at::add_out(out, x, branch);
    }
    return;
  }
  WithNumbers(type, [&](auto* numbers) {
    using T = std::remove_pointer_t<decltype(numbers)>;
    const AddRowsArgs<T> args{x.const_data_ptr<float>(), NumbersOf<T>(branch),
                              NumbersOf<float>(scale),   x.size(1),
                              NumbersOf<float>(out),     x.size(2)};
    OverRows(RowsOf(x),
             [&](int64_t begin, int64_t end) { KernelsFor(numbers).add_rows(args, begin, end); });
  });
}

at::Tensor ScaleRows(const at::Tensor& x, const at::Tensor& scale, c10::ScalarType type,
                     RowSums& sums, size_t n) {
  if (!TakesVectors(x, type)) {
    const at::Tensor scaled = scale.defined() ? x * BySample(scale) : x;
    sums.Add(n, scaled.view({-1, scaled.size(2)}), scaled.scalar_type());
    return scaled.to(type);
  }
  const at::Tensor out = at::empty(x.sizes(), x.options().dtype(type));
  WithNumbers(type, [&](auto* numbers) {
    using T = std::remove_pointer_t<decltype(numbers)>;
    SumOverRows(RowsOf(x), NumbersOf<float>(sums.Slot(n)), x.size(2),
                [&](int64_t begin, int64_t end, float* own) {
                  const ScaleRowsArgs<T> args{x.const_data_ptr<float>(),
                                              NumbersOf<float>(scale),
                                              x.size(1),
                                              NumbersOf<T>(out),
                                              own,
                                              x.size(2)};
                  KernelsFor(numbers).scale_rows(args, begin, end);
                });
  });
  return out;
}

at::Tensor Gelu(const at::Tensor& x) {
  if (!HasVectorKernels(x.device(), x.scalar_type())) return at::gelu(x);
  const at::Tensor out = at::empty_like(x);
  WithNumbers(x.scalar_type(), [&](auto* numbers) {
    using T = std::remove_pointer_t<decltype(numbers)>;
    const GeluArgs<T> args{NumbersOf<T>(x), NumbersOf<T>(out), nullptr, nullptr, x.size(-1)};
    OverRows(RowsOf(x),
             [&](int64_t begin, int64_t end) { KernelsFor(numbers).gelu(args, begin, end); });
  });
  return out;
}

void GeluBackward(at::Tensor& gradient, const at::Tensor& x, at::Tensor& out, RowSums& sums,
                  size_t n) {
  if (!HasVectorKernels(x.device(), x.scalar_type())) {
    if (out.defined()) at::gelu_out(out, x);
    at::gelu_backward_out(gradient, gradient, x);
    const c10::ScalarType type = at::promote_types(gradient.scalar_type(), at::kFloat);
    sums.Add(n, gradient.reshape({-1, gradient.size(-1)}), type);
    return;
  }
  WithNumbers(x.scalar_type(), [&](auto* numbers) {
    using T = std::remove_pointer_t<decltype(numbers)>;
    SumOverRows(RowsOf(x), NumbersOf<float>(sums.Slot(n)), x.size(-1),
                [&](int64_t begin, int64_t end, float* own) {
                  const GeluArgs<T> args{NumbersOf<T>(x), NumbersOf<T>(out), NumbersOf<T>(gradient),
                                         own, x.size(-1)};
                  KernelsFor(numbers).gelu_backward(args, begin, end);
                });
  });
}

}  // namespace localformer
