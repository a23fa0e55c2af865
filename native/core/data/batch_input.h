// A batch in plain memory, on its way into the network: images and labels with what is done to
// them. Made on one thread, augmented on another, used by a third.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <atomic>
#include <cstdint>
#include <vector>

#include "data/batch.h"

namespace localformer {

// What samples are, as the losses see it: of two mixed images first that with the larger share.
struct MixedLabels {
  std::vector<int64_t> labels;
  std::vector<int64_t> others;  // empty where nothing is mixed, as `shares`
  std::vector<float> shares;    // of `labels`, in [0.5, 1] where mixed here
};

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
  // `pixels`. Any thread. Throws Cancelled.
  void Augment(const std::atomic<bool>* cancelled);
  int64_t ImageBytes() const;

  // Float [count, 3, S, S] on the device. The thread that trains.
  at::Tensor Images(c10::Device device) const;
  MixedLabels LabelsAfterMixing() const;
};

}  // namespace localformer
