// See unit_costs.h.
#include "local/unit_costs.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <utility>

#include "fields.h"
#include "kernels/cpu.h"
#include "memory/dry_run.h"
#include "train/device.h"

namespace localformer {
namespace {

UnitCost MeasureUnit(const Unit& unit, const ForwardContext& context,
                     const SegmentPassOptions& options, c10::Device device, int64_t batch) {
  const FeatureShape& shape = unit.input();
  const ParameterList parameters = unit.Parameters();
  const GradientsCleared cleared(parameters);
  ForgetCache(device);
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

}  // namespace

std::vector<UnitCost> MeasureUnits(const SwinModel& model, c10::Device device,
                                   const MeasureOptions& measure,
                                   const std::atomic<bool>* cancelled) {
  const int64_t batch = AtLeast(1, measure.batch_size, "batchSize");
  const DryRunScope dry(device);
  at::Generator generator = at::detail::createCPUGenerator(0);
  ForwardContext context;
  context.training = true;
  context.generator = &generator;
  context.compute_type = measure.compute_type;
  context.cancelled = cancelled;
  const FeatureShape& largest = model.units()[0]->output();
  SegmentPassOptions options;
  options.recompute = measure.recompute;
  options.chunk_values = RecomputedValues(batch, largest);
  std::vector<UnitCost> costs;
  for (const auto& unit : model.units()) {
    TensorsInUse parameters = UseParameters({unit.get()});
    parameters.Await();
    if (measure.recompute == Recompute::kBlock && !HasVectorKernels(device, at::kFloat)) {
      options.plan = PlanRecompute({unit.get()}, batch, largest, measure.compute_type, {});
    }
    costs.push_back(MeasureUnit(*unit, context, options, device, batch));
  }
  return costs;
}

}  // namespace localformer
