// What is done to the images of a training batch, in this order: crop, flip, RandAugment (bytes);
// then, normalised and resized, erasing and mixing.
#pragma once

#include <cstdint>

#include "fields.h"

namespace localformer {

// What stands around an image that is cropped.
enum class CropMode {
  kReflect,
  kZero,  // Black pixels, byte 0 before normalising: timm's and torchvision's RandomCrop.
};

template <>
struct Words<CropMode> {
  static constexpr Word<CropMode> kTable[] = {{"reflect", CropMode::kReflect},
                                              {"zero", CropMode::kZero}};
};

struct Augmentation {
  // Random crop from the image padded by this many pixels; 0: none.
  int64_t crop_padding = 0;
  CropMode crop_mode = CropMode::kReflect;
  // Mirror every second image on average.
  bool flip = false;
  int64_t rand_augment_ops = 0;         // Operations an image (rand_augment.h); 0: none.
  double rand_augment_magnitude = 9.0;  // 0 to 10.
  double erasing = 0.0;                 // Probability (random_erasing.h).
  // Alphas of mixup and cutmix (mixing.h); 0: off. Where both are on an image takes either.
  double mixup = 0.0;
  double cutmix = 0.0;
  double mix_probability = 1.0;  // Share of the images that are mixed.
  uint64_t seed = 0;             // One number a batch.

  bool changes_pixels() const { return crop_padding > 0 || flip || rand_augment_ops > 0; }
  bool mixes() const { return (mixup > 0.0 || cutmix > 0.0) && mix_probability > 0.0; }

  template <typename Self, typename Visit>
  static void Fields(Self& self, Visit&& visit) {
    visit("cropPadding", self.crop_padding);
    visit("cropMode", self.crop_mode);
    visit("flip", self.flip);
    visit("randAugmentOps", self.rand_augment_ops);
    visit("randAugmentMagnitude", self.rand_augment_magnitude);
    visit("erasing", self.erasing);
    visit("mixup", self.mixup);
    visit("cutmix", self.cutmix);
    visit("mixProbability", self.mix_probability);
    visit("seed", self.seed);
  }
};

}  // namespace localformer
