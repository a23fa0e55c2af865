// See module_trainer.h.
#include "local/module_trainer.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <chrono>
#include <cmath>

#include "coded_error.h"
#include "local/segment_pass.h"
#include "swin/embedding.h"
#include "train/device.h"
#include "train/out_of_memory.h"

namespace localformer {
namespace {

at::Tensor CrossEntropy(const at::Tensor& logits, const at::Tensor& labels, double smoothing) {
  return at::cross_entropy_loss(logits, labels, /*weight=*/{}, at::Reduction::Mean,
                                /*ignore_index=*/-100, smoothing);
}

int64_t CountCorrect(const at::Tensor& logits, const at::Tensor& labels) {
  c10::NoGradGuard no_grad;
  return logits.argmax(1).eq(labels).sum().item<int64_t>();
}

double SecondsSince(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

const char* PhaseName(Phase phase) {
  switch (phase) {
    case Phase::kForward:
      return "forward";
    case Phase::kLosses:
      return "losses";
    case Phase::kBackward:
      return "backward";
    case Phase::kUpdate:
      return "update";
  }
  return "unknown";
}

ModuleTrainer::ModuleTrainer(std::string name, Segment segment, bool last,
                             const FeatureShape& target, int64_t classes,
                             const ModuleOptions& options, at::Generator& generator)
    : name_(std::move(name)), segment_(std::move(segment)), options_(options) {
  if (const auto* embedding = dynamic_cast<const PatchEmbedding*>(segment_.front())) {
    patch_ = embedding->patch();
  }
  for (const Unit* unit : segment_) {
    for (auto& parameter : unit->Parameters()) segment_parameters_.push_back(std::move(parameter));
  }
  if (!last) {
    const FeatureShape& output = segment_.back()->output();
    head_ = std::make_unique<LinearHead>(output, classes, generator);
    AppendWithPrefix("head", head_->Parameters(), &auxiliary_parameters_);
    if (options_.reconstruct) {
      decoder_ = CreateDecoder(options_.decoder, output, target, generator);
      AppendWithPrefix("decoder", decoder_->Parameters(), &auxiliary_parameters_);
    }
  }
  MoveTo(segment_parameters_.front().second.device(), auxiliary_parameters_);
  ParameterList all = segment_parameters_;
  all.insert(all.end(), auxiliary_parameters_.begin(), auxiliary_parameters_.end());
  optimizer_ = std::make_unique<AdamW>(all, options_.optimizer);
}

ModuleStepResult ModuleTrainer::Step(at::Tensor features, const at::Tensor& labels,
                                     double learning_rate, const ForwardContext& context,
                                     at::Tensor* output,
                                     const std::function<void(ModuleStepResult*)>& after_backward) {
  const auto start = std::chrono::steady_clock::now();
  const c10::Device device = labels.device();
  ModuleStepResult result;
  const PeakWindow window = OpenPeakWindow(device);
  try {
    *output = ComputeGradients(std::move(features), labels, context, &result);
    after_backward(&result);
    phase_ = Phase::kUpdate;
    optimizer_->Step(learning_rate);
  } catch (const c10::OutOfMemoryError&) {
    optimizer_->ClearGradients();
    throw OutOfMemory(device, name_, PhaseName(phase_));
  } catch (...) {
    optimizer_->ClearGradients();
    throw;
  }
  optimizer_->ClearGradients();
  // A device works behind the host's back: without waiting, this module's time would be booked on
  // the next one.
  Synchronize(device);
  result.peak_allocated_bytes = window.PeakAllocated();
  result.allocated_bytes_after = AllocatedBytes(device);
  result.feature_bytes = static_cast<int64_t>(output->nbytes());
  result.seconds = SecondsSince(start);
  return result;
}

at::Tensor ModuleTrainer::ComputeGradients(at::Tensor features, const at::Tensor& labels,
                                           const ForwardContext& context,
                                           ModuleStepResult* result) {
  const int64_t batch = labels.size(0);
  const int64_t size = (batch + options_.accumulate - 1) / options_.accumulate;
  if (size == batch) return LearnFrom(std::move(features), labels, 1.0, context, result);
  at::Tensor output;
  for (int64_t begin = 0; begin < batch; begin += size) {
    const int64_t end = std::min(begin + size, batch);
    const double share = static_cast<double>(end - begin) / static_cast<double>(batch);
    const at::Tensor part = LearnFrom(features.slice(0, begin, end), labels.slice(0, begin, end),
                                      share, context, result);
    if (!output.defined()) {
      std::vector<int64_t> shape = part.sizes().vec();
      shape[0] = batch;
      output = at::empty(shape, part.options());
    }
    output.slice(0, begin, end).copy_(part);
  }
  return output;
}

at::Tensor ModuleTrainer::LearnFrom(at::Tensor features, const at::Tensor& labels, double share,
                                    const ForwardContext& context, ModuleStepResult* result) {
  phase_ = Phase::kForward;
  at::Tensor input = features.detach();
  // Only a reconstruction needs the input again; otherwise it is free once the first unit has run.
  if (!reconstructs()) features.reset();
  const std::unique_ptr<SegmentPass> pass =
      SegmentPass::Run(segment_, std::move(input), context, options_.recompute);
  phase_ = Phase::kLosses;
  const at::Tensor gradient =
      last() ? ClassifierGradient(pass->output(), labels, share, result)
             : AuxiliaryGradient(pass->output(), features, labels, share, context, result);
  features.reset();
  CheckFinite(*result);
  phase_ = Phase::kBackward;
  pass->Backward(gradient);
  return pass->output();
}

at::Tensor ModuleTrainer::ClassifierGradient(const at::Tensor& output, const at::Tensor& labels,
                                             double share, ModuleStepResult* result) const {
  const at::Tensor logits = output.detach().requires_grad_(true);
  const at::Tensor loss = CrossEntropy(logits, labels, options_.label_smoothing);
  result->label_loss += share * loss.item<double>();
  result->correct += CountCorrect(logits, labels);
  (loss * share).backward();
  return logits.grad();
}

at::Tensor ModuleTrainer::AuxiliaryGradient(const at::Tensor& output, const at::Tensor& features,
                                            const at::Tensor& labels, double batch_share,
                                            const ForwardContext& context,
                                            ModuleStepResult* result) const {
  const int64_t batch = output.size(0), size = ChunkSize(batch);
  at::Tensor gradient = at::empty_like(output);
  for (int64_t begin = 0; begin < batch; begin += size) {
    context.ThrowIfCancelled();
    const int64_t end = std::min(begin + size, batch);
    // Every loss is a mean over its chunk; the share makes the sum the mean over the batch.
    const double share =
        batch_share * static_cast<double>(end - begin) / static_cast<double>(batch);
    const at::Tensor x = output.slice(0, begin, end).detach().requires_grad_(true);
    const at::Tensor y = labels.slice(0, begin, end);
    {
      const at::Tensor logits = head_->Forward(x);
      const at::Tensor loss = CrossEntropy(logits, y, options_.label_smoothing);
      result->label_loss += share * loss.item<double>();
      result->correct += CountCorrect(logits, y);
      (loss * (share * options_.label_weight)).backward();
    }
    if (decoder_ != nullptr) {
      const at::Tensor loss =
          at::mse_loss(decoder_->Forward(x), Target(features.slice(0, begin, end)));
      result->reconstruction_loss += share * loss.item<double>();
      (loss * (share * options_.reconstruction_weight)).backward();
    }
    gradient.slice(0, begin, end).copy_(x.grad());
  }
  return gradient;
}

at::Tensor ModuleTrainer::Target(const at::Tensor& features) const {
  c10::NoGradGuard no_grad;
  // The normalised image stands for itself; features are layer-normalised without affine weights.
  if (patch_ != 0) return CutIntoPatches(features, patch_);
  return at::layer_norm(features, {features.size(-1)});
}

int64_t ModuleTrainer::ChunkSize(int64_t batch) const {
  return options_.chunk > 0 ? options_.chunk : std::max<int64_t>(1, (batch + 7) / 8);
}

void ModuleTrainer::CheckFinite(const ModuleStepResult& result) const {
  const bool labels_ok = std::isfinite(result.label_loss);
  if (labels_ok && std::isfinite(result.reconstruction_loss)) return;
  const std::string which = labels_ok ? "reconstruction" : "label";
  CodedError error("ERR_NON_FINITE",
                   "The " + which + " loss of " + name_ +
                       " is not a finite number; its weights were left as they were",
                   "Lower the learning rate, or look for NaN in the input.");
  error.text["module"] = name_;
  error.text["loss"] = which;
  throw error;
}

at::Tensor ModuleTrainer::Forward(const at::Tensor& features, const ForwardContext& context) const {
  c10::NoGradGuard no_grad;
  return ForwardSegment(segment_, features, context);
}

at::Tensor ModuleTrainer::Classify(const at::Tensor& output) const {
  c10::NoGradGuard no_grad;
  return last() ? output : head_->Forward(output);
}

bool ModuleTrainer::HasGradient() const {
  const auto has = [](const NamedTensor& p) { return p.second.grad().defined(); };
  return std::any_of(segment_parameters_.begin(), segment_parameters_.end(), has) ||
         std::any_of(auxiliary_parameters_.begin(), auxiliary_parameters_.end(), has);
}

}  // namespace localformer
