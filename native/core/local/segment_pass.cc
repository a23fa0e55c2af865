// See segment_pass.h.
#include "local/segment_pass.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <utility>

namespace localformer {
namespace {

// Autograd keeps what every operation needs.
class WholePass final : public SegmentPass {
 public:
  WholePass(const Segment& segment, at::Tensor input, const ForwardContext& context)
      : graph_(ForwardSegment(segment, std::move(input), context)) {
    output_ = graph_.detach();
  }

  void Backward(const at::Tensor& gradient) override {
    std::exchange(graph_, at::Tensor()).backward(gradient);
  }

 private:
  at::Tensor graph_;
};

class RecomputedPass final : public SegmentPass {
 public:
  RecomputedPass(const Segment& segment, at::Tensor input, const ForwardContext& context)
      : context_(context) {
    c10::NoGradGuard no_grad;
    for (const Unit* unit : segment) {
      context.ThrowIfCancelled();
      // Stochastic depth must toss the same coins again.
      steps_.push_back({unit, input, context.generator->clone()});
      input = unit->Forward(input, context);
    }
    output_ = input;
  }

  void Backward(const at::Tensor& gradient) override {
    at::Tensor g = gradient;
    for (; !steps_.empty(); steps_.pop_back()) {
      context_.ThrowIfCancelled();
      Step& step = steps_.back();
      // Nobody asks for the gradient of what came into the segment.
      const bool is_first = steps_.size() == 1;
      const at::Tensor input = step.input.detach().requires_grad_(!is_first);
      ForwardContext context = context_;
      context.generator = &step.generator;
      step.unit->Forward(input, context).backward(g);
      g = input.grad();
    }
  }

 private:
  struct Step {
    const Unit* unit;
    at::Tensor input;
    at::Generator generator;  // As it was before the unit ran.
  };

  ForwardContext context_;
  std::vector<Step> steps_;
};

}  // namespace

std::unique_ptr<SegmentPass> SegmentPass::Run(const Segment& segment, at::Tensor input,
                                              const ForwardContext& context, bool recompute) {
  if (recompute) return std::make_unique<RecomputedPass>(segment, std::move(input), context);
  return std::make_unique<WholePass>(segment, std::move(input), context);
}

}  // namespace localformer
