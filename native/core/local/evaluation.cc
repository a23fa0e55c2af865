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
  WeightRelay weights(strategy, 0, strategy.modules().size(),
                      [](const ModuleTrainer& module) { return module.UseForEvaluation(); });
  ForwardContext context;
  context.cancelled = cancelled;
  at::Tensor x = strategy.Patches(std::exchange(images, {}));
  std::vector<at::Tensor> logits;
  for (const auto& module : strategy.modules()) {
    EnterPlace(module->name(), "evaluation");
    weights.Advance();
    const AverageInUse average(*module);
    x = module->Forward(std::move(x), context);
    logits.push_back(module->Classify(x, context));
  }
  return logits;
}

std::vector<LogitScore> HeadScores(Strategy& strategy, at::Tensor images,
                                   std::vector<int64_t> labels,
                                   const std::atomic<bool>* cancelled) {
  c10::NoGradGuard no_grad;
  Division* division = strategy.division();
  std::vector<LogitScore> scores(strategy.modules().size());
  if (division == nullptr) {
    const std::vector<at::Tensor> logits = HeadLogits(strategy, std::move(images), cancelled);
    std::transform(logits.begin(), logits.end(), scores.begin(),
                   [&](const at::Tensor& of) { return ScoreLogits(of, labels); });
    return scores;
  }
  Handover batch;
  if (division->evaluation_in) {
    batch = division->evaluation_in->Receive();
    const int64_t* data = batch.supervision.labels.const_data_ptr<int64_t>();
    labels.assign(data, data + batch.supervision.labels.numel());
  } else {
    batch.features = strategy.Patches(std::exchange(images, {}));
    batch.supervision.labels = LabelTensor(labels, c10::kCPU);
  }
  ForwardContext context;
  context.cancelled = cancelled;
  for (size_t k = division->first(); k < division->last(); ++k) {
    const ModuleTrainer& module = *strategy.modules()[k];
    EnterPlace(module.name(), "evaluation");
    TensorsInUse weights = module.UseForEvaluation();
    weights.Await();
    const AverageInUse average(module);
    batch.features = module.Forward(std::move(batch.features), context);
    scores[k] = ScoreLogits(module.Classify(batch.features, context), labels);
  }
  if (division->evaluation_out) division->evaluation_out->Send(batch);
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
