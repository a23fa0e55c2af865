// See batch.h.
#include "data/batch.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <c10/core/GradMode.h>

namespace localformer {
namespace {

// Crop and flip, each image on its own. The numbers are drawn in a fixed order on one thread, so
// that a seed gives the same batch whatever the number of threads.
at::Tensor Augment(const at::Tensor& images, const BatchOptions& options) {
  at::Generator generator = at::detail::createCPUGenerator(options.seed);
  const int64_t count = images.size(0), h = images.size(2), w = images.size(3);
  const int64_t pad = options.crop_padding;
  const at::Tensor padded = pad > 0 ? at::reflection_pad2d(images, {pad, pad, pad, pad}) : images;
  const at::Tensor dy = at::randint(2 * pad + 1, {count}, generator, at::kLong);
  const at::Tensor dx = at::randint(2 * pad + 1, {count}, generator, at::kLong);
  const at::Tensor mirrored = at::randint(2, {count}, generator, at::kLong);
  at::Tensor out = at::empty_like(images);
  for (int64_t i = 0; i < count; ++i) {
    at::Tensor image = padded[i]
                           .slice(1, dy[i].item<int64_t>(), dy[i].item<int64_t>() + h)
                           .slice(2, dx[i].item<int64_t>(), dx[i].item<int64_t>() + w);
    if (options.flip && mirrored[i].item<int64_t>() == 1) image = image.flip({2});
    out[i].copy_(image);
  }
  return out;
}

at::Tensor Resize(const at::Tensor& images, int64_t size) {
  if (images.size(2) == size && images.size(3) == size) return images;
  // Antialiasing matters only where pixels are lost.
  if (images.size(2) > size || images.size(3) > size) {
    return at::_upsample_bilinear2d_aa(images, {size, size}, /*align_corners=*/false);
  }
  return at::upsample_bilinear2d(images, {size, size}, /*align_corners=*/false);
}

}  // namespace

at::Tensor PrepareImages(const uint8_t* pixels, int64_t count, int64_t height, int64_t width,
                         const BatchOptions& options) {
  c10::NoGradGuard no_grad;
  const at::Tensor stored = at::from_blob(const_cast<uint8_t*>(pixels), {count, 3, height, width},
                                          at::TensorOptions().dtype(at::kByte));
  const auto channel = [](const std::array<double, 3>& values) {
    return at::tensor(at::ArrayRef<double>(values), at::kFloat).view({1, 3, 1, 1});
  };
  // Normalising commutes with linear interpolation, and is cheaper before it.
  at::Tensor images =
      stored.to(at::kFloat).sub_(channel(options.mean) * 255.0).div_(channel(options.std) * 255.0);
  if (options.crop_padding > 0 || options.flip) images = Augment(images, options);
  return Resize(images, options.image_size);
}

}  // namespace localformer
