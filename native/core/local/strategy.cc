// See strategy.h.
#include "local/strategy.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <algorithm>
#include <chrono>

#include "coded_error.h"
#include "math/tuning_clock.h"
#include "memory/absent_tensors.h"
#include "memory/memory_stats.h"
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
  const c10::Device device = model_->parameters().front().second.device();
  Release();
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
  Handover batch;
  if (division_ && division_->training_in) {
    batch = division_->training_in->Receive();
  } else {
    batch.features = Patches(images);
    images.reset();
    if (needs_image()) supervision.patches = batch.features;
    batch.supervision = std::move(supervision);
  }
  if (division_ && division_->training_out) division_->training_out->Check(batch.supervision);
  batch.stops |= options.stop;
  StepsUnderway underway(device);
  try {
    StepModules(std::move(batch), options, cancelled, &underway);
  } catch (...) {
    // A module before it may have failed too, which the host would have learned of only now: that
    // one is told. What else goes wrong meanwhile is not what the step failed of.
    try {
      Settle(&underway);
    } catch (const CodedError&) {
      throw;
    } catch (...) {
    }
    throw;
  }
  result.modules = Settle(&underway);
  result.stops = underway.stops;
  if (copies_) result.transfers = copies_->transfers() - before;
  result.peak_allocated_bytes = window.PeakAllocated();
  result.peak_reserved_bytes = window.PeakReserved();
  if (timeline) result.timeline = timeline->Points();
  if (calls) result.calls = calls->Finish();
  result.seconds = std::chrono::duration<double>(WorkNow() - start).count();
  result.tuning_seconds = TuningSeconds() - tuned_before;
  return result;
}

void Strategy::StepModules(Handover batch, const StepOptions& options,
                           const std::atomic<bool>* cancelled, StepsUnderway* underway) {
  at::Tensor features = std::move(batch.features);
  const Supervision& supervision = batch.supervision;
  underway->stops = batch.stops;
  const size_t count = std::min(modules_.size(), options.learning_rates.size());
  WeightRelay weights(
      *this, FirstHere(), std::min(count, LastHere()), [&](const ModuleTrainer& module) {
        const auto k = static_cast<size_t>(module.index());
        return options.learning_rates[k] ? module.UseWeights() : module.UseSegment();
      });
  ForwardContext passing;
  passing.cancelled = cancelled;
  // A module whose gradients are being added up over the ranks while the next one runs forward.
  std::optional<size_t> pending;
  bool has_told = false;
  std::optional<StepUnderway> pending_step;
  const auto update_of = [&](size_t k) {
    return UpdateOptions{*options.learning_rates[k], options.clip_norm};
  };
  const auto finish_pending = [&] {
    if (!pending) return;
    const size_t k = *pending;
    underway->steps.push_back(
        modules_[k]->Finish(&*pending_step, update_of(k), &underway->readings));
    pending.reset();
    pending_step.reset();
  };
  try {
    for (size_t k = 0; k < count; ++k) {
      const bool learns = options.learning_rates[k].has_value();
      if (division_ && !division_->Has(k)) {
        finish_pending();
        underway->steps.emplace_back(supervision.labels.device());
        underway->steps.back().result.learned = false;
        underway->steps.back().stopwatch.Stop();
        // Random numbers are drawn in the order in which one process would.
        if (learns) modules_[k]->DrawInVain(WholeBatch(supervision), generator_);
        continue;
      }
      weights.Advance();
      at::Tensor output;
      if (learns) {
        has_told = true;
        StepUnderway step =
            BeginModule(k, std::move(features), supervision, cancelled, finish_pending, underway);
        output = step.output;
        if (step.sum) {
          pending_step.emplace(std::move(step));
          pending = k;
        } else {
          underway->steps.push_back(modules_[k]->Finish(&step, update_of(k), &underway->readings));
        }
      } else {
        finish_pending();
        underway->steps.push_back(modules_[k]->Pass(std::move(features), passing, &output));
      }
      if (division_ && k + 1 == division_->last() && division_->training_out && k + 1 < count) {
        division_->training_out->Send({output, supervision, batch.stops});
      }
      features = std::move(output);
      if (division_ && division_->training_in) division_->training_in->Progress();
    }
    finish_pending();
    // Where a module learns it goes with the gradients.
    if (division_ && division_->replicas() != nullptr && !has_told) {
      const at::Tensor told = at::full({1}, underway->stops, at::kDouble);
      division_->replicas()->Sum(told).Wait();
      underway->stops = told.item<double>() > 0.0;
    }
  } catch (...) {
    if (pending) modules_[*pending]->Abandon(&*pending_step);
    ForgetDraws(underway);
    throw;
  }
  weights.Advance();
}

