// Gradients of many leaves, added to those that there were in one launch, where autograd takes one
// for each. While it lives, the leaves' gradients begin anew.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

namespace localformer {

class AddedTogether {
 public:
  // Undefined tensors are none.
  explicit AddedTogether(const std::vector<at::Tensor>& leaves);
  AddedTogether(const AddedTogether&) = delete;
  AddedTogether& operator=(const AddedTogether&) = delete;

  void Add();

 private:
  std::vector<at::Tensor> leaves_, before_;
};

}  // namespace localformer
