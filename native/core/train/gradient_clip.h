// Gradients of a module kept below a norm (Pascanu et al., ICML 2013), as PyTorch's
// torch.nn.utils.clip_grad_norm_ does it.
#pragma once

#include <ATen/core/Tensor.h>

#include "swin/parameters.h"

namespace localformer {

// L2 norm over all gradients of the parameters, those without one left out, before clipping; a
// scalar on their device, which is not waited for. Where it is above `max_norm`, the gradients are
// scaled by max_norm / (norm + 1e-6); where it is not finite those of a device are of no
// use afterwards.
at::Tensor ClipGradients(const ParameterList& parameters, double max_norm);

}  // namespace localformer
