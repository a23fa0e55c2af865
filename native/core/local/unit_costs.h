// What each unit of the network takes of the device's memory in a training step, measured by
// running it alone. From these a split is balanced (lib/local/balance.ts).
#pragma once

#include <atomic>
#include <vector>

#include "local/segment_pass.h"
#include "math/product_choices.h"
#include "swin/compute_type.h"
#include "swin/model.h"

namespace localformer {

// Bytes, for the batch that was measured.
struct UnitCost {
  int64_t input = 0;
  int64_t output = 0;
  int64_t gradients = 0;  // Of the unit's parameters; the same for every batch.
  int64_t kept = 0;       // From forward to backward, the input included where it is needed.
  // Highest while the unit runs, its input included.
  int64_t forward_peak = 0;
  int64_t backward_peak = 0;  // Gradients of its parameters, output and input included.

  template <typename Self, typename Visit>
  static void Fields(Self& self, Visit&& visit) {
    visit("inputBytes", self.input);
    visit("outputBytes", self.output);
    visit("gradientBytes", self.gradients);
    visit("keptBytes", self.kept);
    visit("forwardPeakBytes", self.forward_peak);
    visit("backwardPeakBytes", self.backward_peak);
  }
};

struct MeasureOptions {
  int64_t batch_size = 8;  // Samples to measure with.
  Recompute recompute = Recompute::kNone;
  c10::ScalarType compute_type = c10::ScalarType::Float;

  template <typename Self, typename Visit>
  static void Fields(Self& self, Visit&& visit) {
    visit("batchSize", self.batch_size);
    visit("recompute", self.recompute);
    visit("dtype", self.compute_type);
  }
};

struct TimeOptions : MeasureOptions {
  MathMode math = MathMode::kTuned;  // What products are timed with.

  template <typename Self, typename Visit>
  static void Fields(Self& self, Visit&& visit) {
    MeasureOptions::Fields(self, visit);
    visit("math", self.math);
  }
};

// Leaves no gradients behind. Throws CodedError ERR_CONFIG for less than one sample.
std::vector<UnitCost> MeasureUnits(const SwinModel& model, c10::Device device,
                                   const MeasureOptions& options,
                                   const std::atomic<bool>* cancelled);

// Seconds that each unit takes in a step, forward and backward: the less of two runs behind one
// that warms up. In a dry run and on a card, which may be a simulated one, in proportion to its
// products.
std::vector<double> TimeUnits(const SwinModel& model, c10::Device device,
                              const TimeOptions& options, const std::atomic<bool>* cancelled);

}  // namespace localformer
