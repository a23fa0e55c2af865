// Operations on one image's bytes, in place, after torchvision's functions for uint8 tensors, with
// their roundings (PIL's differ by one here and there). Single precision, plain loops.
#pragma once

#include <array>
#include <cstdint>

namespace localformer {

// Planar RGB.
struct PixelImage {
  uint8_t* data;
  int64_t height;
  int64_t width;

  int64_t plane() const { return height * width; }
};

// Where a pixel comes from: x' = a x + b y + c, y' = d x + e y + f, in pixels from the image's
// centre. Nearest pixel; what comes from outside is black.
struct AffineMap {
  double a, b, c, d, e, f;
};
void MovePixels(PixelImage image, const AffineMap& map);

// Blends with black, with its own grey, with its mean grey, or with itself blurred; 1: as it is,
// below 1: towards the other, above 1: away from it.
void AdjustBrightness(PixelImage image, double factor);
void AdjustColor(PixelImage image, double factor);
void AdjustContrast(PixelImage image, double factor);
void AdjustSharpness(PixelImage image, double factor);

// Keeps the highest `bits`, 0 to 8.
void Posterize(PixelImage image, int64_t bits);
// Inverts the values that are not below `threshold`.
void Solarize(PixelImage image, double threshold);
// Each channel stretched to 0..255.
void AutoContrast(PixelImage image);
// Each channel's histogram made even.
void Equalize(PixelImage image);

}  // namespace localformer
