// One pass through a segment: forward, and the backward pass that belongs to it.
// input (detached) -> output (detached); gradient of the output -> gradients of the parameters.
#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <memory>
#include <optional>
#include <vector>

#include "fields.h"
#include "local/recompute_plan.h"
#include "swin/depth_coins.h"
#include "swin/unit.h"
#include "train/readings.h"

namespace localformer {

// What of a pass is computed again in the backward pass rather than kept; the gradients are the
// same.
enum class Recompute {
  kNone,
  kSelective,  // Inside a block what is cheap: norms, GELU, attention; some products
               // (swin/branch.h).
  kBlock,      // Every unit from its input (Chen et al., arXiv 1604.06174), in chunks of samples.
};

template <>
struct Words<Recompute> {
  static constexpr Word<Recompute> kTable[] = {{"none", Recompute::kNone},
                                               {"selective", Recompute::kSelective},
                                               {"block", Recompute::kBlock}};
};

// Samples that are taken at a time where nothing else is asked for, of a map of so many tokens a
// sample: that share of the batch, but no less than a matrix product takes to be worth its call.
constexpr int64_t kFineChunks = 32, kCoarseChunks = 16;
int64_t DefaultChunk(int64_t batch, int64_t tokens, int64_t chunks);

// Room for a batch of which `part` is some samples.
at::Tensor EmptyBatch(const at::Tensor& part, int64_t batch);

// Values of a unit's input that recomputation takes at a time; `largest_map`: the network's.
int64_t RecomputedValues(int64_t batch, const FeatureShape& largest_map);

struct SegmentPassOptions {
  Recompute recompute = Recompute::kNone;
  // With kBlock: values of a unit's input that are taken at a time, at least one sample.
  int64_t chunk_values = 0;
  // On a card in its place, of this segment and batch.
  std::optional<RecomputePlan> plan;
  // Measure the residual branches, for SegmentPass::energy().
  bool measure_energy = false;
};

class SegmentPass {
 public:
  virtual ~SegmentPass() = default;
  SegmentPass(const SegmentPass&) = delete;
  SegmentPass& operator=(const SegmentPass&) = delete;

  static std::unique_ptr<SegmentPass> Run(const Segment& segment, at::Tensor input,
                                          const ForwardContext& context,
                                          const SegmentPassOptions& options);

  const at::Tensor& output() const { return output_; }
  // From now on it lies in `to`, of its shape; once the backward pass begins, nowhere else.
  void MoveOutput(at::Tensor to);
  // Sum over the residual branches of the mean square of what each adds (the transport cost of
  // Karkar et al., arXiv 2309.17357); none where it was not measured or there are no branches.
  const Reading& energy() const { return energy_; }

  // Adds to the parameters' gradients those of <gradient, output> + energy_weight * energy. What
  // the pass kept is gone afterwards, and so is `gradient` where nobody else holds it.
  virtual void Backward(at::Tensor gradient, double energy_weight) = 0;

 protected:
  // Draws for the whole batch, where the context says to train. `input` may be some of its samples.
  SegmentPass(const Segment& segment, const at::Tensor& input, const ForwardContext& context);

  // With what was drawn.
  ForwardContext context_;
  at::Tensor output_;
  Reading energy_;

 private:
  std::optional<DepthCoins> coins_;
};

}  // namespace localformer
