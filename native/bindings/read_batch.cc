// See read_batch.h.
#include "read_batch.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cstdlib>
#include <limits>
#include <new>

#include "from_js.h"
#include "memory/dry_run.h"
#include "typed_array.h"

namespace localformer {
namespace {

// No side is longer, so that sizes do not overflow.
constexpr int64_t kLargestSide = int64_t{1} << 16;
constexpr int64_t kLargestBatch = int64_t{1} << 32;
constexpr double kMostOps = 16.0;

void CheckSize(size_t received, size_t expected, const std::string& name) {
  if (received == expected) return;
  throw CodedError("ERR_SHAPE", "Expected " + std::to_string(expected) + " values for `" + name +
                                    "` but received " + std::to_string(received));
}

int64_t CheckSide(int64_t side, const char* name) {
  if (AtLeast(1, side, name) <= kLargestSide) return side;
  throw CodedError("ERR_SHAPE", "Expected at most " + std::to_string(kLargestSide) + " for `" +
                                    name + "` but received " + std::to_string(side));
}

int64_t ReadSide(const Napi::Object& batch, const char* name) {
  return CheckSide(FromJs<int64_t>(batch.Get(name), name), name);
}

// Images by their places in a store, copied here on the JS thread: a store may be moved or given up
// by JavaScript at any time later.
std::vector<uint8_t> Gather(const View<uint8_t>& store, const View<uint32_t>& indices,
                            size_t image) {
  const size_t stored = store.size / image;
  std::vector<uint8_t> pixels;
  pixels.reserve(indices.size * image);
  for (size_t i = 0; i < indices.size; ++i) {
    const size_t index = indices.data[i];
    if (index >= stored) {
      throw CodedError("ERR_SHAPE", "Expected an index below " + std::to_string(stored) +
                                        " for `indices` but received " + std::to_string(index));
    }
    const uint8_t* from = store.data + index * image;
    pixels.insert(pixels.end(), from, from + image);
  }
  return pixels;
}

// Pixels of a dry run, which nobody looks at: pages that are not touched, and no tensor's memory as
// an allocator counts it.
at::Tensor Unseen(const BatchInput& batch, size_t bytes) {
  void* pages = std::calloc(bytes, 1);
  if (pages == nullptr) throw std::bad_alloc();
  return at::from_blob(
      pages, {batch.count, 3, batch.height, batch.width}, [](void* own) { std::free(own); },
      at::TensorOptions().dtype(at::kByte));
}

// Bytes, of a store or as they are, or floats.
void ReadImages(const Napi::Object& object, BatchInput* batch) {
  const auto image = static_cast<size_t>(3 * batch->height * batch->width);
  const auto count = static_cast<size_t>(batch->count);
  const Napi::Value images = object.Get("images"), indices = object.Get("indices");
  const auto check = [&](size_t values) {
    if (values % image == 0 && values / image == count) return;
    throw CodedError("ERR_SHAPE", "Expected " + std::to_string(count) + " x " +
                                      std::to_string(image) + " values for `images` but received " +
                                      std::to_string(values));
  };
  if (IsArrayOf<float>(images) && indices.IsUndefined()) {
    const auto floats = ViewOf<float>(images, "images");
    check(floats.size);
    batch->images = CopyOf(floats);
    return;
  }
  const auto bytes = ViewOf<uint8_t>(images, "images");
  if (indices.IsUndefined()) {
    check(bytes.size);
    if (IsDryRun()) {
      batch->augmented = Unseen(*batch, bytes.size);
    } else {
      batch->pixels = CopyOf(bytes);
    }
    return;
  }
  const auto places = ViewOf<uint32_t>(indices, "indices");
  CheckSize(places.size, count, "indices");
  batch->pixels = Gather(bytes, places, image);
}

std::vector<int64_t> ReadClasses(const Napi::Object& object, const char* name, int64_t count) {
  const Napi::Value value = object.Get(name);
  if (value.IsUndefined()) return {};
  std::vector<int64_t> labels = ReadLabels(value, name);
  CheckSize(labels.size(), static_cast<size_t>(count), name);
  return labels;
}

void CheckWithin(double value, double most, const std::string& name) {
  // NaN fails every comparison.
  if (value >= 0.0 && value <= most) return;
  throw CodedError("ERR_CONFIG", "Expected a number from 0 to " + std::to_string(most) +
                                     " for `augment." + name + "` but received " +
                                     std::to_string(value));
}

// What loops, shifts and draws go by.
void CheckAugmentation(const BatchInput& batch) {
  const Augmentation& augment = batch.options.augment;
  // A padding is mirrored out of the image itself.
  CheckWithin(static_cast<double>(augment.crop_padding),
              static_cast<double>(std::min(batch.height, batch.width) - 1), "cropPadding");
  CheckWithin(static_cast<double>(augment.rand_augment_ops), kMostOps, "randAugmentOps");
  CheckWithin(augment.rand_augment_magnitude, 10.0, "randAugmentMagnitude");
  CheckWithin(augment.erasing, 1.0, "erasing");
  CheckWithin(augment.mixup, std::numeric_limits<double>::max(), "mixup");
  CheckWithin(augment.cutmix, std::numeric_limits<double>::max(), "cutmix");
  CheckWithin(augment.mix_probability, 1.0, "mixProbability");
}

// Random numbers are drawn by these places.
void CheckShare(const BatchInput& batch) {
  const BatchOptions& options = batch.options;
  if (!options.share) return;
  const int64_t given = options.Given(batch.count);
  const bool is_paired = !options.augment.mixes() || batch.count % 2 == 0;
  if (is_paired && options.share->first >= 0 && options.share->size > 0 &&
      options.share->size <= kLargestBatch && options.share->first <= options.share->size - given) {
    return;
  }
  throw CodedError("ERR_SHAPE", "Expected " + std::to_string(batch.count) +
                                    " images of a larger batch for `share` but received others");
}

}  // namespace

BatchInput ReadBatch(const Napi::Value& value) {
  if (!value.IsObject()) throw Unexpected("a batch", "batch", value);
  const Napi::Object object = value.As<Napi::Object>();
  BatchInput batch;
  batch.count = AtLeast(1, FromJs<int64_t>(object.Get("count"), "count"), "count");
  batch.height = ReadSide(object, "height");
  batch.width = ReadSide(object, "width");
  batch.options = FromJs<BatchOptions>(value, "batch");
  CheckSide(batch.options.image_size, "imageSize");
  CheckAugmentation(batch);
  CheckShare(batch);
  batch.labels = ReadClasses(object, "labels", batch.count);
  batch.other_labels = ReadClasses(object, "otherLabels", batch.count);
  if (!batch.other_labels.empty()) {
    const auto shares = ViewOf<float>(object.Get("labelShares"), "labelShares");
    CheckSize(shares.size, static_cast<size_t>(batch.count), "labelShares");
    batch.label_shares = CopyOf(shares);
  }
  ReadImages(object, &batch);
  return batch;
}

std::vector<int64_t> ReadLabels(const Napi::Value& value, const std::string& name) {
  const auto labels = ViewOf<int32_t>(value, name);
  return std::vector<int64_t>(labels.data, labels.data + labels.size);
}

}  // namespace localformer
