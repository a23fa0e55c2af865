// Random erasing (Zhong et al., arXiv 1708.04896) with torchvision's defaults: 2 to 33 % of the
// area, sides in a ratio of 0.3 to 3.3.
#pragma once

#include "data/augmentation.h"
#include "data/image_random.h"

namespace localformer {

// A rectangle of pixels; none where a side is 0.
struct PixelBox {
  int64_t top = 0;
  int64_t left = 0;
  int64_t height = 0;
  int64_t width = 0;
};

// With probability `erasing` a rectangle within size x size pixels; none where ten tries give none
// that fits.
PixelBox DrawErasing(const Augmentation& options, int64_t size, ImageRandom& random);

// Erases to 0, the channel's mean of a normalised image [3, size, size].
void Erase(float* image, int64_t size, const PixelBox& box);

}  // namespace localformer
