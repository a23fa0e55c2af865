// See unit.h.
#include "swin/unit.h"

#include <ATen/ATen.h>

namespace localformer {

void ForwardContext::ThrowIfCancelled() const {
  if (cancelled != nullptr && cancelled->load(std::memory_order_relaxed)) throw Cancelled();
}

at::Tensor ForwardSegment(const Segment& segment, at::Tensor x, const ForwardContext& context) {
  for (const Unit* unit : segment) {
    context.ThrowIfCancelled();
    x = unit->Forward(x, context);
    if (context.cancelled != nullptr && x.requires_grad()) {
      x.register_hook([context](const at::Tensor&) { context.ThrowIfCancelled(); });
    }
  }
  return x;
}

}  // namespace localformer
