// See evaluation.h.
#include "local/evaluation.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "coded_error.h"
#include "memory/work_place.h"
#include "train/backward.h"

namespace localformer {
namespace {

constexpr int64_t kTop = 5;

void AddSample(const float* logits, int64_t classes, int64_t label, LogitScore* score) {
  const float* end = logits + classes;
  if (std::any_of(logits, end, [](float value) { return std::isnan(value); })) {
    score->predicted.push_back(-1);
    score->loss_sum = std::nan("");
  } else {
    const float* largest = std::max_element(logits, end);
    double sum = 0.0;
    for (const float* value = logits; value != end; ++value) {
      sum += std::exp(static_cast<double>(*value) - *largest);
    }
    score->loss_sum += *largest + std::log(sum) - logits[label];
    score->predicted.push_back(static_cast<int32_t>(largest - logits));
  }
  if (score->predicted.back() == label) ++score->correct;
  const float own = logits[label];
  int64_t before = 0;
  for (int64_t k = 0; k < classes; ++k) {
    if (logits[k] > own || (logits[k] == own && k < label)) ++before;
  }
  if (!std::isnan(own) && before < kTop) ++score->correct_top5;
}

// Of the heads of modules [first, last); `*features`: the first one's input, in the end the last
// one's output.
std::vector<at::Tensor> LogitsOf(const Strategy& strategy, size_t first, size_t last,
                                 at::Tensor* features, const std::atomic<bool>* cancelled) {
  WeightRelay weights(strategy, first, last,
                      [](const ModuleTrainer& module) { return module.UseForEvaluation(); });
  ForwardContext context;
  context.cancelled = cancelled;
  std::vector<at::Tensor> logits;
  for (size_t k = first; k < last; ++k) {
    const ModuleTrainer& module = *strategy.modules()[k];
    EnterPlace(module.name(), "evaluation");
    weights.Advance();
    const AverageInUse average(module);
    *features = module.Forward(std::move(*features), context);
    logits.push_back(module.Classify(*features, context));
  }
  return logits;
}

}  // namespace

LogitScore ScoreLogits(const at::Tensor& logits, const std::vector<int64_t>& labels) {
  const at::Tensor rows = logits.detach().to(at::kCPU, at::kFloat).contiguous();
  if (rows.size(0) != static_cast<int64_t>(labels.size())) {
    throw CodedError("ERR_SHAPE", "Expected one label a sample, " + std::to_string(rows.size(0)) +
                                      ", for `labels` but received " +
                                      std::to_string(labels.size()));
  }
  const int64_t classes = rows.size(1);
  const float* data = rows.const_data_ptr<float>();
  LogitScore score;
  score.predicted.reserve(labels.size());
  for (const int64_t label : labels) {
    if (label < 0 || label >= classes) {
      throw CodedError("ERR_DATASET", "Expected a class from 0 to " + std::to_string(classes - 1) +
                                          " for `labels` but received " + std::to_string(label));
    }
    AddSample(data, classes, label, &score);
    data += classes;
  }
  return score;
}

at::Tensor ClassLogits(const SwinModel& model, const at::Tensor& images,
                       const std::atomic<bool>* cancelled) {
  c10::NoGradGuard no_grad;
  TensorsInUse weights = model.UseParameters();
  weights.Await();
  ForwardContext context;
  context.cancelled = cancelled;
  return model.Forward(images, context);
}

std::vector<at::Tensor> HeadLogits(const Strategy& strategy, at::Tensor images,
                                   const std::atomic<bool>* cancelled) {
  c10::NoGradGuard no_grad;
  at::Tensor features = strategy.Patches(std::exchange(images, {}));
  return LogitsOf(strategy, 0, strategy.modules().size(), &features, cancelled);
}

std::vector<LogitScore> HeadScores(Strategy& strategy, at::Tensor images,
                                   std::vector<int64_t> labels,
                                   const std::atomic<bool>* cancelled) {
  c10::NoGradGuard no_grad;
  Division* division = strategy.division();
  Handover batch;
  if (division != nullptr && division->evaluation_in) {
    batch = division->evaluation_in->Receive();
    const int64_t* data = batch.supervision.labels.const_data_ptr<int64_t>();
    labels.assign(data, data + batch.supervision.labels.numel());
  } else {
    batch.features = strategy.Patches(std::exchange(images, {}));
  }
  const size_t first = strategy.FirstHere();
  const std::vector<at::Tensor> logits =
      LogitsOf(strategy, first, strategy.LastHere(), &batch.features, cancelled);
  if (division != nullptr && division->evaluation_out) {
    batch.supervision.labels = LabelTensor(labels, c10::kCPU);
    division->evaluation_out->Send(batch);
  }
  std::vector<LogitScore> scores(strategy.modules().size());
  std::transform(logits.begin(), logits.end(), scores.begin() + static_cast<std::ptrdiff_t>(first),
                 [&](const at::Tensor& of) { return ScoreLogits(of, labels); });
  if (division != nullptr) division->group().ThrowIfLost();
  return scores;
}

NetworkGradients GradientsOf(const SwinModel& model, const at::Tensor& images,
                             const at::Tensor& labels, const std::atomic<bool>* cancelled) {
  const GradientsCleared cleared(model.parameters());
  TensorsInUse weights = model.UseParameters();
  weights.Await();
  ForwardContext context;
  context.cancelled = cancelled;
  const at::Tensor logits = model.Forward(images, context);
  const at::Tensor loss = at::cross_entropy_loss(logits, labels);
  NetworkGradients result;
  result.logits = logits.detach();
  result.loss = loss.item<double>();
  Backward({loss});
  for (const auto& [name, parameter] : model.parameters()) {
    result.gradients.emplace_back(name, parameter.grad());
  }
  return result;
}

}  // namespace localformer
