// See unit_costs.h.
#include "local/unit_costs.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <algorithm>
#include <utility>

#include "fields.h"
#include "kernels/cpu.h"
#include "math/work_count.h"
#include "memory/dry_run.h"
#include "train/device.h"

namespace localformer {
namespace {

UnitCost MeasureUnit(const Unit& unit, const ForwardContext& context,
                     const SegmentPassOptions& options, c10::Device device, int64_t batch) {
  const WithoutCache fresh(device);
  const FeatureShape& shape = unit.input();
  const ParameterList parameters = unit.Parameters();
  const GradientsCleared cleared(parameters);
  const int64_t before = AllocatedBytes(device);
  UnitCost cost;
  for (const auto& parameter : parameters) {
    cost.gradients += static_cast<int64_t>(parameter.second.nbytes());
  }
  std::unique_ptr<SegmentPass> pass;
  {
    const PeakWindow window = OpenPeakWindow(device);
    at::Tensor input = at::zeros({batch, shape.height, shape.width, shape.channels},
                                 at::TensorOptions().device(device));
    cost.input = static_cast<int64_t>(input.nbytes());
    // Inside a module the gradient goes on to the unit before.
    input.requires_grad_(options.recompute != Recompute::kBlock);
    pass = SegmentPass::Run({&unit}, std::move(input), context, options);
    cost.forward_peak = window.PeakAllocated() - before;
  }
  cost.output = static_cast<int64_t>(pass->output().nbytes());
  cost.kept = AllocatedBytes(device) - before - cost.output;
  const PeakWindow window = OpenPeakWindow(device);
  pass->Backward(at::zeros_like(pass->output()), /*energy_weight=*/0.0);
  cost.backward_peak = window.PeakAllocated() - before;
  return cost;
}

// What units are measured with, one after the other.
class UnitTrials {
 public:
  UnitTrials(const SwinModel& model, c10::Device device, const MeasureOptions& measure,
             const std::atomic<bool>* cancelled)
      : largest_(model.units()[0]->output()),
        device_(device),
        measure_(measure),
        batch_(AtLeast(1, measure.batch_size, "batchSize")) {
    context_.training = true;
    context_.generator = &generator_;
    context_.compute_type = measure.compute_type;
    context_.cancelled = cancelled;
    options_.recompute = measure.recompute;
    options_.chunk_values = RecomputedValues(batch_, largest_);
  }

  UnitCost Of(const Unit& unit) {
    TensorsInUse parameters = UseParameters({&unit});
    parameters.Await();
    if (measure_.recompute == Recompute::kBlock && !HasVectorKernels(device_, at::kFloat)) {
      options_.plan = PlanRecompute({&unit}, batch_, largest_, measure_.compute_type, {});
    }
    return MeasureUnit(unit, context_, options_, device_, batch_);
  }

 private:
  const FeatureShape& largest_;
  c10::Device device_;
  MeasureOptions measure_;
  int64_t batch_;
  at::Generator generator_ = at::detail::createCPUGenerator(0);
  ForwardContext context_;
  SegmentPassOptions options_;
};

}  // namespace

std::vector<UnitCost> MeasureUnits(const SwinModel& model, c10::Device device,
                                   const MeasureOptions& measure,
                                   const std::atomic<bool>* cancelled) {
  const DryRunScope dry(device);
  UnitTrials trials(model, device, measure, cancelled);
  std::vector<UnitCost> costs;
  for (const auto& unit : model.units()) costs.push_back(trials.Of(*unit));
  return costs;
}

std::vector<double> TimeUnits(const SwinModel& model, c10::Device device,
                              const MeasureOptions& measure, const std::atomic<bool>* cancelled) {
  UnitTrials trials(model, device, measure, cancelled);
  std::vector<double> seconds;
  for (const auto& unit : model.units()) {
    const WorkCount before = CountedWork();
    trials.Of(*unit);
    if (IsDryRun() || !device.is_cpu()) {
      // Any rate will do: shares are what is asked for.
      const WorkCount now = CountedWork();
      seconds.push_back(
          static_cast<double>(now.float32 - before.float32 + now.bfloat16 - before.bfloat16) /
          1e11);
      continue;
    }
    double least = 0.0;
    for (int i = 0; i < 2; ++i) {
      Stopwatch stopwatch(device);
      trials.Of(*unit);
      stopwatch.Stop();
      Synchronize(device);
      least = i == 0 ? stopwatch.Seconds() : std::min(least, stopwatch.Seconds());
    }
    seconds.push_back(least);
  }
  return seconds;
}

}  // namespace localformer
