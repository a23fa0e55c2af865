// See gradient_sum.h.
#include "distributed/gradient_sum.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <utility>

namespace localformer {

GradientSum::GradientSum(Communicator& among, const ParameterList& parameters, at::Tensor numbers)
    : numbers_(std::move(numbers)) {
  c10::NoGradGuard no_grad;
  std::vector<at::Tensor> small;
  int64_t bytes = 0;
  for (const auto& [name, parameter] : parameters) {
    const at::Tensor& gradient = parameter.grad();
    if (!gradient.defined()) continue;
    const auto own = static_cast<int64_t>(gradient.nbytes());
    if (own >= kBucketBytes / 4 && gradient.is_contiguous()) {
      Send(among, {gradient});
      continue;
    }
    if (bytes + own > kBucketBytes && !small.empty()) {
      Send(among, std::exchange(small, {}));
      bytes = 0;
    }
    small.push_back(gradient);
    bytes += own;
  }
  if (!small.empty()) Send(among, std::move(small));
  numbers_transfer_ = among.Sum(numbers_);
}

void GradientSum::Send(Communicator& among, std::vector<at::Tensor> gradients) {
  Bucket bucket;
  if (gradients.size() == 1 && gradients.front().is_contiguous()) {
    bucket.values = gradients.front();
  } else {
    std::vector<at::Tensor> rows;
    for (const at::Tensor& gradient : gradients) rows.push_back(gradient.reshape({-1}));
    bucket.values = at::cat(rows);
  }
  bucket.gradients = std::move(gradients);
  bucket.transfer = among.Sum(bucket.values);
  buckets_.push_back(std::move(bucket));
}

at::Tensor GradientSum::Finish() {
  c10::NoGradGuard no_grad;
  for (Bucket& bucket : buckets_) {
    bucket.transfer.Wait();
    if (bucket.values.is_same(bucket.gradients.front())) continue;
    int64_t begin = 0;
    for (at::Tensor& gradient : bucket.gradients) {
      const int64_t count = gradient.numel();
      gradient.copy_(bucket.values.slice(0, begin, begin + count).view(gradient.sizes()));
      begin += count;
    }
    bucket.values.reset();
  }
  numbers_transfer_.Wait();
  return numbers_;
}

}  // namespace localformer
