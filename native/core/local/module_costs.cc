// See module_costs.h.
#include "local/module_costs.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <memory>
#include <string>

#include "coded_error.h"
#include "local/module_trainer.h"
#include "memory/dry_run.h"
#include "swin/embedding.h"
#include "train/device.h"

namespace localformer {
namespace {

void Check(const MeasureModuleOptions& options, size_t units) {
  const auto count = static_cast<int64_t>(units);
  if (options.begin >= 0 && options.begin < options.end && options.end <= count &&
      options.batch_size >= 1) {
    return;
  }
  throw CodedError("ERR_CONFIG", "Expected units within 0 to " + std::to_string(count) +
                                     " and at least one sample to measure");
}

// What an optimizer of the segment alone keeps: the same in every split.
int64_t OptimizerBytes(const Segment& segment, const OptimizerOptions& options,
                       c10::Device device) {
  ParameterList parameters;
  for (const Unit* unit : segment) {
    for (auto& parameter : unit->Parameters()) parameters.push_back(std::move(parameter));
  }
  const int64_t before = AllocatedBytes(device);
  const std::unique_ptr<Optimizer> optimizer = CreateOptimizer(options, parameters);
  return AllocatedBytes(device) - before;
}

}  // namespace

ModuleCost MeasureModule(const SwinModel& model, c10::Device device,
                         const MeasureModuleOptions& options, const std::atomic<bool>* cancelled) {
  Check(options, model.units().size());
  // On the CPU what it takes is known without computing it.
  const DryRunScope dry(device);
  ForgetCache(device);
  const auto begin = static_cast<size_t>(options.begin), end = static_cast<size_t>(options.end);
  at::Generator generator = at::detail::createCPUGenerator(0);
  const Segment segment = model.Slice(begin, end);
  TensorsInUse parameters = UseParameters(segment);
  parameters.Await();
  // What a module takes while it is at work is the same wherever it waits.
  ModuleOptions own = options.module;
  own.offload = OffloadWhat::kNone;
  const int64_t optimizer = OptimizerBytes(segment, own.optimizer, device);
  const int64_t before = AllocatedBytes(device);
  ModuleTrainer module(0, segment, end == model.units().size(),
                       SiteOf(model, begin, end, own.target), model.units()[0]->output(), own,
                       generator, nullptr);
  ModuleCost cost;
  cost.resident = AllocatedBytes(device) - before - optimizer;
  const int64_t batch = options.batch_size, side = model.options().image_size;
  const at::TensorOptions floats = at::TensorOptions().dtype(at::kFloat).device(device);
  Supervision supervision;
  supervision.labels = at::zeros({batch}, floats.dtype(at::kLong));
  if (module.reconstructs() && own.target == Target::kImage) {
    // Kept from the first module to the last, so that it is none of this one's.
    supervision.patches =
        CutIntoPatches(at::zeros({batch, 3, side, side}, floats), model.options().patch_size);
  }
  ForwardContext context;
  context.training = true;
  context.generator = &generator;
  context.cancelled = cancelled;
  const int64_t resident = AllocatedBytes(device);
  const PeakWindow window = OpenPeakWindow(device);
  const FeatureShape& input = segment.front()->input();
  module.Rehearse(at::zeros({batch, input.height, input.width, input.channels}, floats),
                  supervision, context);
  Synchronize(device);
  cost.peak = window.PeakAllocated() - resident;
  return cost;
}

}  // namespace localformer
