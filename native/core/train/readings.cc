// See readings.h.
#include "train/readings.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <utility>

#include "train/device.h"

namespace localformer {
void Reading::Add(double share, const at::Tensor& value) {
  if (value.is_cpu()) {
    value_ = value_.value_or(0.0) + share * value.item<double>();
  } else {
    waiting_.push_back({share, value.detach(), /*is_root=*/false});
  }
}

void Reading::AddSquare(double share, const at::Tensor& root) {
  if (root.is_cpu()) {
    Add(share, root.to(at::kDouble).square());
  } else {
    waiting_.push_back({share, root.detach(), /*is_root=*/true});
  }
}

void Reading::Add(double share, const Reading& other) {
  if (other.value_) value_ = value_.value_or(0.0) + share * *other.value_;
  for (const Waiting& part : other.waiting_) {
    waiting_.push_back({share * part.share, part.scalar, part.is_root});
  }
}

at::Tensor Reading::Total() const {
  if (value_) return at::scalar_tensor(*value_, at::kDouble);
  c10::NoGradGuard no_grad;
  // Most have the same share: these are added up in one go.
  at::Tensor total;
  for (auto begin = waiting_.begin(); begin != waiting_.end();) {
    const auto end = std::find_if(begin, waiting_.end(), [&](const Waiting& part) {
      return part.share != begin->share || part.is_root != begin->is_root;
    });
    std::vector<at::Tensor> parts;
    for (auto one = begin; one != end; ++one) parts.push_back(one->scalar);
    at::Tensor all = parts.size() == 1 ? parts.front() : at::stack(parts);
    if (begin->is_root) all = all.square();
    const at::Tensor sum = parts.size() == 1 ? all : all.sum();
    const at::Tensor own = begin->share == 1.0 ? sum : sum.mul(begin->share);
    total = total.defined() ? total.add(own) : own;
    begin = end;
  }
  return total;
}

void Reading::Replace(const at::Tensor& total) {
  value_.reset();
  waiting_.clear();
  Add(1.0, total);
}

void Reading::AppendWaiting(std::vector<at::Tensor>* scalars) const {
  for (const Waiting& part : waiting_) scalars->push_back(part.scalar);
}

void Reading::Settle(const float** next) {
  for (const Waiting& part : std::exchange(waiting_, {})) {
    const auto read = static_cast<double>(*(*next)++);
    value_ = value_.value_or(0.0) + part.share * (part.is_root ? read * read : read);
  }
}

StepReadings::StepReadings(c10::Device device) : device_(device) {
  if (device.is_cpu()) return;
  const auto floats = at::TensorOptions().dtype(at::kFloat).device(device);
  found_ = at::zeros({}, floats);
  one_ = at::ones({}, floats);
}

void StepReadings::Keep(const std::vector<at::Tensor>& scalars) {
  if (device_.is_cpu()) return;
  c10::NoGradGuard no_grad;
  const at::Tensor values = scalars.empty() ? at::empty({0}, one_.options()) : at::stack(scalars);
  // Made for the gradients of mixed precision: sets `found_` where a value is not finite, and
  // leaves it where all are.
  if (values.numel() > 0) {
    at::_amp_foreach_non_finite_check_and_unscale_({values}, found_, one_);
  }
  kept_.push_back(values);
}

std::vector<std::vector<float>> StepReadings::Read(bool own) const {
  std::vector<std::vector<float>> all;
  const at::Tensor values = kept_.empty() ? at::Tensor() : at::cat(kept_);
  at::Tensor host;
  if (values.defined() && values.numel() > 0) {
    host = at::empty(values.sizes(), at::TensorOptions().dtype(at::kFloat).pinned_memory(true));
    host.copy_(values, /*non_blocking=*/true);
  }
  if (own) {
    SynchronizeStream(device_);
  } else {
    Synchronize(device_);
  }
  const float* next = host.defined() ? host.const_data_ptr<float>() : nullptr;
  for (const at::Tensor& one : kept_) {
    all.emplace_back(next, next + one.numel());
    next += one.numel();
  }
  return all;
}

}  // namespace localformer
