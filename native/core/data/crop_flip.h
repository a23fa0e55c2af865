// Random crop with padding, and mirroring: planar RGB bytes -> planar RGB bytes of the same size.
#pragma once

#include <cstdint>
#include <vector>

#include "data/augmentation.h"

namespace localformer {

// Where an image is cut out of the padded one, and whether it is mirrored then.
struct CropFlip {
  int64_t top = 0;  // 0 to 2 * crop_padding, as `left`.
  int64_t left = 0;
  bool mirrored = false;
};

// One for each of `count` images. Drawn from PyTorch's generator for the batch as a whole, so that
// a seed gives the crops that it gave before other augmentations came.
std::vector<CropFlip> DrawCropFlips(const Augmentation& options, int64_t count);

// Writes one image, 3 * height * width bytes, as `draw` says.
void ApplyCropFlip(const uint8_t* image, int64_t height, int64_t width, const Augmentation& options,
                   const CropFlip& draw, uint8_t* out);

}  // namespace localformer
