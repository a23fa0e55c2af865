// See recompute_plan.h.
#include "local/recompute_plan.h"

#include <algorithm>
#include <optional>

#include "swin/block.h"

namespace localformer {
namespace {

constexpr int64_t kFloatBytes = 4;

// The bound in largest maps of the batch: of a small one few, which is taken for want of memory, up
// to 128 images more, so that there are few launches, and of a large one few again, where each
// launch has much to do and what fits is asked for. Ours, measured.
constexpr double kLeastMaps = 2.8, kMoreMaps = 1.74, kManyLaunches = 128.0;
// Of that in bfloat16, where a unit holds less inside.
constexpr double kHalfShare = 0.775;

// Launches, about: of a unit forward, of as much of it as its backward pass needs, and of that.
struct UnitLaunches {
  int64_t forward, again, backward;
};
constexpr UnitLaunches kBlockLaunches = {15, 12, 35}, kOtherLaunches = {3, 2, 9};
constexpr int64_t kLossLaunches = 37;

int64_t BytesOf(const FeatureShape& shape) { return shape.values() * kFloatBytes; }

// Bytes for a sample.
struct UnitBytes {
  int64_t input, output;
  int64_t forward, backward;  // What is held inside, beside input, output and its gradient.
  int64_t gradients;          // Of its parameters, whatever the samples.
  UnitLaunches launches;
};

UnitBytes BytesOf(const Unit& unit, c10::ScalarType type) {
  const int64_t input = BytesOf(unit.input()), output = BytesOf(unit.output());
  const int64_t gradients = CountValues(unit.Parameters()) * kFloatBytes;
  const bool is_float = type == c10::ScalarType::Float;
  if (const auto* block = dynamic_cast<const SwinBlock*>(&unit)) {
    // The MLP's backward pass holds most: its input, fc1's output, GELU's and its gradient, beside
    // q, k, v, attention weights and what the heads gave, which follow.
    const double weights = block->WeightsPerValue();
    const double backward = is_float ? 13 + weights : 9 + weights / 2;
    return {input,
            output,
            (is_float ? 9 : 6) * input,
            static_cast<int64_t>(backward * static_cast<double>(input)),
            gradients,
            kBlockLaunches};
  }
  const int64_t larger = std::max(input, output);
  return {input, output, 3 * larger, 5 * larger, gradients, kOtherLaunches};
}

int64_t Parts(int64_t count, int64_t size) { return (count + size - 1) / size; }

struct Candidate {
  RecomputePlan plan;
  bool fits = true;
  int64_t launches = 0;
};

}  // namespace

RecomputePlan PlanRecompute(const Segment& segment, int64_t batch, const FeatureShape& largest_map,
                            c10::ScalarType compute_type, const RecomputeCase& of) {
  std::vector<UnitBytes> units;
  int64_t gradients = 0, kept = 0;  // Of a sample: inputs of all units but the first.
  for (const Unit* unit : segment) {
    units.push_back(BytesOf(*unit, compute_type));
    if (units.size() > 1) kept += units.back().input;
    gradients += units.back().gradients;
    // Its position bias with the gradient, for all parts.
    if (const auto* block = dynamic_cast<const SwinBlock*>(unit)) {
      gradients += 2 * block->position_bias_values() * kFloatBytes;
    }
  }
  const int64_t first = units.front().input, last = units.back().output;
  const double share = compute_type == c10::ScalarType::Float ? 1.0 : kHalfShare;
  const double maps =
      share * (kLeastMaps + kMoreMaps * std::min(static_cast<double>(batch) / kManyLaunches,
                                                 kManyLaunches / static_cast<double>(batch)));
  // End to end every unit's input is there at once, and so may be taken: less would cost launches
  // for what local learning is for.
  const int64_t sample =
      std::max(static_cast<int64_t>(maps * static_cast<double>(BytesOf(largest_map))),
               of.is_network ? first + kept : 0);
  const int64_t bound = batch * sample;
  std::optional<Candidate> best;
  for (int64_t count = 1; count <= (of.in_parts ? batch : 1); ++count) {
    const int64_t size = Parts(batch, count);
    if (Parts(batch, size) != count) continue;
    Candidate candidate;
    candidate.plan.micro_batch = size;
    // Of the batch its input and output, of a micro-batch what lies between and the gradient.
    const int64_t held = batch * (first + last) + size * (kept + last);
    int64_t launches = of.has_losses ? kLossLaunches : 0;
    for (const UnitBytes& unit : units) {
      const int64_t forward_room = bound - held, room = forward_room - gradients;
      const int64_t forward = std::clamp<int64_t>(forward_room / unit.forward, 1, size);
      // Those of a part lie beside what others have added up.
      const bool is_whole = count == 1 && room >= size * unit.backward;
      const int64_t part_room = room - unit.gradients;
      const int64_t backward =
          is_whole ? size : std::clamp<int64_t>(part_room / unit.backward, 1, size);
      candidate.fits = candidate.fits && (is_whole || part_room >= unit.backward);
      candidate.plan.forward.push_back(forward);
      candidate.plan.backward.push_back(backward);
      const auto& [once, again, back] = unit.launches;
      launches += once * Parts(size, forward) + (again + back) * Parts(size, backward);
    }
    // The last one, whose backward pass comes at once, is not computed again as a whole.
    if (candidate.plan.backward.back() == size) launches -= units.back().launches.again;
    candidate.launches = count * launches;
    const bool is_better = !best || candidate.fits > best->fits ||
                           (candidate.fits == best->fits && candidate.launches < best->launches);
    if (is_better) best = candidate;
  }
  return best->plan;
}

}  // namespace localformer
