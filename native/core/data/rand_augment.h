// RandAugment (Cubuk et al., arXiv 1909.13719) with the 14 operations and magnitudes of
// torchvision: magnitude m of 10 here is bin m of its 11. Nearest pixels, black fill.
#pragma once

#include "data/augmentation.h"
#include "data/image_random.h"
#include "data/pixel_ops.h"

namespace localformer {

// Applies `rand_augment_ops` operations, each drawn from all of them, to one image.
void ApplyRandAugment(PixelImage image, const Augmentation& options, ImageRandom& random);

}  // namespace localformer
