// From stored bytes to the network's input, in two parts. AugmentPixels works on bytes in plain
// loops, so that a batch is prepared beside a step without a team of threads of its own;
// ToNetworkInput is short, gives floats, and belongs to the step.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <optional>

#include "data/augmentation.h"

namespace localformer {

// What a batch is of a larger one that several processes take together: image i of it meets the
// random numbers of image first + i among `size`. Where images are mixed their partners, which
// mirror them in the larger batch, stand behind them in the same order: the batch has twice as many
// then, and gives the first half.
struct BatchShare {
  int64_t first = 0;
  int64_t size = 0;

  template <typename Self, typename Visit>
  static void Fields(Self& self, Visit&& visit) {
    visit("first", self.first);
    visit("size", self.size);
  }
};

struct BatchOptions {
  int64_t image_size = 32;  // Side of the result; the stored images are resized bilinearly.
  std::array<double, 3> mean = {0.0, 0.0, 0.0};  // Per channel, of values in [0, 1].
  std::array<double, 3> std = {1.0, 1.0, 1.0};
  Augmentation augment;
  std::optional<BatchShare> share;  // None: the batch stands alone.

  // Of so many images those that the network gets.
  int64_t Given(int64_t count) const { return share && augment.mixes() ? count / 2 : count; }
  // Which place in the whole batch decides what an image meets.
  int64_t PlaceOf(int64_t image, int64_t count) const {
    if (!share) return image;
    const int64_t given = Given(count);
    if (image < given) return share->first + image;
    return share->size - 1 - (share->first + image - given);
  }
  int64_t WholeBatch(int64_t count) const { return share ? share->size : count; }

  template <typename Self, typename Visit>
  static void Fields(Self& self, Visit&& visit) {
    visit("imageSize", self.image_size);
    visit("mean", self.mean);
    visit("std", self.std);
    visit("augment", self.augment);
    visit("share", self.share);
  }
};

// `pixels`: count * 3 * height * width bytes, planar RGB. Returns them cropped, flipped and
// RandAugmented, uint8 [count, 3, height, width]; a copy in any case. Throws Cancelled.
at::Tensor AugmentPixels(const uint8_t* pixels, int64_t count, int64_t height, int64_t width,
                         const BatchOptions& options, const std::atomic<bool>* cancelled);

// uint8 [count, 3, height, width] in host memory, normalised, resized, erased and mixed: float
// [count, 3, S, S] on the device, of a share that mixes half as many. Erasing and mixing go image
// by image, so where there is any all of it is done on the host; else the bytes are copied and the
// device does the rest.
at::Tensor ToNetworkInput(const at::Tensor& pixels, const BatchOptions& options,
                          c10::Device device);

}  // namespace localformer
