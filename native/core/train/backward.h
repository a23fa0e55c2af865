// Autograd's backward pass, of which nothing stays behind where it fails.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

namespace localformer {

// Adds to the leaves' gradients those of the sum over the roots of <gradient, root>; without
// `gradients` the roots are scalars. Whatever it throws, no tensor of the pass is held afterwards.
void Backward(const std::vector<at::Tensor>& roots, const std::vector<at::Tensor>& gradients = {});

}  // namespace localformer
