// From stored bytes to a normalised batch on the native thread: uint8 images in, float images out.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>

namespace localformer {

struct BatchOptions {
  int64_t image_size = 32;  // Side of the result; the stored images are resized bilinearly.
  std::array<double, 3> mean = {0.0, 0.0, 0.0};  // Per channel, of values in [0, 1].
  std::array<double, 3> std = {1.0, 1.0, 1.0};
  // Random crop from the image padded by this many reflected pixels, before resizing; 0: none.
  int64_t crop_padding = 0;
  // Mirror every second image on average.
  bool flip = false;
  uint64_t seed = 0;  // Of crop and flip; one number per batch.
};

// `pixels`: count * 3 * height * width bytes, planar RGB. Returns float [count, 3, S, S].
at::Tensor PrepareImages(const uint8_t* pixels, int64_t count, int64_t height, int64_t width,
                         const BatchOptions& options);

}  // namespace localformer
