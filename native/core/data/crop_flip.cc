// See crop_flip.h.
#include "data/crop_flip.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <algorithm>

namespace localformer {
namespace {

// The pixel at `position` of a padded line of `size` pixels; -1: none, it is black.
int64_t Source(int64_t position, int64_t size, CropMode mode) {
  if (position >= 0 && position < size) return position;
  if (mode == CropMode::kZero) return -1;
  return position < 0 ? -position : 2 * (size - 1) - position;
}

}  // namespace

std::vector<CropFlip> DrawCropFlips(const Augmentation& options, int64_t count) {
  at::Generator generator = at::detail::createCPUGenerator(options.seed);
  const int64_t places = 2 * options.crop_padding + 1;
  const at::Tensor top = at::randint(places, {count}, generator, at::kLong);
  const at::Tensor left = at::randint(places, {count}, generator, at::kLong);
  const at::Tensor mirrored = at::randint(2, {count}, generator, at::kLong);
  std::vector<CropFlip> draws(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) {
    draws[static_cast<size_t>(i)] = {top.const_data_ptr<int64_t>()[i],
                                     left.const_data_ptr<int64_t>()[i],
                                     options.flip && mirrored.const_data_ptr<int64_t>()[i] == 1};
  }
  return draws;
}

void ApplyCropFlip(const uint8_t* image, int64_t height, int64_t width, const Augmentation& options,
                   const CropFlip& draw, uint8_t* out) {
  std::vector<int64_t> columns(static_cast<size_t>(width));
  for (int64_t x = 0; x < width; ++x) {
    columns[static_cast<size_t>(x)] =
        Source(x + draw.left - options.crop_padding, width, options.crop_mode);
  }
  if (draw.mirrored) std::reverse(columns.begin(), columns.end());
  for (int64_t row = 0; row < 3 * height; ++row) {
    const int64_t y =
        Source(row % height + draw.top - options.crop_padding, height, options.crop_mode);
    const uint8_t* from = image + (row / height * height + y) * width;
    uint8_t* to = out + row * width;
    for (size_t x = 0; x < columns.size(); ++x) {
      to[x] = y < 0 || columns[x] < 0 ? uint8_t{0} : from[columns[x]];
    }
  }
}

}  // namespace localformer
