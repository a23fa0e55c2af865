// See gradient_clip.h.
#include "train/gradient_clip.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <cmath>
#include <vector>

namespace localformer {

at::Tensor ClipGradients(const ParameterList& parameters, double max_norm) {
  c10::NoGradGuard no_grad;
  std::vector<at::Tensor> gradients;
  for (const auto& parameter : parameters) {
    if (parameter.second.grad().defined()) gradients.push_back(parameter.second.grad());
  }
  if (gradients.empty()) return at::zeros({}, parameters.front().second.options());
  const at::Tensor norm = at::linalg_vector_norm(at::stack(at::_foreach_norm(gradients, 2)), 2);
  // Those of a device are not used then.
  if (norm.is_cpu() && !std::isfinite(norm.item<double>())) return norm;
  at::_foreach_mul_(gradients, (max_norm / (norm + 1e-6)).clamp_max_(1.0));
  return norm;
}

}  // namespace localformer