void Strategy::ForgetDraws(StepsUnderway* underway) {
  const auto learned = [](const UnsettledStep& step) { return step.result.learned; };
  const auto drawn = underway->generators.begin() +
                     std::count_if(underway->steps.begin(), underway->steps.end(), learned);
  if (drawn == underway->generators.end()) return;
  generator_ = std::move(*drawn);
  underway->generators.erase(drawn, underway->generators.end());
}

int64_t Strategy::WholeBatch(const Supervision& supervision) const {
  const int64_t own = supervision.labels.size(0);
  return division_ ? own * division_->replica_count() : own;
}

ModuleStepResult Strategy::StepModule(size_t index, at::Tensor features,
                                      const Supervision& supervision, const UpdateOptions& update,
                                      const std::atomic<bool>* cancelled, at::Tensor* output) {
  StepsUnderway underway(supervision.labels.device());
  underway.first = index;
  StepUnderway step =
      BeginModule(index, std::move(features), supervision, cancelled, {}, &underway);
  *output = step.output;
  try {
    underway.steps.push_back(modules_[index]->Finish(&step, update, &underway.readings));
  } catch (...) {
    ForgetDraws(&underway);
    throw;
  }
  return Settle(&underway).front();
}

StepUnderway Strategy::BeginModule(size_t index, at::Tensor features,
                                   const Supervision& supervision,
                                   const std::atomic<bool>* cancelled,
                                   const std::function<void()>& after_forward,
                                   StepsUnderway* underway) {
  // A module that fails has drawn nothing.
  at::Generator generator = generator_.clone();
  ForwardContext context;
  context.training = true;
  context.generator = &generator;
  context.cancelled = cancelled;
  if (division_ && division_->replicas() != nullptr) {
    context.batch_size = WholeBatch(supervision);
    context.first_sample = division_->replica() * supervision.labels.size(0);
  }
  StepUnderway step = modules_[index]->Begin(
      std::move(features), supervision, context, division_ ? division_->replicas() : nullptr,
      underway->stops ? 1.0 : 0.0, after_forward, [this](ModuleStepResult* result) {
        for (size_t k = 0; k < modules_.size(); ++k) {
          if (modules_[k]->HasGradient()) {
            result->modules_with_gradients.push_back(static_cast<int64_t>(k));
          }
        }
      });
  underway->generators.push_back(std::exchange(generator_, std::move(generator)));
  return step;
}

