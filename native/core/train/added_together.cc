// See added_together.h.
#include "train/added_together.h"

#include <ATen/ATen.h>

#include <utility>

namespace localformer {

AddedTogether::AddedTogether(const std::vector<at::Tensor>& leaves) {
  for (const at::Tensor& leaf : leaves) {
    if (!leaf.defined() || !leaf.grad().defined()) continue;
    leaves_.push_back(leaf);
    before_.push_back(std::exchange(leaf.mutable_grad(), {}));
  }
}

void AddedTogether::Add() {
  std::vector<at::Tensor> sums, added;
  for (size_t i = 0; i < leaves_.size(); ++i) {
    at::Tensor& gradient = leaves_[i].mutable_grad();
    if (gradient.defined()) {
      sums.push_back(before_[i]);
      added.push_back(gradient);
    }
    gradient = before_[i];
  }
  if (!sums.empty()) at::_foreach_add_(sums, added);
}

}  // namespace localformer
