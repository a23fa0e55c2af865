// Gradients of a module kept below a norm (Pascanu et al., ICML 2013), as PyTorch's
// torch.nn.utils.clip_grad_norm_ does it.
#pragma once

#include "swin/parameters.h"

namespace localformer {

// L2 norm over all gradients of the parameters, those without one left out, before clipping. Where
// it is finite and above `max_norm`, the gradients are scaled by max_norm / (norm + 1e-6).
double ClipGradients(const ParameterList& parameters, double max_norm);

}  // namespace localformer
