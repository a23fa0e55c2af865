// How a module learns: a line an option, and its name for whoever sets it.
#pragma once

#include <c10/core/ScalarType.h>

#include <cstdint>
#include <optional>

#include "local/decoder.h"
#include "local/head.h"
#include "local/losses.h"
#include "local/segment_pass.h"
#include "math/product_choices.h"
#include "swin/compute_type.h"
#include "train/arithmetic.h"
#include "train/optimizer.h"

namespace localformer {

// What of a module waits in host memory while the module is not at work.
enum class OffloadWhat {
  kNone,
  kOptimizer,  // The optimizer's state and the average of the weights.
  kModules,    // The weights too.
};

template <>
struct Words<OffloadWhat> {
  static constexpr Word<OffloadWhat> kTable[] = {{"none", OffloadWhat::kNone},
                                                 {"optimizer", OffloadWhat::kOptimizer},
                                                 {"modules", OffloadWhat::kModules}};
};

struct ModuleOptions {
  Target target = Target::kFeatures;
  Distance distance = Distance::kMse;
  DecoderOptions decoder;
  HeadOptions head;
  double label_weight = 1.0;           // a
  double reconstruction_weight = 1.0;  // b
  double penalty_weight = 0.0;         // c, of the residual branches' energy; TRGL's 1 / (2 tau).
  double sample = 1.0;                 // Share of the output's tokens that are reconstructed.
  double label_smoothing = 0.0;        // In [0, 1).
  std::optional<int64_t> chunk_size;  // Samples a chunk of the auxiliary losses; else DefaultChunk.
  int64_t accumulate = 1;             // Micro-batches whose gradients add up to one step.
  Recompute recompute = Recompute::kNone;
  c10::ScalarType compute_type = c10::ScalarType::Float;
  Precision precision = Precision::kIeee;  // Of what is computed in float32; see ArithmeticInUse.
  MathMode math = MathMode::kTuned;        // Of products on the CPU; see MathInUse.
  OffloadWhat offload = OffloadWhat::kNone;
  OptimizerOptions optimizer;

  template <typename Self, typename Visit>
  static void Fields(Self& self, Visit&& visit) {
    visit("target", self.target);
    visit("distance", self.distance);
    visit("decoder", self.decoder);
    visit("head", self.head);
    visit("labelWeight", self.label_weight);
    visit("reconstructionWeight", self.reconstruction_weight);
    visit("penaltyWeight", self.penalty_weight);
    visit("sample", self.sample);
    visit("labelSmoothing", self.label_smoothing);
    visit("chunkSize", self.chunk_size);
    visit("accumulate", self.accumulate);
    visit("recompute", self.recompute);
    visit("dtype", self.compute_type);
    visit("precision", self.precision);
    visit("math", self.math);
    visit("offload", self.offload);
    visit("optimizer", self.optimizer);
  }
};

// How a step changes the weights.
struct UpdateOptions {
  double learning_rate = 0.0;
  std::optional<double> clip_norm;  // Largest norm of the module's gradients.

  template <typename Self, typename Visit>
  static void Fields(Self& self, Visit&& visit) {
    visit("learningRate", self.learning_rate);
    visit("clipNorm", self.clip_norm);
  }
};

}  // namespace localformer
