// See module_costs.h.
#include "local/module_costs.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <memory>
#include <string>
#include <vector>

#include "coded_error.h"
#include "local/module_trainer.h"
#include "math/product_choices.h"
#include "memory/dry_run.h"
#include "swin/embedding.h"
#include "train/device.h"
#include "train/step_timer.h"

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

// A module alone, and what it would be given.
struct Trial {
  Trial(const SwinModel& model, c10::Device device, const MeasureModuleOptions& options,
        const Segment& segment, const ModuleOptions& own)
      : module(0, segment, static_cast<size_t>(options.end) == model.units().size(),
               SiteOf(model, static_cast<size_t>(options.begin), static_cast<size_t>(options.end),
                      own.target),
               model.units()[0]->output(), own, generator, nullptr),
        own_bytes(AllocatedBytes(device)),
        floats(at::TensorOptions().dtype(at::kFloat).device(device)) {
    const int64_t batch = options.batch_size, side = model.options().image_size;
    supervision.labels = at::zeros({batch}, floats.dtype(at::kLong));
    if (module.reconstructs() && own.target == Target::kImage) {
      // Kept from the first module to the last, so that it is none of this one's.
      supervision.patches =
          CutIntoPatches(at::zeros({batch, 3, side, side}, floats), model.options().patch_size);
    }
    const FeatureShape& input = segment.front()->input();
    shape = {batch, input.height, input.width, input.channels};
  }

  void Rehearse(const std::atomic<bool>* cancelled) {
    ForwardContext context;
    context.training = true;
    context.generator = &generator;
    context.cancelled = cancelled;
    module.Rehearse(at::zeros(shape, floats), supervision, context);
  }

  at::Generator generator = at::detail::createCPUGenerator(0);
  ModuleTrainer module;
  int64_t own_bytes;  // Allocated when the module was made, and nothing that it is given.
  at::TensorOptions floats;
  Supervision supervision;
  std::vector<int64_t> shape;
};

// What a module takes while it is at work is the same wherever it waits.
ModuleOptions AtWork(ModuleOptions options) {
  options.offload = OffloadWhat::kNone;
  return options;
}

}  // namespace

ModuleCost MeasureModule(const SwinModel& model, c10::Device device,
                         const MeasureModuleOptions& options, const std::atomic<bool>* cancelled) {
  Check(options, model.units().size());
  // On the CPU what it takes is known without computing it.
  const DryRunScope dry(device);
  const WithoutCache fresh(device);
  const Segment segment =
      model.Slice(static_cast<size_t>(options.begin), static_cast<size_t>(options.end));
  TensorsInUse parameters = UseParameters(segment);
  parameters.Await();
  const ModuleOptions own = AtWork(options.module);
  const int64_t optimizer = OptimizerBytes(segment, own.optimizer, device);
  const int64_t before = AllocatedBytes(device);
  Trial trial(model, device, options, segment, own);
  ModuleCost cost;
  cost.resident = trial.own_bytes - before - optimizer;
  const int64_t resident = AllocatedBytes(device);
  const PeakWindow window = OpenPeakWindow(device);
  trial.Rehearse(cancelled);
  Synchronize(device);
  cost.peak = window.PeakAllocated() - resident;
  return cost;
}

double TimeModule(const SwinModel& model, c10::Device device, const MeasureModuleOptions& options,
                  const std::atomic<bool>* cancelled) {
  Check(options, model.units().size());
  const Segment segment =
      model.Slice(static_cast<size_t>(options.begin), static_cast<size_t>(options.end));
  TensorsInUse parameters = UseParameters(segment);
  parameters.Await();
  ProductChoices choices;
  const MathInUse math(options.module.math, &choices);
  Trial trial(model, device, options, segment, AtWork(options.module));
  return SecondsOf(device, [&] { trial.Rehearse(cancelled); });
}

}  // namespace localformer
