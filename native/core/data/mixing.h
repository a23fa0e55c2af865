// Mixup (Zhang et al., arXiv 1710.09412) and cutmix (Yun et al., arXiv 1905.04899) within a batch.
// Every image draws for itself; image i of n is mixed with image n-1-i, which is any other one, as
// batches are shuffled.
#pragma once

#include <vector>

#include "data/batch.h"
#include "data/random_erasing.h"

namespace localformer {

// What becomes of one image.
struct Mix {
  int64_t other = 0;   // Index of the image that it is mixed with.
  float share = 1.0F;  // Its own share, in [0, 1]; of cutmix the pixels that stay its own.
  bool cut = false;
  PixelBox box;  // Of cutmix: what is taken from the other image.
};

// One for each of the images that the network gets of a batch of `count`.
std::vector<Mix> MixesOf(const BatchOptions& options, int64_t count);

// In place on normalised images [count, 3, size, size]. A partner is another image that is mixed
// with this one, or one that is not mixed itself.
void ApplyMixes(float* images, int64_t size, const std::vector<Mix>& mixes);

}  // namespace localformer
