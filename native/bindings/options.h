// JS options -> plain structs. Values were validated in TypeScript; what is wrong here is a defect
// of the facade, and still an error rather than a crash.
#pragma once

#include <napi.h>

#include <atomic>
#include <optional>
#include <string>
#include <vector>

#include "data/batch.h"
#include "local/module_trainer.h"
#include "swin/model.h"

namespace localformer {

SwinOptions ReadSwinOptions(const Napi::Object& object);
ModuleOptions ReadModuleOptions(const Napi::Object& object);
// "float32" or "bfloat16".
c10::ScalarType ReadComputeType(const Napi::Value& value);
// "none", "selective" or "block".
Recompute ReadRecompute(const Napi::Value& value);
// Learning rates of modules from the first; null for one that learns nothing.
std::vector<std::optional<double>> ReadLearningRates(const Napi::Value& value);
// A number, or nothing for null and undefined.
std::optional<double> ReadOptional(const Napi::Value& value);

// What samples are, as the losses see it: of two mixed images first that with the larger share.
struct MixedLabels {
  std::vector<int64_t> labels;
  std::vector<int64_t> others;  // empty where nothing is mixed, as `shares`
  std::vector<float> shares;    // of `labels`, in [0.5, 1] where mixed here
};

// A batch copied out of JS memory, so that the native thread may read it.
struct BatchInput {
  std::vector<uint8_t> pixels;  // count * 3 * height * width, or empty
  std::vector<float> images;    // count * 3 * S * S normalised floats, or empty
  at::Tensor augmented;         // uint8 [count, 3, height, width] in place of `pixels`, or none
  std::vector<int64_t> labels;  // count, may be empty
  // What mixed samples are besides, and the shares of `labels`: count each, or empty.
  std::vector<int64_t> other_labels;
  std::vector<float> label_shares;
  int64_t count = 0;
  int64_t height = 0;
  int64_t width = 0;
  BatchOptions options;

  // Crop, flip and RandAugment now rather than in Images(): `augmented` takes the place of
  // `pixels`. Any thread.
  void Augment(const std::atomic<bool>* cancelled);
  int64_t ImageBytes() const;

  // Float [count, 3, S, S] and int64 [count] on the device. Native thread.
  at::Tensor Images(c10::Device device) const;
  at::Tensor Labels(c10::Device device) const;
  MixedLabels LabelsAfterMixing() const;
  // Labels, mixed as the images are, and the normalisation; without patches.
  Supervision Targets(c10::Device device) const;
};

BatchInput ReadBatch(const Napi::Object& object);
std::vector<int64_t> ReadLabels(const Napi::Value& value);
at::Tensor LabelTensor(const std::vector<int64_t>& labels, c10::Device device);

// "cpu", "cuda", "cuda:1". Throws CodedError ERR_DEVICE_UNAVAILABLE where there is no such device.
c10::Device ReadDevice(const Napi::Value& value);

}  // namespace localformer
