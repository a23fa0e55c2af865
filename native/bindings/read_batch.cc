// See read_batch.h.
#include "read_batch.h"

#include <algorithm>

#include "from_js.h"

namespace localformer {
namespace {

// No side is longer, so that sizes do not overflow.
constexpr int64_t kLargestSide = int64_t{1} << 16;

template <typename Array>
Array TypedArray(const Napi::Value& value, const std::string& name, napi_typedarray_type type,
                 const char* what) {
  if (value.IsTypedArray() && value.As<Napi::TypedArray>().TypedArrayType() == type) {
    return value.As<Array>();
  }
  throw Unexpected(what, name, value);
}

void CheckSize(size_t received, size_t expected, const std::string& name) {
  if (received == expected) return;
  throw CodedError("ERR_SHAPE", "Expected " + std::to_string(expected) + " values for `" + name +
                                    "` but received " + std::to_string(received));
}

int64_t ReadSide(const Napi::Object& batch, const char* name) {
  const int64_t side = AtLeast(1, FromJs<int64_t>(batch.Get(name), name), name);
  if (side <= kLargestSide) return side;
  throw CodedError("ERR_SHAPE", "Expected at most " + std::to_string(kLargestSide) + " for `" +
                                    name + "` but received " + std::to_string(side));
}

// Images by their places in a store, copied here on the JS thread: a store may be moved or given up
// by JavaScript at any time later.
std::vector<uint8_t> Gather(const Napi::Uint8Array& store, const Napi::Uint32Array& indices,
                            size_t image) {
  const size_t stored = store.ElementLength() / image;
  std::vector<uint8_t> pixels;
  pixels.reserve(indices.ElementLength() * image);
  for (size_t i = 0; i < indices.ElementLength(); ++i) {
    const size_t index = indices[i];
    if (index >= stored) {
      throw CodedError("ERR_SHAPE", "Expected an index below " + std::to_string(stored) +
                                        " for `indices` but received " + std::to_string(index));
    }
    const uint8_t* from = store.Data() + index * image;
    pixels.insert(pixels.end(), from, from + image);
  }
  return pixels;
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
  const auto type =
      images.IsTypedArray() ? images.As<Napi::TypedArray>().TypedArrayType() : napi_int8_array;
  if (type == napi_float32_array && indices.IsUndefined()) {
    const auto floats = images.As<Napi::Float32Array>();
    check(floats.ElementLength());
    batch->images.assign(floats.Data(), floats.Data() + floats.ElementLength());
    return;
  }
  const auto bytes = TypedArray<Napi::Uint8Array>(images, "images", napi_uint8_array, "bytes");
  if (indices.IsUndefined()) {
    check(bytes.ElementLength());
    batch->pixels.assign(bytes.Data(), bytes.Data() + bytes.ElementLength());
    return;
  }
  const auto places =
      TypedArray<Napi::Uint32Array>(indices, "indices", napi_uint32_array, "a Uint32Array");
  CheckSize(places.ElementLength(), count, "indices");
  batch->pixels = Gather(bytes, places, image);
}

std::vector<int64_t> ReadClasses(const Napi::Object& object, const char* name, int64_t count) {
  const Napi::Value value = object.Get(name);
  if (value.IsUndefined()) return {};
  std::vector<int64_t> labels = ReadLabels(value, name);
  CheckSize(labels.size(), static_cast<size_t>(count), name);
  return labels;
}

// A padding is mirrored out of the image itself.
void CheckPadding(const BatchInput& batch) {
  const int64_t padding = AtLeast(0, batch.options.augment.crop_padding, "augment.cropPadding");
  if (padding < std::min(batch.height, batch.width)) return;
  throw CodedError("ERR_CONFIG",
                   "Expected less than the images' sides for `augment.cropPadding` but received " +
                       std::to_string(padding));
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
  AtLeast(1, batch.options.image_size, "imageSize");
  CheckPadding(batch);
  batch.labels = ReadClasses(object, "labels", batch.count);
  batch.other_labels = ReadClasses(object, "otherLabels", batch.count);
  if (!batch.other_labels.empty()) {
    const auto shares = TypedArray<Napi::Float32Array>(object.Get("labelShares"), "labelShares",
                                                       napi_float32_array, "a Float32Array");
    CheckSize(shares.ElementLength(), static_cast<size_t>(batch.count), "labelShares");
    batch.label_shares.assign(shares.Data(), shares.Data() + shares.ElementLength());
  }
  ReadImages(object, &batch);
  return batch;
}

std::vector<int64_t> ReadLabels(const Napi::Value& value, const std::string& name) {
  const auto array = TypedArray<Napi::Int32Array>(value, name, napi_int32_array, "an Int32Array");
  return std::vector<int64_t>(array.Data(), array.Data() + array.ElementLength());
}

}  // namespace localformer
