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
    waiting_.emplace_back(share, value.detach());
  }
}

void Reading::Add(double share, const Reading& other) {
  if (other.value_) value_ = value_.value_or(0.0) + share * *other.value_;
  for (const auto& [own, value] : other.waiting_) waiting_.emplace_back(share * own, value);
}

at::Tensor Reading::Total() const {
  if (value_) return at::scalar_tensor(*value_, at::kDouble);
  c10::NoGradGuard no_grad;
  // Most have the same share: these are added up in one go.
  at::Tensor total;
  for (auto begin = waiting_.begin(); begin != waiting_.end();) {
    const auto end = std::find_if(begin, waiting_.end(),
                                  [&](const auto& part) { return part.first != begin->first; });
    std::vector<at::Tensor> parts;
    for (auto one = begin; one != end; ++one) parts.push_back(one->second);
    const at::Tensor sum = parts.size() == 1 ? parts.front() : at::stack(parts).sum();
    const at::Tensor own = begin->first == 1.0 ? sum : sum.mul(begin->first);
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
  for (const auto& part : waiting_) scalars->push_back(part.second);
}

void Reading::Settle(const float** next) {
  for (const auto& part : std::exchange(waiting_, {})) {
    value_ = value_.value_or(0.0) + part.first * static_cast<double>(*(*next)++);
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