std::vector<ModuleStepResult> Strategy::Settle(StepsUnderway* underway) {
  const std::vector<std::vector<float>> kept =
      underway->readings.Read(/*own=*/division_ != nullptr);
  // A card whose connection is given up goes on with whatever it has.
  if (division_) division_->group().ThrowIfLost();
  std::vector<ModuleStepResult> results;
  auto numbers = kept.begin();
  auto generator = underway->generators.begin();
  for (UnsettledStep& step : underway->steps) {
    const ModuleTrainer& module = *modules_[underway->first + results.size()];
    const bool learned = step.result.learned;
    try {
      results.push_back(module.Settle(
          &step, learned && numbers != kept.end() ? *numbers++ : std::vector<float>()));
    } catch (...) {
      // Neither it nor a later one has changed anything.
      for (size_t k = results.size(); k < underway->steps.size(); ++k) {
        modules_[underway->first + k]->Forget(underway->steps[k]);
      }
      generator_ = std::move(*generator);
      throw;
    }
    underway->stops |= step.told.value().value_or(0.0) > 0.0;
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

void Strategy::Divide(std::shared_ptr<ProcessGroup> group, const DivisionOptions& options) {
  if (copies_) {
    throw CodedError("ERR_CONFIG", "Offloading and several ranks do not go together",
                     "Leave `offload` out: each rank has the weights of its own modules alone.");
  }
  auto division = std::make_unique<Division>(std::move(group), options, modules_.size(),
                                             model_->parameters().front().second.device());
  const bool is_shared = division->replicas() != nullptr;
  for (const auto& module : modules_) {
    if (is_shared && module->needs_whole_batch()) {
      throw CodedError("ERR_CONFIG",
                       "The decoder of " + module->name() +
                           " normalises over the whole batch (BatchNorm), which ranks that share a "
                           "batch do not see",
                       "Use decoder linear, conv or transformer, or parallel modules.");
    }
  }
  division_ = std::move(division);
}

size_t Strategy::FirstHere() const { return division_ ? division_->first() : 0; }
size_t Strategy::LastHere() const { return division_ ? division_->last() : modules_.size(); }

std::vector<at::Tensor> Strategy::ValuesOf(size_t module) const {
  const ModuleTrainer& own = *modules_[module];
  std::vector<at::Tensor> values;
  for (const auto& [name, parameter] : own.AllParameters()) values.push_back(parameter.detach());
  if (own.optimizer() != nullptr) {
    for (const auto& [name, state] : own.optimizer()->State()) values.push_back(state);
  }
  if (own.average() != nullptr) {
    const std::vector<at::Tensor>& averages = own.average()->values();
    values.insert(values.end(), averages.begin(), averages.end());
  }
  return values;
}

void Strategy::Release() {
  bool has_freed = false;
  for (size_t k = 0; division_ && k < modules_.size(); ++k) {
    if (division_->Has(k) || modules_[k]->segment().front()->is_absent()) continue;
    ModuleTrainer& module = *modules_[k];
    module.SetOptimizer(nullptr);
    module.SetAverage(nullptr);
    for (const auto& [name, parameter] : module.AllParameters()) MakeAbsent(parameter);
    SetAbsent(k, true);
    has_freed = true;
  }
  // Steps will not fill it again: it goes back to the system.
  if (has_freed) AllocatorFor(model_->parameters().front().second.device())->emptyCache();
}

void Strategy::SetAbsent(size_t module, bool is_absent) {
  size_t begin = 0;
  for (size_t k = 0; k < module; ++k) begin += modules_[k]->segment().size();
  for (size_t i = 0; i < modules_[module]->segment().size(); ++i) {
    model_->units()[begin + i]->SetAbsent(is_absent);
  }
}

void Strategy::Gather() {
  if (!division_) return;
  c10::NoGradGuard no_grad;
  Communicator& all = division_->among();
  const auto exchange = [&all](const at::Tensor& value, int owner) {
    if (all.rank() == 0) {
      all.Receive({value}, owner, Channel::kGather).Wait();
    } else {
      all.Send({value}, 0, Channel::kGather).Wait();
    }
  };
  for (size_t k = 0; k < modules_.size(); ++k) {
    const int owner = division_->OwnerOf(k);
    if (owner == 0) continue;
    ModuleTrainer& module = *modules_[k];
    if (all.rank() != 0 && all.rank() != owner) continue;
    // One that was released, or was not needed yet, is not there.
    const at::Tensor has_optimizer = at::full({}, module.optimizer() != nullptr, at::kDouble);
    exchange(has_optimizer, owner);
    if (all.rank() == 0) {
      for (const auto& [name, parameter] : module.AllParameters()) MakePresent(parameter);
      SetAbsent(k, false);
      if (has_optimizer.item<double>() == 0.0) {
        module.SetOptimizer(nullptr);
      } else if (module.optimizer() == nullptr) {
        module.SetOptimizer(module.MakeOptimizer());
      }
      if (average_decay_ && module.average() == nullptr) {
        module.SetAverage(module.MakeAverage(*average_decay_));
      }
    }
    for (const at::Tensor& value : ValuesOf(k)) exchange(value, owner);
  }
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
  average_decay_ = decay;
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

WeightRelay::WeightRelay(const Strategy& strategy, size_t first, size_t last, Use use)
    : strategy_(strategy),
      last_(last),
      use_(std::move(use)),
      next_(first),
      ahead_(Of(first, first)) {}

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
  if (index >= last_) return {};
  try {
    return use_(*strategy_.modules()[index]);
  } catch (const c10::Error& error) {
    if (!IsOutOfMemory(error)) throw;
    const c10::Device device = strategy_.model().parameters().front().second.device();
    throw OutOfMemory(device, strategy_.modules()[at_work]->name(), WordOf(Phase::kForward));
  }
}

}  // namespace localformer
