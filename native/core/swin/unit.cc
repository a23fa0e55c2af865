// See unit.h.
#include "swin/unit.h"

#include <ATen/ATen.h>

#include "memory/absent_tensors.h"

namespace localformer {

void ForwardContext::ThrowIfCancelled() const {
  if (cancelled != nullptr && cancelled->load(std::memory_order_relaxed)) throw Cancelled();
}

UnitDescription Describe(const Unit& unit) {
  const FeatureShape& shape = unit.output();
  UnitDescription description;
  description.name = unit.name();
  description.parameter_count = CountValues(unit.Parameters());
  description.output_shape = shape.height == 0
                                 ? std::vector<int64_t>{shape.channels}
                                 : std::vector<int64_t>{shape.height, shape.width, shape.channels};
  return description;
}

std::shared_ptr<void> Unit::OffloadParameters(const std::shared_ptr<CopyStream>& copies) {
  if (offloaded_ == nullptr || offloaded_->has_ended()) {
    offloaded_ = std::make_shared<OffloadedTensors>(TensorsOf(Parameters()), copies);
  }
  return offloaded_->Claim(copies);
}

TensorsInUse UseParameters(const Segment& segment) {
  TensorsInUse in_use;
  for (const Unit* unit : segment) {
    if (unit->is_absent()) ThrowAbsent();
    in_use.Add(unit->offloaded());
  }
  return in_use;
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
