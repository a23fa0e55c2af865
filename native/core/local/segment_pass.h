// One pass through a segment: forward, and the backward pass that belongs to it.
// input (detached) -> output (detached); gradient of the output -> gradients of the parameters.
#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <memory>
#include <vector>

#include "swin/unit.h"

namespace localformer {

class SegmentPass {
 public:
  virtual ~SegmentPass() = default;

  // Runs forward. `recompute`: keep only the input of each unit, and run a unit forward again when
  // the backward pass comes to it (Chen et al., arXiv 1604.06174). The gradients are the same.
  static std::unique_ptr<SegmentPass> Run(const Segment& segment, at::Tensor input,
                                          const ForwardContext& context, bool recompute);

  const at::Tensor& output() const { return output_; }

  // Adds to the parameters' gradients. What the pass kept is gone afterwards.
  virtual void Backward(const at::Tensor& gradient) = 0;

 protected:
  at::Tensor output_;
};

}  // namespace localformer
