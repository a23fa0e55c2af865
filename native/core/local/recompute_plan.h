// How a card takes a segment whose units are computed again: in how many samples at a time. Each
// part costs as many launches as the whole would, so parts are as large as a bound on the segment's
// bytes allows. Told from shapes alone, so that parts, and with them the order of sums, are the
// same in every process.
#pragma once

#include <c10/core/ScalarType.h>

#include <cstdint>
#include <vector>

#include "swin/unit.h"

namespace localformer {

struct RecomputePlan {
  // Samples that go through the whole step, losses included, before others do: of those alone every
  // unit's input and the output's gradient are kept.
  int64_t micro_batch = 0;
  // Of a micro-batch, at a time, by unit.
  std::vector<int64_t> forward, backward;
};

// What there is to know of a segment beside its units.
struct RecomputeCase {
  bool in_parts = false;    // May the step be taken in micro-batches?
  bool has_losses = false;  // Has it losses of its own, on each of them?
  bool is_network = false;  // Is it all of the network?
};

// For a batch of so many samples. `largest_map`: the network's, which the bound is told from.
RecomputePlan PlanRecompute(const Segment& segment, int64_t batch, const FeatureShape& largest_map,
                            c10::ScalarType compute_type, const RecomputeCase& of);

}  // namespace localformer
