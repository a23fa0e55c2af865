// See rand_augment.h.
#include "data/rand_augment.h"

#include <cmath>

namespace localformer {
namespace {

// With the origin at the image's top left corner rather than its centre, as torchvision shears.
void Shear(PixelImage image, double x, double y) {
  const double half_w = static_cast<double>(image.width) / 2.0;
  const double half_h = static_cast<double>(image.height) / 2.0;
  MovePixels(image, {1.0, x, x * half_h, y, 1.0, y * half_w});
}

void Translate(PixelImage image, double x, double y) {
  MovePixels(image, {1.0, 0.0, -std::trunc(x), 0.0, 1.0, -std::trunc(y)});
}

// Counter-clockwise.
void Rotate(PixelImage image, double degrees) {
  const double angle = degrees * 3.141592653589793 / 180.0;
  MovePixels(image,
             {std::cos(angle), -std::sin(angle), 0.0, std::sin(angle), std::cos(angle), 0.0});
}

constexpr int64_t kOperations = 14;

// `strength` in [0, 1]; `sign` 1 or -1, for operations that have two directions.
void Apply(int64_t operation, PixelImage image, double strength, double sign) {
  const double shear = sign * 0.3 * strength;
  const double shift = sign * 150.0 / 331.0 * strength;
  const double factor = 1.0 + sign * 0.9 * strength;
  switch (operation) {
    case 1:
      return Shear(image, shear, 0.0);
    case 2:
      return Shear(image, 0.0, shear);
    case 3:
      return Translate(image, shift * static_cast<double>(image.width), 0.0);
    case 4:
      return Translate(image, 0.0, shift * static_cast<double>(image.height));
    case 5:
      return Rotate(image, sign * 30.0 * strength);
    case 6:
      return AdjustBrightness(image, factor);
    case 7:
      return AdjustColor(image, factor);
    case 8:
      return AdjustContrast(image, factor);
    case 9:
      return AdjustSharpness(image, factor);
    case 10:
      return Posterize(image, 8 - static_cast<int64_t>(std::nearbyint(4.0 * strength)));
    case 11:
      return Solarize(image, 255.0 * (1.0 - strength));
    case 12:
      return AutoContrast(image);
    case 13:
      return Equalize(image);
    default:
      return;  // Identity.
  }
}

}  // namespace

void ApplyRandAugment(PixelImage image, const Augmentation& options, ImageRandom& random) {
  for (int64_t n = 0; n < options.rand_augment_ops; ++n) {
    const int64_t operation = random.Below(kOperations);
    const double sign = random.Below(2) == 0 ? 1.0 : -1.0;
    Apply(operation, image, options.rand_augment_magnitude / 10.0, sign);
  }
}

}  // namespace localformer
