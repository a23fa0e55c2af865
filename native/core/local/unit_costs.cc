// See unit_costs.h.
#include "local/unit_costs.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <utility>

#include "fields.h"
#include "kernels/cpu.h"
#include "memory/dry_run.h"
#include "train/device.h"
#include "train/step_timer.h"

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
                              const TimeOptions& measure, const std::atomic<bool>* cancelled) {
  ProductChoices choices;
  const MathInUse math(measure.math, &choices);
  UnitTrials trials(model, device, measure, cancelled);
  std::vector<double> seconds;
  for (const auto& unit : model.units()) {
    seconds.push_back(SecondsOf(device, [&] { trials.Of(*unit); }));
  }
  return seconds;
}

}  // namespace localformer
