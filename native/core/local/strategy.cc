// See strategy.h.
#include "local/strategy.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <chrono>

#include "train/device.h"

namespace localformer {
namespace {

// Shape of what module `begin` receives, as its decoder gives it back.
FeatureShape TargetShape(const SwinModel& model, size_t begin) {
  if (begin > 0) return model.units()[begin - 1]->output();
  const int64_t patch = model.options().patch_size;
  const int64_t grid = model.options().image_size / patch;
  return {grid, grid, 3 * patch * patch};
}

}  // namespace

Strategy::Strategy(std::shared_ptr<SwinModel> model, const std::vector<size_t>& ends,
                   const ModuleOptions& options, uint64_t seed)
    : model_(std::move(model)), generator_(at::detail::createCPUGenerator(seed)) {
  size_t begin = 0;
  for (size_t end : ends) {
    const bool last = end == model_->units().size();
    modules_.push_back(std::make_unique<ModuleTrainer>(
        "module " + std::to_string(modules_.size() + 1), model_->Slice(begin, end), last,
        TargetShape(*model_, begin), model_->options().classes, options, generator_));
    begin = end;
  }
}

StepResult Strategy::Step(at::Tensor images, const at::Tensor& labels, double learning_rate,
                          const std::atomic<bool>* cancelled) {
  const auto start = std::chrono::steady_clock::now();
  const c10::Device device = labels.device();
  const PeakWindow window = OpenPeakWindow(device);
  StepResult result;
  at::Tensor features = std::move(images);
  for (size_t k = 0; k < modules_.size(); ++k) {
    at::Tensor output;
    result.modules.push_back(
        StepModule(k, std::move(features), labels, learning_rate, cancelled, &output));
    features = std::move(output);
  }
  Synchronize(device);
  result.peak_allocated_bytes = window.PeakAllocated();
  result.peak_reserved_bytes = window.PeakReserved();
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return result;
}

ModuleStepResult Strategy::StepModule(size_t index, at::Tensor features, const at::Tensor& labels,
                                      double learning_rate, const std::atomic<bool>* cancelled,
                                      at::Tensor* output) {
  ForwardContext context;
  context.training = true;
  context.generator = &generator_;
  context.cancelled = cancelled;
  return modules_[index]->Step(
      std::move(features), labels, learning_rate, context, output,
      [this](ModuleStepResult* result) {
        for (size_t k = 0; k < modules_.size(); ++k) {
          if (modules_[k]->HasGradient()) {
            result->modules_with_gradients.push_back(static_cast<int64_t>(k));
          }
        }
      });
}

ParameterList Strategy::AuxiliaryParameters() const {
  ParameterList list;
  for (size_t k = 0; k < modules_.size(); ++k) {
    AppendWithPrefix("auxiliary." + std::to_string(k), modules_[k]->auxiliary_parameters(), &list);
  }
  return list;
}

BackpropStrategy::BackpropStrategy(std::shared_ptr<SwinModel> model, const ModuleOptions& options,
                                   uint64_t seed)
    : Strategy(model, {model->units().size()}, options, seed) {}

}  // namespace localformer
