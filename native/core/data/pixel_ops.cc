// See pixel_ops.h.
#include "data/pixel_ops.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

namespace localformer {
namespace {

uint8_t ToByte(float value) {
  return static_cast<uint8_t>(std::min(std::max(value, 0.0F), 255.0F));
}

// factor * value + (1 - factor) * other, truncated.
struct Blend {
  explicit Blend(double factor)
      : own(static_cast<float>(factor)), others(static_cast<float>(1.0 - factor)) {}
  uint8_t operator()(uint8_t value, float other) const {
    return ToByte(own * static_cast<float>(value) + others * other);
  }
  float own;
  float others;
};

uint8_t Grey(PixelImage image, int64_t i) {
  const int64_t plane = image.plane();
  return static_cast<uint8_t>(0.2989F * static_cast<float>(image.data[i]) +
                              0.587F * static_cast<float>(image.data[i + plane]) +
                              0.114F * static_cast<float>(image.data[i + 2 * plane]));
}

template <typename Table>
void LookUp(uint8_t* data, int64_t count, const Table& table) {
  for (int64_t i = 0; i < count; ++i) data[i] = table[data[i]];
}

}  // namespace

void MovePixels(PixelImage image, const AffineMap& map) {
  const int64_t h = image.height, w = image.width, plane = image.plane();
  const std::vector<uint8_t> source(image.data, image.data + 3 * plane);
  const double middle_x = (static_cast<double>(w) - 1.0) / 2.0;
  const double middle_y = (static_cast<double>(h) - 1.0) / 2.0;
  for (int64_t y = 0; y < h; ++y) {
    for (int64_t x = 0; x < w; ++x) {
      const double dx = static_cast<double>(x) - middle_x, dy = static_cast<double>(y) - middle_y;
      const double from_x = std::nearbyint(map.a * dx + map.b * dy + map.c + middle_x);
      const double from_y = std::nearbyint(map.d * dx + map.e * dy + map.f + middle_y);
      const bool inside = from_x >= 0.0 && from_x < static_cast<double>(w) && from_y >= 0.0 &&
                          from_y < static_cast<double>(h);
      const int64_t from =
          inside ? static_cast<int64_t>(from_y) * w + static_cast<int64_t>(from_x) : 0;
      for (int64_t c = 0; c < 3; ++c) {
        image.data[c * plane + y * w + x] =
            inside ? source[static_cast<size_t>(c * plane + from)] : uint8_t{0};
      }
    }
  }
}

void AdjustBrightness(PixelImage image, double factor) {
  const Blend blend(factor);
  for (int64_t i = 0; i < 3 * image.plane(); ++i) image.data[i] = blend(image.data[i], 0.0F);
}

void AdjustColor(PixelImage image, double factor) {
  const Blend blend(factor);
  const int64_t plane = image.plane();
  for (int64_t i = 0; i < plane; ++i) {
    const auto grey = static_cast<float>(Grey(image, i));
    for (int64_t c = 0; c < 3; ++c) {
      uint8_t& value = image.data[c * plane + i];
      value = blend(value, grey);
    }
  }
}

void AdjustContrast(PixelImage image, double factor) {
  const Blend blend(factor);
  int64_t sum = 0;
  for (int64_t i = 0; i < image.plane(); ++i) sum += Grey(image, i);
  const float mean = static_cast<float>(sum) / static_cast<float>(image.plane());
  for (int64_t i = 0; i < 3 * image.plane(); ++i) image.data[i] = blend(image.data[i], mean);
}

void AdjustSharpness(PixelImage image, double factor) {
  const int64_t h = image.height, w = image.width;
  if (h <= 2 || w <= 2) return;
  const Blend blend(factor);
  const std::vector<uint8_t> source(image.data, image.data + 3 * image.plane());
  for (int64_t c = 0; c < 3; ++c) {
    for (int64_t y = 0; y < h; ++y) {
      for (int64_t x = 0; x < w; ++x) {
        const int64_t at = (c * h + y) * w + x;
        const uint8_t* p = source.data() + at;
        int blurred = *p;  // The edge has too few neighbours and stays.
        if (y > 0 && y < h - 1 && x > 0 && x < w - 1) {
          const int sum =
              p[-w - 1] + p[-w] + p[-w + 1] + p[-1] + 5 * p[0] + p[1] + p[w - 1] + p[w] + p[w + 1];
          blurred = (2 * sum + 13) / 26;  // sum / 13, rounded
        }
        image.data[at] = blend(*p, static_cast<float>(blurred));
      }
    }
  }
}

void Posterize(PixelImage image, int64_t bits) {
  const auto mask = static_cast<uint8_t>(0xff00U >> bits);
  for (int64_t i = 0; i < 3 * image.plane(); ++i) image.data[i] &= mask;
}

void Solarize(PixelImage image, double threshold) {
  for (int64_t i = 0; i < 3 * image.plane(); ++i) {
    uint8_t& value = image.data[i];
    if (static_cast<double>(value) >= threshold) value = static_cast<uint8_t>(255 - value);
  }
}

void AutoContrast(PixelImage image) {
  for (int64_t c = 0; c < 3; ++c) {
    uint8_t* data = image.data + c * image.plane();
    const auto [low, high] = std::minmax_element(data, data + image.plane());
    if (*low == *high) continue;
    // By way of the reciprocal, whose rounding torchvision has too.
    const float offset = *low, scale = 1.0F / static_cast<float>(*high - *low) * 255.0F;
    std::array<uint8_t, 256> table{};
    for (size_t v = 0; v < 256; ++v) table[v] = ToByte((static_cast<float>(v) - offset) * scale);
    LookUp(data, image.plane(), table);
  }
}

void Equalize(PixelImage image) {
  for (int64_t c = 0; c < 3; ++c) {
    uint8_t* data = image.data + c * image.plane();
    std::array<int64_t, 256> histogram{};
    for (int64_t i = 0; i < image.plane(); ++i) ++histogram[data[i]];
    const int64_t highest = histogram[*std::max_element(data, data + image.plane())];
    const int64_t step = (image.plane() - highest) / 255;
    if (step == 0) continue;
    std::array<uint8_t, 256> table{};
    int64_t below = step / 2;
    for (size_t v = 0; v < 256; ++v) {
      table[v] = static_cast<uint8_t>(std::min<int64_t>(below / step, 255));
      below += histogram[v];
    }
    LookUp(data, image.plane(), table);
  }
}

}  // namespace localformer
