// See strategy.h.
#include "local/strategy.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <algorithm>
#include <chrono>

#include "coded_error.h"
#include "math/tuning_clock.h"
#include "memory/work_place.h"
#include "swin/embedding.h"
#include "train/device.h"
#include "train/out_of_memory.h"

namespace localformer {
namespace {

void CheckEnds(const TrainerOptions& options, int64_t units) {
  const std::vector<int64_t>& ends = options.ends;
  if (ends.size() != options.modules.size()) {
    throw CodedError("ERR_CONFIG", "Expected the options of " + std::to_string(ends.size()) +
                                       " modules but received those of " +
                                       std::to_string(options.modules.size()));
  }
  int64_t begin = 0;
  for (const int64_t end : ends) begin = end > begin ? end : units + 1;
  if (begin == units) return;
  throw CodedError("ERR_CONFIG", "Expected rising indices up to " + std::to_string(units) +
                                     " for `ends` but received others");
}

}  // namespace

Strategy::Strategy(std::shared_ptr<SwinModel> model, const TrainerOptions& options)
    : model_(std::move(model)),
      label_(options.label.value_or("")),
      generator_(at::detail::createCPUGenerator(options.seed)) {
  const WorkPlaceScope place(label_, "trainer", "weights");
  CheckEnds(options, static_cast<int64_t>(model_->units().size()));
  const auto offloads = [](const ModuleOptions& own) { return own.offload != OffloadWhat::kNone; };
  if (std::any_of(options.modules.begin(), options.modules.end(), offloads)) {
    copies_ = std::make_shared<CopyStream>(model_->parameters().front().second.device());
  }
  size_t begin = 0;
  for (size_t k = 0; k < options.ends.size(); ++k) {
    const auto end = static_cast<size_t>(options.ends[k]);
    const ModuleOptions& own = options.modules[k];
    modules_.push_back(std::make_unique<ModuleTrainer>(
        static_cast<int64_t>(k), model_->Slice(begin, end), end == model_->units().size(),
        SiteOf(*model_, begin, end, own.target), model_->units()[0]->output(), own, generator_,
        copies_));
    for (size_t i = begin; own.offload == OffloadWhat::kModules && i < end; ++i) {
      claims_.push_back(model_->units()[i]->OffloadParameters(copies_));
    }
    begin = end;
  }
}

at::Tensor Strategy::Patches(const at::Tensor& images) const {
  return CutIntoPatches(images, model_->options().patch_size);
}

bool Strategy::needs_image() const {
  return std::any_of(modules_.begin(), modules_.end(), [](const auto& module) {
    return module->reconstructs() && module->options().target == Target::kImage;
  });
}

StepResult Strategy::Step(at::Tensor images, Supervision supervision, const StepOptions& options,
                          std::chrono::steady_clock::time_point start,
                          const std::atomic<bool>* cancelled) {
  const c10::Device device = supervision.labels.device();
  const PeakWindow window = OpenPeakWindow(device);
  const auto timeline = options.timeline
                            ? std::make_shared<MemoryTimeline>(device, AllocatedBytes(device))
                            : std::shared_ptr<MemoryTimeline>();
  const MemoryTimelineScope scope(timeline);
  std::optional<CallLog> calls;
  if (options.calls) calls.emplace();
  StepResult result;
  const double tuned_before = TuningSeconds();
  const Transfers before = copies_ ? copies_->transfers() : Transfers();
  const size_t count = std::min(modules_.size(), options.learning_rates.size());
  WeightRelay weights(*this, count, [&](const ModuleTrainer& module) {
    const bool learns = options.learning_rates[static_cast<size_t>(module.index())].has_value();
    return learns ? module.UseWeights() : module.UseSegment();
  });
  at::Tensor features = Patches(images);
  images.reset();
  if (needs_image()) supervision.patches = features;
  ForwardContext passing;
  passing.cancelled = cancelled;
  StepsUnderway underway(device);
  try {
    for (size_t k = 0; k < count; ++k) {
      weights.Advance();
      const std::optional<double>& rate = options.learning_rates[k];
      at::Tensor output;
      if (rate) {
        BeginModule(k, std::move(features), supervision, {*rate, options.clip_norm}, cancelled,
                    &underway, &output);
      } else {
        underway.steps.push_back(modules_[k]->Pass(std::move(features), passing, &output));
      }
      features = std::move(output);
    }
    weights.Advance();
  } catch (...) {
    // A module before it may have failed too, which the host would have learned of only now: that
    // one is told. What else goes wrong meanwhile is not what the step failed of.
    try {
      Settle(0, &underway);
    } catch (const CodedError&) {
      throw;
    } catch (...) {
    }
    throw;
  }
  result.modules = Settle(0, &underway);
  if (copies_) result.transfers = copies_->transfers() - before;
  result.peak_allocated_bytes = window.PeakAllocated();
  result.peak_reserved_bytes = window.PeakReserved();
  if (timeline) result.timeline = timeline->Points();
  if (calls) result.calls = calls->Finish();
  result.seconds = std::chrono::duration<double>(WorkNow() - start).count();
  result.tuning_seconds = TuningSeconds() - tuned_before;
  return result;
}

ModuleStepResult Strategy::StepModule(size_t index, at::Tensor features,
                                      const Supervision& supervision, const UpdateOptions& update,
                                      const std::atomic<bool>* cancelled, at::Tensor* output) {
  StepsUnderway underway(supervision.labels.device());
  BeginModule(index, std::move(features), supervision, update, cancelled, &underway, output);
  return Settle(index, &underway).front();
}

void Strategy::BeginModule(size_t index, at::Tensor features, const Supervision& supervision,
                           const UpdateOptions& update, const std::atomic<bool>* cancelled,
                           StepsUnderway* underway, at::Tensor* output) {
  // A module that fails has drawn nothing.
  at::Generator generator = generator_.clone();
  ForwardContext context;
  context.training = true;
  context.generator = &generator;
  context.cancelled = cancelled;
  underway->steps.push_back(
      modules_[index]->Step(std::move(features), supervision, update, context, &underway->readings,
                            output, [this](ModuleStepResult* result) {
                              for (size_t k = 0; k < modules_.size(); ++k) {
                                if (modules_[k]->HasGradient()) {
                                  result->modules_with_gradients.push_back(static_cast<int64_t>(k));
                                }
                              }
                            }));
  underway->generators.push_back(std::exchange(generator_, std::move(generator)));
}

std::vector<ModuleStepResult> Strategy::Settle(size_t first, StepsUnderway* underway) {
  const std::vector<std::vector<float>> kept = underway->readings.Read();
  std::vector<ModuleStepResult> results;
  auto numbers = kept.begin();
  auto generator = underway->generators.begin();
  for (UnsettledStep& step : underway->steps) {
    const ModuleTrainer& module = *modules_[first + results.size()];
    const bool learned = step.result.learned;
    try {
      results.push_back(module.Settle(
          &step, learned && numbers != kept.end() ? *numbers++ : std::vector<float>()));
    } catch (...) {
      // Neither it nor a later one has changed anything.
      for (size_t k = results.size(); k < underway->steps.size(); ++k) {
        modules_[first + k]->Forget(underway->steps[k]);
      }
      generator_ = std::move(*generator);
      throw;
    }
    if (learned) ++generator;
  }
  return results;
}

at::Tensor Strategy::ForwardModule(size_t index, at::Tensor features,
                                   const std::atomic<bool>* cancelled) {
  ForwardContext context;
  context.cancelled = cancelled;
  const ModuleTrainer& module = *modules_[index];
  TensorsInUse weights = module.UseSegment();
  weights.Await();
  return module.Forward(std::move(features), context);
}

ParameterList Strategy::AuxiliaryParameters() const {
  ParameterList list;
  for (size_t k = 0; k < modules_.size(); ++k) {
    AppendWithPrefix("auxiliary." + std::to_string(k), modules_[k]->auxiliary_parameters(), &list);
  }
  return list;
}

void Strategy::KeepAverage(std::optional<double> decay) {
  std::vector<std::unique_ptr<WeightAverage>> averages(modules_.size());
  if (decay) {
    std::transform(modules_.begin(), modules_.end(), averages.begin(),
                   [&](const auto& module) { return module->MakeAverage(*decay); });
  }
  for (size_t k = 0; k < modules_.size(); ++k) modules_[k]->SetAverage(std::move(averages[k]));
}

ParameterList Strategy::AverageParameters() const {
  ParameterList network, auxiliary;
  for (size_t k = 0; k < modules_.size(); ++k) {
    const ModuleTrainer& module = *modules_[k];
    if (module.average() == nullptr) return {};
    auto value = module.average()->values().begin();
    for (const auto& parameter : module.segment_parameters()) {
      network.emplace_back(parameter.first, *value++);
    }
    const std::string prefix = "auxiliary." + std::to_string(k) + ".";
    for (const auto& parameter : module.auxiliary_parameters()) {
      auxiliary.emplace_back(prefix + parameter.first, *value++);
    }
  }
  network.insert(network.end(), auxiliary.begin(), auxiliary.end());
  return network;
}

WeightRelay::WeightRelay(const Strategy& strategy, size_t count, Use use)
    : strategy_(strategy), count_(count), use_(std::move(use)), ahead_(Of(0, 0)) {}

void WeightRelay::Advance() {
  // Changed or not was said by the step. Released first: the same stream then has room for the
  // next.
  at_work_.Release(/*changed=*/false);
  at_work_ = std::move(ahead_);
  ++next_;
  ahead_ = Of(next_, next_ - 1);
  at_work_.Await();
}

TensorsInUse WeightRelay::Of(size_t index, size_t at_work) const {
  if (index >= count_) return {};
  try {
    return use_(*strategy_.modules()[index]);
  } catch (const c10::Error& error) {
    if (!IsOutOfMemory(error)) throw;
    const c10::Device device = strategy_.model().parameters().front().second.device();
    throw OutOfMemory(device, strategy_.modules()[at_work]->name(), WordOf(Phase::kForward));
  }
}

}  // namespace localformer
