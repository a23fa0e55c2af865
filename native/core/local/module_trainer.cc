// See module_trainer.h.
#include "local/module_trainer.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "kernels/cpu.h"
#include "local/select_tokens.h"
#include "memory/dry_run.h"
#include "memory/memory_timeline.h"
#include "memory/upload.h"
#include "memory/work_place.h"
#include "swin/branch.h"
#include "swin/chunk_budget.h"
#include "swin/depth_coins.h"
#include "swin/embedding.h"
#include "swin/position_biases.h"
#include "train/added_together.h"
#include "train/allocation_watch.h"
#include "train/backward.h"
#include "train/device.h"
#include "train/device_calls.h"
#include "train/gradient_check.h"
#include "train/gradient_clip.h"
#include "train/out_of_memory.h"

namespace localformer {
namespace {

at::Tensor CountCorrect(const std::vector<at::Tensor>& answers, const at::Tensor& labels) {
  return (answers.size() == 1 ? answers.front() : at::cat(answers)).eq(labels).sum(at::kFloat);
}

at::Tensor LabelLoss(const at::Tensor& logits, const Supervision& supervision, double smoothing) {
  if (!supervision.other_labels.defined()) {
    return CrossEntropy(logits, supervision.labels, smoothing);
  }
  return MixedCrossEntropy(logits, supervision.labels, supervision.other_labels,
                           supervision.label_shares, smoothing);
}

// What the device's memory looks like after a module's work.
void Measure(c10::Device device, const PeakWindow& window, const at::Tensor& output,
             UnsettledStep* step) {
  step->result.peak_allocated_bytes = window.PeakAllocated();
  step->result.allocated_bytes_after = AllocatedBytes(device);
  step->result.feature_bytes = static_cast<int64_t>(output.nbytes());
  step->stopwatch.Stop();
}

// Everything that a step measures as a number, in the order in which it is kept.
template <typename Step, typename Visit>
void ForEachReading(Step& step, Visit&& visit) {
  visit(step.told);
  visit(step.shares);
  visit(step.label_loss);
  visit(step.reconstruction_loss);
  visit(step.penalty);
  visit(step.correct);
  visit(step.gradient_norm);
}

// Those leaves whose gradients may lie there twice for the sake of launches: these where they are
// few bytes, or none. The loops of a CPU have no launches.
std::vector<at::Tensor> WorthAddingTogether(std::vector<at::Tensor> leaves) {
  constexpr int64_t kFewBytes = int64_t{8} << 20;
  const bool pays =
      !HasVectorKernels(leaves.front().device(), at::kFloat) && BytesOf(leaves) <= kFewBytes;
  return pays ? std::move(leaves) : std::vector<at::Tensor>();
}

// Gradients of weight * loss.
void BackwardOf(const at::Tensor& loss, double weight) {
  Backward({loss}, {at::full_like(loss, weight)});
}

bool IsFinite(const Reading& reading) {
  return !reading.value() || std::isfinite(*reading.value());
}

const ModuleOptions& Checked(const ModuleOptions& options) {
  AtLeast(1, options.accumulate, "accumulate");
  if (options.chunk_size) AtLeast(1, *options.chunk_size, "chunkSize");
  if (options.sample > 0.0 && options.sample <= 1.0) return options;
  throw CodedError("ERR_CONFIG",
                   "Expected a number above 0 and up to 1 for `sample` but received " +
                       std::to_string(options.sample));
}

// A decoder that needs the whole batch gets it, or is refused.
void CheckChunks(const Decoder& decoder, const ModuleOptions& options) {
  if (!decoder.needs_whole_batch() || (!options.chunk_size && options.accumulate == 1)) return;
  const std::string what = options.accumulate > 1
                               ? std::to_string(options.accumulate) + " micro-batches"
                               : "chunks of " + std::to_string(*options.chunk_size);
  throw CodedError(
      "ERR_CONFIG",
      "Decoder `" + options.decoder.kind +
          "` normalises over the whole batch (BatchNorm) and cannot take it in " + what,
      "Leave chunks and accumulation out, or use decoder linear, conv or transformer.");
}

}  // namespace

ModuleTrainer::ModuleTrainer(int64_t index, Segment segment, bool last, const AuxiliarySite& site,
                             const FeatureShape& largest_map, const ModuleOptions& options,
                             at::Generator& generator, std::shared_ptr<CopyStream> copies)
    : index_(index),
      name_("module " + std::to_string(index + 1)),
      segment_(std::move(segment)),
      options_(Checked(options)),
      site_(site),
      largest_map_(largest_map),
      first_(dynamic_cast<const PatchEmbedding*>(segment_.front()) != nullptr),
      copies_(std::move(copies)) {
  for (const Unit* unit : segment_) {
    for (auto& parameter : unit->Parameters()) segment_parameters_.push_back(std::move(parameter));
  }
  const c10::Device device = segment_parameters_.front().second.device();
  EnterPlace(name_, "weights");
  if (!last) {
    head_ = CreateHead(options_.head, site_, generator);
    head_->MoveBuffers(device);
    AppendWithPrefix("head", head_->Parameters(), &auxiliary_parameters_);
    if (options_.target != Target::kNone) {
      decoder_ = CreateDecoder(options_.decoder, site_, generator);
      CheckChunks(*decoder_, options_);
      decoder_->MoveBuffers(device);
      AppendWithPrefix("decoder", decoder_->Parameters(), &auxiliary_parameters_);
    }
  }
  MoveTo(device, auxiliary_parameters_);
  EnterPlace(name_, "optimizer");
  // Before the first step, so that resident bytes are the same before and after it.
  optimizer_ = MakeOptimizer();
  if (options_.offload == OffloadWhat::kModules) {
    auxiliary_ = Offload(TensorsOf(auxiliary_parameters_), copies_);
  }
}

ModuleDescription ModuleTrainer::Describe() const {
  ModuleDescription description;
  description.name = name_;
  for (const Unit* unit : segment_) description.units.push_back(unit->name());
  description.parameter_count = CountValues(segment_parameters_);
  description.auxiliary_parameter_count = CountValues(auxiliary_parameters_);
  description.reconstructs = reconstructs();
  description.loss_weights = {last() ? 1.0 : options_.label_weight,
                              reconstructs() ? options_.reconstruction_weight : 0.0,
                              options_.penalty_weight};
  description.optimizer = options_.optimizer;
  return description;
}

ParameterList ModuleTrainer::AllParameters() const {
  ParameterList all = segment_parameters_;
  all.insert(all.end(), auxiliary_parameters_.begin(), auxiliary_parameters_.end());
  return all;
}

ForwardContext ModuleTrainer::Prepared(const ForwardContext& context) const {
  ForwardContext own = context;
  own.compute_type = options_.compute_type;
  return own;
}

template <typename Work>
void ModuleTrainer::OrAbandon(StepUnderway* underway, c10::Device device, const Work& work) {
  const AllocationWatch watch;
  try {
    work(watch);
  } catch (const c10::Error& error) {
    Abandon(underway);
    ThrowAsOwn(error, device);
  } catch (CodedError& error) {
    Abandon(underway);
    // Others name what they are about themselves; host memory does not know whom it is for.
    error.text.insert({{"module", name_}, {"phase", WordOf(phase_)}});
    throw;
  } catch (...) {
    Abandon(underway);
    throw;
  }
}

void ModuleTrainer::Abandon(StepUnderway* underway) {
  underway->sum.reset();
  ClearGradients();
  underway->weights = TensorsInUse();
  underway->state = TensorsInUse();
  Forget(underway->step);
}

StepUnderway ModuleTrainer::Begin(at::Tensor features, const Supervision& supervision,
                                  const ForwardContext& context, Communicator* replicas,
                                  double told, const std::function<void()>& after_forward,
                                  const std::function<void(ModuleStepResult*)>& after_backward) {
  const c10::Device device = supervision.labels.device();
  StepUnderway underway(device);
  UnsettledStep& step = underway.step;
  step.samples = context.batch_size > 0 ? context.batch_size : supervision.labels.size(0);
  step.is_share = replicas != nullptr;
  step.after_forward = after_forward;
  step.made_optimizer = optimizer_ == nullptr;
  OrAbandon(&underway, device, [&](const AllocationWatch& watch) {
    phase_ = Phase::kUpdate;
    EnterPlace(name_, "optimizer");
    if (!optimizer_) optimizer_ = MakeOptimizer();
    underway.weights = UseWeights();
    // Needed for the update alone: the passes before it hide that they come.
    underway.state = UseState();
    underway.weights.Await();
    underway.output = ComputeGradients(std::move(features), supervision, Prepared(context), &step);
    watch.ThrowIfFailed();
    after_backward(&step.result);
    if (replicas == nullptr) return;
    // On a card they stay there: the host does not wait for a module's losses.
    const auto type = device.is_cpu() ? at::kDouble : at::kFloat;
    const auto number = at::TensorOptions().dtype(type).device(device);
    step.told.Add(1.0, at::full({}, told, number));
    step.shares.Add(1.0, at::full({}, supervision.labels.size(0), number));
    std::vector<at::Tensor> numbers;
    ForEachReading(step, [&](const Reading& reading) {
      if (reading.is_there()) numbers.push_back(reading.Total());
    });
    underway.sum.emplace(*replicas, AllParameters(), at::stack(numbers));
  });
  return underway;
}

UnsettledStep ModuleTrainer::Finish(StepUnderway* underway, const UpdateOptions& update,
                                    StepReadings* readings) {
  const c10::Device device = underway->output.device();
  UnsettledStep& step = underway->step;
  OrAbandon(underway, device, [&](const AllocationWatch& watch) {
    Enter(Phase::kUpdate);
    if (underway->sum) {
      const at::Tensor numbers = underway->sum->Finish();
      int64_t number = 0;
      ForEachReading(step, [&](Reading& reading) {
        if (reading.is_there()) reading.Replace(numbers.select(0, number++));
      });
      underway->sum.reset();
      step.is_share = false;
      CheckShares(step);
      CheckLosses(step);
    }
    LookAtGradients(update, readings, &step);
    watch.ThrowIfFailed();
    underway->state.Await();
    optimizer_->Step(update.learning_rate, readings->found());
    if (average_) average_->Update(readings->found());
  });
  ClearGradients();
  Measure(device, underway->window, underway->output, &step);
  underway->state.Release(/*changed=*/true);
  underway->weights.Release(/*changed=*/true);
  return std::move(step);
}

void ModuleTrainer::DrawInVain(int64_t batch, at::Generator& generator) const {
  const DepthCoins coins(segment_, batch, generator, c10::kCPU, at::kFloat);
  if (decoder_ != nullptr && options_.sample < 1.0) {
    at::rand({batch, site_.output.tokens()}, generator, at::kFloat);
  }
}

void ModuleTrainer::LookAtGradients(const UpdateOptions& update, StepReadings* readings,
                                    UnsettledStep* step) const {
  const ParameterList named = NamedParameters();
  const bool on_host = !readings->found().defined();
  LargestGradients largest;
  if (!on_host) largest = FindLargestGradients(named);
  if (update.clip_norm) step->gradient_norm.Add(1.0, ClipGradients(named, *update.clip_norm));
  if (on_host && IsDryRun()) return;
  if (on_host) {
    // A norm that is finite is so of every gradient.
    const bool is_known = update.clip_norm && IsFinite(step->gradient_norm);
    CheckGradients(*step, is_known ? "" : FindNonFiniteGradient(named));
    return;
  }
  std::vector<at::Tensor> scalars;
  ForEachReading(*step, [&](const Reading& reading) { reading.AppendWaiting(&scalars); });
  scalars.insert(scalars.end(), largest.magnitudes.begin(), largest.magnitudes.end());
  readings->Keep(scalars);
  step->checked = std::move(largest.names);
}

ModuleStepResult ModuleTrainer::Settle(UnsettledStep* step, const std::vector<float>& kept) const {
  const float* next = kept.data();
  ForEachReading(*step, [&](Reading& reading) { reading.Settle(&next); });
  CheckShares(*step);
  CheckLosses(*step);
  const auto found = std::find_if(step->checked.begin(), step->checked.end(),
                                  [&](const std::string&) { return !std::isfinite(*next++); });
  CheckGradients(*step, found == step->checked.end() ? "" : *found);
  ModuleStepResult result = std::move(step->result);
  result.label_loss = step->label_loss.value();
  result.reconstruction_loss = step->reconstruction_loss.value();
  result.penalty = step->penalty.value();
  result.gradient_norm = step->gradient_norm.value();
  if (const std::optional<double> correct = step->correct.value()) {
    result.correct = static_cast<int64_t>(*correct);
    result.accuracy = *correct / static_cast<double>(step->samples);
  }
  result.seconds = step->stopwatch.Seconds();
  return result;
}

void ModuleTrainer::Forget(const UnsettledStep& step) {
  if (step.made_optimizer) optimizer_.reset();
}

void ModuleTrainer::Rehearse(at::Tensor features, const Supervision& supervision,
                             const ForwardContext& context) {
  UnsettledStep step(supervision.labels.device());
  try {
    ComputeGradients(std::move(features), supervision, Prepared(context), &step);
  } catch (const c10::Error& error) {
    ClearGradients();
    ThrowAsOwn(error, supervision.labels.device());
  } catch (...) {
    ClearGradients();
    throw;
  }
  ClearGradients();
}

UnsettledStep ModuleTrainer::Pass(at::Tensor features, const ForwardContext& context,
                                  at::Tensor* output) {
  const c10::Device device = features.device();
  UnsettledStep step(device);
  step.result.learned = false;
  const PeakWindow window = OpenPeakWindow(device);
  try {
    Enter(Phase::kForward);
    TensorsInUse weights = UseSegment();
    weights.Await();
    *output = Forward(std::move(features), context);
  } catch (const c10::Error& error) {
    ThrowAsOwn(error, device);
  }
  Measure(device, window, *output, &step);
  return step;
}

at::Tensor ModuleTrainer::ComputeGradients(at::Tensor features, const Supervision& supervision,
                                           const ForwardContext& context, UnsettledStep* step) {
  Enter(Phase::kForward);
  const int64_t batch = supervision.labels.size(0);
  int64_t size = (batch + options_.accumulate - 1) / options_.accumulate;
  const std::optional<RecomputePlan> plan = PlanOf(size, features.device());
  if (plan) size = plan->micro_batch;
  std::optional<PositionBiases> biases;
  ForwardContext own = context;
  // Of all ranks that have this module.
  if (own.batch_size == 0) own.batch_size = batch;
  if (size < batch || options_.recompute == Recompute::kBlock) {
    own.position_biases = &biases.emplace(segment_);
  }
  const at::Tensor output =
      size == batch ? LearnFrom(std::move(features), supervision, own, plan, {}, step)
                    : LearnInParts(std::move(features), supervision, size, own, plan, step);
  if (biases) {
    const auto [used, gradients] = biases->Take();
    if (!used.empty()) Backward(used, gradients);
  }
  step->correct.Add(1.0, CountCorrect(std::exchange(step->answers, {}), supervision.labels));
  return output;
}

at::Tensor ModuleTrainer::LearnInParts(at::Tensor features, const Supervision& supervision,
                                       int64_t size, const ForwardContext& context,
                                       const std::optional<RecomputePlan>& plan,
                                       UnsettledStep* step) {
  const int64_t batch = supervision.labels.size(0);
  std::vector<at::Tensor> leaves = TensorsOf(AllParameters());
  for (const Unit* unit : segment_) leaves.push_back(context.position_biases->Of(*unit));
  leaves = WorthAddingTogether(std::move(leaves));
  at::Tensor output;
  const at::Generator before = context.generator->clone();
  for (int64_t begin = 0; begin < batch; begin += size) {
    const int64_t end = std::min(begin + size, batch);
    // Every micro-batch draws for the whole batch and takes its part: the result does not depend on
    // their number.
    at::Generator generator = before.clone();
    ForwardContext own = context;
    own.generator = &generator;
    own.first_sample = context.first_sample + begin;
    const auto place = [&](const at::Tensor& part) {
      if (!output.defined()) output = EmptyBatch(part, batch);
      return output.slice(0, begin, end);
    };
    AddedTogether sums(leaves);
    LearnFrom(features.slice(0, begin, end), supervision.Slice(begin, end), own, plan, place, step);
    sums.Add();
    if (begin == 0) context.generator->set_state(generator.get_state());
  }
  return output;
}

std::optional<RecomputePlan> ModuleTrainer::PlanOf(int64_t batch, c10::Device device) const {
  if (options_.recompute != Recompute::kBlock || HasVectorKernels(device, at::kFloat)) return {};
  RecomputeCase of;
  of.in_parts = decoder_ == nullptr || !decoder_->needs_whole_batch();
  of.has_losses = !last();
  of.is_network = first_ && last();
  return PlanRecompute(segment_, batch, largest_map_, options_.compute_type, of);
}

at::Tensor ModuleTrainer::LearnFrom(at::Tensor features, const Supervision& supervision,
                                    const ForwardContext& context,
                                    const std::optional<RecomputePlan>& plan,
                                    const std::function<at::Tensor(const at::Tensor&)>& place,
                                    UnsettledStep* step) {
  const double share =
      static_cast<double>(supervision.labels.size(0)) / static_cast<double>(context.batch_size);
  Enter(Phase::kForward);
  SegmentPassOptions pass_options;
  pass_options.recompute = options_.recompute;
  pass_options.chunk_values = RecomputedValues(supervision.labels.size(0), largest_map_);
  pass_options.plan = plan;
  pass_options.measure_energy = options_.penalty_weight != 0.0;
  at::Tensor input = features.detach();
  // Only a reconstruction needs the input again; otherwise it is free once the first unit has run.
  if (!reconstructs() || options_.target != Target::kFeatures) features.reset();
  const std::unique_ptr<SegmentPass> pass =
      SegmentPass::Run(segment_, std::move(input), context, pass_options);
  if (place) pass->MoveOutput(place(pass->output()));
  step->penalty.Add(share, pass->energy());
  if (step->after_forward) std::exchange(step->after_forward, {})();
  Enter(Phase::kLosses);
  at::Tensor gradient =
      last() ? ClassifierGradient(pass->output(), supervision, share, step)
             : AuxiliaryGradient(pass->output(), features, supervision, share, context, step);
  features.reset();
  CheckLosses(*step);
  Enter(Phase::kBackward);
  pass->Backward(std::move(gradient), share * options_.penalty_weight);
  return pass->output();
}

at::Tensor ModuleTrainer::ClassifierGradient(const at::Tensor& output,
                                             const Supervision& supervision, double share,
                                             UnsettledStep* step) const {
  const at::Tensor logits = output.detach().requires_grad_(true);
  const at::Tensor loss = LabelLoss(logits, supervision, options_.label_smoothing);
  step->label_loss.Add(share, loss);
  step->answers.push_back(logits.detach().argmax(1));
  BackwardOf(loss, share);
  return logits.grad();
}

at::Tensor ModuleTrainer::AuxiliaryGradient(const at::Tensor& output, const at::Tensor& features,
                                            const Supervision& supervision, double batch_share,
                                            const ForwardContext& context,
                                            UnsettledStep* step) const {
  const bool is_heavy = head_->is_heavy() || (decoder_ != nullptr && decoder_->is_heavy());
  const bool has_own =
      decoder_ == nullptr || (decoder_->learns_squares() && options_.target == Target::kFeatures &&
                              options_.distance == Distance::kMse && options_.sample >= 1.0);
  if (!HasVectorKernels(output.device(), at::kFloat) && head_->pools_in_parts() && has_own &&
      !options_.chunk_size) {
    return GradientInParts(output, features, supervision, batch_share, context, step);
  }
  const int64_t batch = output.size(0);
  const int64_t size = ChunkSize(batch, is_heavy, output.device());
  const at::Tensor tokens = DrawSample(output, context);
  at::Tensor gradient = at::empty_like(output);
  std::vector<at::Tensor> all_logits;  // A tensor a chunk.
  const std::vector<at::Tensor> leaves = WorthAddingTogether(TensorsOf(auxiliary_parameters_));
  for (int64_t begin = 0; begin < batch; begin += size) {
    context.ThrowIfCancelled();
    const int64_t end = std::min(begin + size, batch);
    // Every loss is a mean over its chunk; the share makes the sum the mean over the batch.
    const double share =
        batch_share * static_cast<double>(end - begin) / static_cast<double>(batch);
    const at::Tensor x = output.slice(0, begin, end).detach().requires_grad_(true);
    // The gradients of both losses add up where they belong.
    x.mutable_grad() = gradient.slice(0, begin, end).zero_();
    const Supervision part = supervision.Slice(begin, end);
    AddedTogether sums(leaves);
    {
      const at::Tensor logits = head_->Forward(x, context);
      const at::Tensor loss = LabelLoss(logits, part, options_.label_smoothing);
      step->label_loss.Add(share, loss);
      all_logits.push_back(logits.detach());
      BackwardOf(loss, share * options_.label_weight);
    }
    if (decoder_ != nullptr) {
      const at::Tensor target_of = features.defined() ? features.slice(0, begin, end) : features;
      at::Tensor rows;
      if (tokens.defined()) {
        const int64_t drawn = tokens.numel() / batch;
        rows = tokens.slice(0, begin * drawn, end * drawn).sub(begin * site_.target.tokens());
      }
      const at::Tensor loss = LossOfReconstruction(x, target_of, part, rows, context);
      step->reconstruction_loss.Add(share, loss);
      BackwardOf(loss, share * options_.reconstruction_weight);
    }
    sums.Add();
  }
  step->answers.push_back(at::cat(all_logits).argmax(1));
  return gradient;
}

at::Tensor ModuleTrainer::GradientInParts(const at::Tensor& output, const at::Tensor& features,
                                          const Supervision& supervision, double share,
                                          const ForwardContext& context,
                                          UnsettledStep* step) const {
  const at::Tensor x = output.detach().requires_grad_(true);
  AddedTogether sums(WorthAddingTogether(TensorsOf(head_->Parameters())));
  {
    const at::Tensor logits = head_->Forward(x, context);
    const at::Tensor loss = LabelLoss(logits, supervision, options_.label_smoothing);
    step->label_loss.Add(share, loss);
    step->answers.push_back(logits.detach().argmax(1));
    BackwardOf(loss, share * options_.label_weight);
  }
  sums.Add();
  at::Tensor gradient = x.grad();
  if (decoder_ == nullptr) return gradient;
  const int64_t batch = output.size(0);
  const int64_t parts = AuxiliaryParts(options_.compute_type);
  const int64_t size = (context.batch_size + parts - 1) / parts;
  for (int64_t begin = 0; begin < batch; begin += size) {
    context.ThrowIfCancelled();
    const int64_t end = std::min(begin + size, batch);
    const double own = share * static_cast<double>(end - begin) / static_cast<double>(batch);
    at::Tensor part = gradient.slice(0, begin, end);
    const at::Tensor target =
        TargetOf(features.slice(0, begin, end), supervision.Slice(begin, end));
    const at::Tensor norm = decoder_->LearnSquares(
        output.slice(0, begin, end), target, own * options_.reconstruction_weight, part, context);
    step->reconstruction_loss.AddSquare(own / static_cast<double>(target.numel()), norm);
  }
  return gradient;
}

at::Tensor ModuleTrainer::LossOfReconstruction(const at::Tensor& output, const at::Tensor& features,
                                               const Supervision& supervision,
                                               const at::Tensor& rows,
                                               const ForwardContext& context) const {
  at::Tensor prediction = decoder_->Forward(output, context);
  at::Tensor target = TargetOf(features, supervision);
  if (rows.defined()) {
    prediction = SelectTokens(prediction, rows);
    target = SelectTokens(target, rows);
  }
  return ReconstructionLoss(prediction, target, options_.target, options_.distance);
}

at::Tensor ModuleTrainer::TargetOf(const at::Tensor& features,
                                   const Supervision& supervision) const {
  c10::NoGradGuard no_grad;
  if (options_.target == Target::kImage) {
    const int64_t patch = site_.target.height / supervision.patches.size(1);
    return supervision.Pixels(supervision.patches, patch).clamp_(0.0, 1.0);
  }
  // The normalised image stands for itself; features are layer-normalised without affine weights.
  return first_ ? features : at::layer_norm(features, {features.size(-1)});
}

at::Tensor ModuleTrainer::DrawSample(const at::Tensor& output,
                                     const ForwardContext& context) const {
  if (decoder_ == nullptr || options_.sample >= 1.0) return {};
  const int64_t count = output.size(0), h = output.size(1), w = output.size(2);
  const int64_t batch = context.batch_size;
  const int64_t kept = std::max<int64_t>(
      1, static_cast<int64_t>(std::lround(options_.sample * static_cast<double>(h * w))));
  // Every sample's own tokens: those with the largest of one random number each.
  const at::Tensor chosen =
      std::get<1>(at::rand({batch, h * w}, *context.generator, at::kFloat).topk(kept, /*dim=*/1));
  const int64_t scale = site_.target.height / h;
  const at::Tensor drawn = at::zeros({batch, h * w}, at::kBool)
                               .scatter_(1, chosen, true)
                               .slice(0, context.first_sample, context.first_sample + count)
                               .view({count, h, w})
                               .repeat_interleave(scale, 1)
                               .repeat_interleave(scale, 2);
  // On the host: how many there are has to be known there.
  return Upload(drawn.flatten().nonzero().squeeze(1), output.device());
}

int64_t ModuleTrainer::ChunkSize(int64_t batch, bool is_heavy, c10::Device device) const {
  if (decoder_ != nullptr && decoder_->needs_whole_batch()) return batch;
  if (options_.chunk_size) return std::min(*options_.chunk_size, batch);
  const std::optional<int64_t> budget = ChunkBudgetBytes(device);
  if (!budget || is_heavy) {
    // A decoder of images works at their size.
    const FeatureShape& map = options_.target == Target::kImage ? site_.target : site_.output;
    return DefaultChunk(batch, map.tokens(), is_heavy ? kFineChunks : kCoarseChunks);
  }
  const int64_t values = std::max(site_.output.values(), site_.target.values());
  const int64_t fewest = FewestChunks(options_.compute_type);
  const int64_t largest = (batch + fewest - 1) / fewest;
  return std::clamp<int64_t>(*budget / (values * 4), 1, largest);
}

ParameterList ModuleTrainer::NamedParameters() const {
  ParameterList named = segment_parameters_;
  AppendWithPrefix("auxiliary." + std::to_string(index_), auxiliary_parameters_, &named);
  return named;
}

void ModuleTrainer::CheckShares(const UnsettledStep& step) const {
  const auto all = static_cast<double>(step.samples);
  const double given = step.shares.value().value_or(all);
  // A simulated card gives zeros.
  if (IsDryRun() || step.is_share || given == all || given == 0.0) return;
  throw CodedError("ERR_SHAPE",
                   "The ranks that share a batch gave " +
                       std::to_string(static_cast<int64_t>(given)) +
                       " samples in all, and this one's share is that of a batch of " +
                       std::to_string(step.samples),
                   "Give every rank as many samples of a batch.");
}

void ModuleTrainer::CheckLosses(const UnsettledStep& step) const {
  if (IsDryRun() || step.is_share) return;
  const char* which = !IsFinite(step.label_loss)            ? "label"
                      : !IsFinite(step.reconstruction_loss) ? "reconstruction"
                      : !IsFinite(step.penalty)             ? "penalty"
                                                            : nullptr;
  if (which == nullptr) return;
  CodedError error = NonFinite(std::string(which) + " loss");
  error.text["loss"] = which;
  throw error;
}

void ModuleTrainer::CheckGradients(const UnsettledStep& step, const std::string& parameter) const {
  if (!parameter.empty()) {
    CodedError error = NonFinite("gradient of " + parameter);
    error.text["parameter"] = parameter;
    throw error;
  }
  if (!IsFinite(step.gradient_norm)) throw NonFinite("norm of the gradients");
}

CodedError ModuleTrainer::NonFinite(const std::string& what) const {
  CodedError error("ERR_NON_FINITE",
                   "The " + what + " of " + name_ +
                       " is not a finite number; its weights were left as they were",
                   "Lower the learning rate, or look for NaN in the input.");
  error.text["module"] = name_;
  return error;
}

std::unique_ptr<Optimizer> ModuleTrainer::MakeOptimizer() const {
  std::unique_ptr<Optimizer> optimizer = CreateOptimizer(options_.optimizer, AllParameters());
  if (options_.offload != OffloadWhat::kNone) optimizer->OffloadState(copies_);
  return optimizer;
}

std::unique_ptr<WeightAverage> ModuleTrainer::MakeAverage(double decay) const {
  TensorsInUse weights = UseWeights();
  weights.Await();
  auto average = std::make_unique<WeightAverage>(AllParameters(), decay);
  if (options_.offload != OffloadWhat::kNone) average->OffloadValues(copies_);
  return average;
}

at::Tensor ModuleTrainer::Forward(at::Tensor features, const ForwardContext& context) const {
  c10::NoGradGuard no_grad;
  return ForwardSegment(segment_, std::move(features), Prepared(context));
}

at::Tensor ModuleTrainer::Classify(const at::Tensor& output, const ForwardContext& context) const {
  c10::NoGradGuard no_grad;
  return last() ? output : head_->Forward(output, Prepared(context));
}

std::pair<at::Tensor, at::Tensor> ModuleTrainer::Reconstruct(const at::Tensor& features,
                                                             const at::Tensor& output,
                                                             const Supervision& supervision,
                                                             const ForwardContext& context) const {
  c10::NoGradGuard no_grad;
  const at::Tensor decoded = decoder_->Forward(output, Prepared(context));
  return {TargetOf(features, supervision),
          options_.target == Target::kImage ? decoded.sigmoid() : decoded};
}

void ModuleTrainer::ThrowAsOwn(const c10::Error& error, c10::Device device) const {
  if (IsOutOfMemory(error)) throw OutOfMemory(device, name_, WordOf(phase_));
  throw;
}

TensorsInUse ModuleTrainer::UseWeights() const {
  TensorsInUse in_use = UseSegment();
  in_use.Add(auxiliary_.tensors);
  return in_use;
}

TensorsInUse ModuleTrainer::UseForEvaluation() const {
  // With an average the parameters have its values meanwhile (AverageInUse).
  if (average_ == nullptr) return UseWeights();
  TensorsInUse in_use;
  in_use.Add(average_->offloaded());
  return in_use;
}

TensorsInUse ModuleTrainer::UseState() const {
  TensorsInUse in_use;
  if (optimizer_) in_use.Add(optimizer_->offloaded());
  if (average_) in_use.Add(average_->offloaded());
  return in_use;
}

void ModuleTrainer::Enter(Phase phase) {
  phase_ = phase;
  EnterPlace(name_, WordOf(phase));
  MemoryTimeline* timeline = MemoryTimeline::Current();
  if (timeline != nullptr) timeline->Enter(index_, WordOf(phase));
  CallLog* calls = CallLog::Current();
  if (calls != nullptr) calls->Enter(index_, WordOf(phase));
}

bool ModuleTrainer::HasGradient() const {
  const auto has = [](const NamedTensor& p) { return p.second.grad().defined(); };
  return std::any_of(segment_parameters_.begin(), segment_parameters_.end(), has) ||
         std::any_of(auxiliary_parameters_.begin(), auxiliary_parameters_.end(), has);
}

void ModuleTrainer::ClearGradients() {
  localformer::ClearGradients(segment_parameters_);
  localformer::ClearGradients(auxiliary_parameters_);
}

}  // namespace localformer
