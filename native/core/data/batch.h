// From stored bytes to the network's input, in two parts. AugmentPixels works on bytes in plain
// loops, so that a batch is prepared beside a step without a team of threads of its own;
// ToNetworkInput is short, gives floats, and belongs to the step.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <array>
#include <atomic>
#include <cstdint>

#include "data/augmentation.h"

namespace localformer {

struct BatchOptions {
  int64_t image_size = 32;  // Side of the result; the stored images are resized bilinearly.
  std::array<double, 3> mean = {0.0, 0.0, 0.0};  // Per channel, of values in [0, 1].
  std::array<double, 3> std = {1.0, 1.0, 1.0};
  Augmentation augment;

  template <typename Self, typename Visit>
  static void Fields(Self& self, Visit&& visit) {
    visit("imageSize", self.image_size);
    visit("mean", self.mean);
    visit("std", self.std);
    visit("augment", self.augment);
  }
};

// `pixels`: count * 3 * height * width bytes, planar RGB. Returns them cropped, flipped and
// RandAugmented, uint8 [count, 3, height, width]; a copy in any case. Throws Cancelled.
at::Tensor AugmentPixels(const uint8_t* pixels, int64_t count, int64_t height, int64_t width,
                         const Augmentation& options, const std::atomic<bool>* cancelled);

// uint8 [count, 3, height, width] in host memory, normalised, resized, erased and mixed: float
// [count, 3, S, S] on the device. Erasing and mixing go image by image, so where there is any all
// of it is done on the host; else the bytes are copied and the device does the rest.
at::Tensor ToNetworkInput(const at::Tensor& pixels, const BatchOptions& options,
                          c10::Device device);

}  // namespace localformer
