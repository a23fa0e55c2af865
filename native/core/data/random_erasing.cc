// See random_erasing.h.
#include "data/random_erasing.h"

#include <algorithm>
#include <cmath>

namespace localformer {

PixelBox DrawErasing(const Augmentation& options, int64_t size, ImageRandom& random) {
  if (random.Uniform() >= options.erasing) return {};
  for (int tries = 0; tries < 10; ++tries) {
    const double area = static_cast<double>(size * size) * random.Between(0.02, 0.33);
    const double aspect = std::exp(random.Between(std::log(0.3), std::log(3.3)));
    const int64_t height = std::llround(std::sqrt(area * aspect));
    const int64_t width = std::llround(std::sqrt(area / aspect));
    if (height >= size || width >= size) continue;
    const int64_t top = random.Below(size - height + 1);
    return {top, random.Below(size - width + 1), height, width};
  }
  return {};
}

void Erase(float* image, int64_t size, const PixelBox& box) {
  for (int64_t c = 0; c < 3; ++c) {
    for (int64_t y = box.top; y < box.top + box.height; ++y) {
      float* row = image + (c * size + y) * size + box.left;
      std::fill(row, row + box.width, 0.0F);
    }
  }
}

}  // namespace localformer
