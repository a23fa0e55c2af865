// See batch.h.
#include "data/batch.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>

#include "data/crop_flip.h"
#include "data/mixing.h"
#include "data/rand_augment.h"
#include "data/random_erasing.h"
#include "memory/dry_run.h"
#include "memory/upload.h"
#include "swin/unit.h"

namespace localformer {
namespace {

at::Tensor Normalised(const at::Tensor& bytes, const BatchOptions& options) {
  const auto channel = [&](const std::array<double, 3>& values) {
    const at::Tensor three = at::tensor(at::ArrayRef<double>(values), at::kFloat);
    return Upload(three.view({1, 3, 1, 1}) * 255.0, bytes.device());
  };
  // Of a dry run nobody looks at the pixels.
  const bool is_dry = IsDryRunOn(bytes.device());
  at::Tensor floats = is_dry ? at::empty(bytes.sizes(), at::kFloat) : bytes.to(at::kFloat);
  const at::Tensor mean = channel(options.mean);
  if (!is_dry) floats.sub_(mean);
  const at::Tensor deviation = channel(options.std);
  if (!is_dry) floats.div_(deviation);
  return floats;
}

at::Tensor Resize(const at::Tensor& images, int64_t size) {
  if (images.size(2) == size && images.size(3) == size) return images;
  // Antialiasing matters only where pixels are lost.
  if (images.size(2) > size || images.size(3) > size) {
    return at::_upsample_bilinear2d_aa(images, {size, size}, /*align_corners=*/false);
  }
  return at::upsample_bilinear2d(images, {size, size}, /*align_corners=*/false);
}

void EraseSome(float* images, int64_t count, const BatchOptions& options) {
  const int64_t size = options.image_size;
  for (int64_t i = 0; i < count; ++i) {
    ImageRandom random(options.augment.seed, options.PlaceOf(i, count),
                       ImageRandom::Subject::kErasing);
    Erase(images + i * 3 * size * size, size, DrawErasing(options.augment, size, random));
  }
}

}  // namespace

at::Tensor AugmentPixels(const uint8_t* pixels, int64_t count, int64_t height, int64_t width,
                         const BatchOptions& options, const std::atomic<bool>* cancelled) {
  const Augmentation& augment = options.augment;
  const at::Tensor out = at::empty({count, 3, height, width}, at::TensorOptions().dtype(at::kByte));
  const int64_t size = 3 * height * width;
  const bool crops = augment.crop_padding > 0 || augment.flip;
  const std::vector<CropFlip> crop_flips =
      crops ? DrawCropFlips(augment, options.WholeBatch(count)) : std::vector<CropFlip>();
  for (int64_t i = 0; i < count; ++i) {
    if (cancelled != nullptr && cancelled->load(std::memory_order_relaxed)) throw Cancelled();
    const int64_t place = options.PlaceOf(i, count);
    const uint8_t* image = pixels + i * size;
    uint8_t* target = out.data_ptr<uint8_t>() + i * size;
    if (crops) {
      ApplyCropFlip(image, height, width, augment, crop_flips[static_cast<size_t>(place)], target);
    } else {
      std::copy(image, image + size, target);
    }
    ImageRandom random(augment.seed, place, ImageRandom::Subject::kRandAugment);
    ApplyRandAugment({target, height, width}, augment, random);
  }
  return out;
}

at::Tensor ToNetworkInput(const at::Tensor& pixels, const BatchOptions& options,
                          c10::Device device) {
  c10::NoGradGuard no_grad;
  const Augmentation& augment = options.augment;
  const bool on_host = augment.erasing > 0.0 || augment.mixes();
  const at::Tensor bytes = on_host ? pixels : Upload(pixels, device);
  // Normalising commutes with linear interpolation, and is cheaper before it.
  const at::Tensor normalised = Normalised(bytes, options);
  const at::Tensor images = Resize(normalised, options.image_size).contiguous();
  if (!on_host) return images;
  const int64_t count = images.size(0), size = options.image_size;
  float* values = images.data_ptr<float>();
  if (augment.erasing > 0.0) EraseSome(values, count, options);
  if (!augment.mixes()) return Upload(images, device);
  ApplyMixes(values, size, MixesOf(options, count));
  const int64_t given = options.Given(count);
  return Upload(given < count ? images.slice(0, 0, given).clone() : images, device);
}

}  // namespace localformer
