// See options.h.
#include "options.h"

#include <ATen/ATen.h>
#include <ATen/Context.h>

#include "coded_error.h"
#include "data/mixing.h"

namespace localformer {
namespace {

int64_t Integer(const Napi::Object& object, const char* key) {
  return object.Get(key).As<Napi::Number>().Int64Value();
}

double Number(const Napi::Object& object, const char* key) {
  return object.Get(key).As<Napi::Number>().DoubleValue();
}

bool Boolean(const Napi::Object& object, const char* key) {
  return object.Get(key).As<Napi::Boolean>().Value();
}

std::string Text(const Napi::Object& object, const char* key) {
  return object.Get(key).As<Napi::String>().Utf8Value();
}

std::vector<int64_t> Integers(const Napi::Value& value) {
  const Napi::Array array = value.As<Napi::Array>();
  std::vector<int64_t> list;
  for (uint32_t i = 0; i < array.Length(); ++i) {
    list.push_back(array.Get(i).As<Napi::Number>().Int64Value());
  }
  return list;
}

std::array<double, 3> Triple(const Napi::Value& value) {
  const Napi::Array array = value.As<Napi::Array>();
  std::array<double, 3> triple{};
  for (uint32_t i = 0; i < 3; ++i) triple[i] = array.Get(i).As<Napi::Number>().DoubleValue();
  return triple;
}

void CheckSize(size_t received, int64_t expected, const char* what) {
  if (static_cast<int64_t>(received) == expected) return;
  throw CodedError("ERR_SHAPE", std::string("Expected ") + std::to_string(expected) +
                                    " values for `" + what + "` but received " +
                                    std::to_string(received));
}

}  // namespace

SwinOptions ReadSwinOptions(const Napi::Object& object) {
  SwinOptions o;
  o.image_size = Integer(object, "imageSize");
  o.patch_size = Integer(object, "patchSize");
  o.window_size = Integer(object, "windowSize");
  o.embed_dim = Integer(object, "embedDim");
  o.depths = Integers(object.Get("depths"));
  o.heads = Integers(object.Get("heads"));
  o.mlp_ratio = Number(object, "mlpRatio");
  o.drop_path_rate = Number(object, "dropPath");
  o.classes = Integer(object, "classes");
  o.seed = static_cast<uint64_t>(Integer(object, "seed"));
  return o;
}

ModuleOptions ReadModuleOptions(const Napi::Object& object) {
  ModuleOptions o;
  o.target = ParseTarget(Text(object, "target"));
  o.distance = ParseDistance(Text(object, "distance"));
  o.decoder.kind = Text(object, "decoder");
  o.decoder.hidden = Integer(object, "decoderHidden");
  o.decoder.depth = Integer(object, "decoderDepth");
  o.head.kind = Text(object, "head");
  o.head.hidden = Integer(object, "headHidden");
  o.head.depth = Integer(object, "headDepth");
  o.label_weight = Number(object, "labelWeight");
  o.reconstruction_weight = Number(object, "reconstructionWeight");
  o.penalty_weight = Number(object, "penaltyWeight");
  o.sample = Number(object, "sample");
  o.label_smoothing = Number(object, "labelSmoothing");
  o.chunk = Integer(object, "chunkSize");
  o.accumulate = Integer(object, "accumulate");
  o.recompute = ReadRecompute(object.Get("recompute"));
  o.compute_type = ReadComputeType(object.Get("dtype"));
  o.optimizer.kind = Text(object, "optimizer");
  o.optimizer.weight_decay = Number(object, "weightDecay");
  o.optimizer.beta1 = Number(object, "beta1");
  o.optimizer.beta2 = Number(object, "beta2");
  o.optimizer.eps = Number(object, "eps");
  o.optimizer.momentum = Number(object, "momentum");
  return o;
}

c10::ScalarType ReadComputeType(const Napi::Value& value) {
  const std::string word = value.As<Napi::String>().Utf8Value();
  if (word == "float32") return c10::ScalarType::Float;
  if (word == "bfloat16") return c10::ScalarType::BFloat16;
  throw CodedError("ERR_CONFIG",
                   "Expected one of float32, bfloat16 for `dtype` but received \"" + word + "\"");
}

Recompute ReadRecompute(const Napi::Value& value) {
  const std::string word = value.As<Napi::String>().Utf8Value();
  if (word == "none") return Recompute::kNone;
  if (word == "selective") return Recompute::kSelective;
  if (word == "block") return Recompute::kBlock;
  throw CodedError(
      "ERR_CONFIG",
      "Expected one of none, selective, block for `recompute` but received \"" + word + "\"");
}

std::vector<std::optional<double>> ReadLearningRates(const Napi::Value& value) {
  const Napi::Array array = value.As<Napi::Array>();
  std::vector<std::optional<double>> rates;
  for (uint32_t i = 0; i < array.Length(); ++i) {
    rates.push_back(ReadOptional(array.Get(i)));
  }
  return rates;
}

std::optional<double> ReadOptional(const Napi::Value& value) {
  if (!value.IsNumber()) return std::nullopt;
  return value.As<Napi::Number>().DoubleValue();
}

std::vector<int64_t> ReadLabels(const Napi::Value& value) {
  const Napi::Int32Array array = value.As<Napi::Int32Array>();
  return std::vector<int64_t>(array.Data(), array.Data() + array.ElementLength());
}

namespace {

Augmentation ReadAugmentation(const Napi::Object& object) {
  Augmentation o;
  o.crop_padding = Integer(object, "cropPadding");
  o.crop_mode = ParseCropMode(Text(object, "cropMode"));
  o.flip = Boolean(object, "flip");
  o.rand_augment_ops = Integer(object, "randAugmentOps");
  o.rand_augment_magnitude = Number(object, "randAugmentMagnitude");
  o.erasing = Number(object, "erasing");
  o.mixup = Number(object, "mixup");
  o.cutmix = Number(object, "cutmix");
  o.mix_probability = Number(object, "mixProbability");
  o.seed = static_cast<uint64_t>(Integer(object, "augmentSeed"));
  return o;
}

// Images by their places in a store, copied here on the JS thread: a store may be moved or given up
// by JavaScript at any time later.
std::vector<uint8_t> Gather(const Napi::Uint8Array& store, const Napi::Uint32Array& indices,
                            size_t image) {
  const size_t stored = image == 0 ? 0 : store.ElementLength() / image;
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

void ReadMixedLabels(const Napi::Object& object, BatchInput* batch) {
  if (!object.Get("otherLabels").IsTypedArray()) return;
  batch->other_labels = ReadLabels(object.Get("otherLabels"));
  const Napi::Float32Array shares = object.Get("labelShares").As<Napi::Float32Array>();
  batch->label_shares.assign(shares.Data(), shares.Data() + shares.ElementLength());
  CheckSize(batch->other_labels.size(), batch->count, "otherLabels");
  CheckSize(batch->label_shares.size(), batch->count, "labelShares");
}

}  // namespace

BatchInput ReadBatch(const Napi::Object& object) {
  BatchInput batch;
  batch.count = Integer(object, "count");
  batch.height = Integer(object, "height");
  batch.width = Integer(object, "width");
  batch.options.image_size = Integer(object, "imageSize");
  if (object.Get("labels").IsTypedArray()) {
    batch.labels = ReadLabels(object.Get("labels"));
    CheckSize(batch.labels.size(), batch.count, "labels");
  }
  batch.options.mean = Triple(object.Get("mean"));
  batch.options.std = Triple(object.Get("std"));
  ReadMixedLabels(object, &batch);
  const int64_t image = 3 * batch.height * batch.width, size = batch.count * image;
  const Napi::TypedArray images = object.Get("images").As<Napi::TypedArray>();
  if (object.Get("indices").IsTypedArray()) {
    const Napi::Uint32Array indices = object.Get("indices").As<Napi::Uint32Array>();
    CheckSize(indices.ElementLength(), batch.count, "indices");
    batch.pixels = Gather(images.As<Napi::Uint8Array>(), indices, static_cast<size_t>(image));
    batch.options.augment = ReadAugmentation(object);
    return batch;
  }
  CheckSize(images.ElementLength(), size, "images");
  if (images.TypedArrayType() == napi_float32_array) {
    const float* data = images.As<Napi::Float32Array>().Data();
    batch.images.assign(data, data + size);
    return batch;
  }
  const uint8_t* data = images.As<Napi::Uint8Array>().Data();
  batch.pixels.assign(data, data + size);
  batch.options.augment = ReadAugmentation(object);
  return batch;
}

void BatchInput::Augment(const std::atomic<bool>* cancelled) {
  if (pixels.empty()) return;
  augmented = AugmentPixels(pixels.data(), count, height, width, options.augment, cancelled);
  pixels = {};
}

int64_t BatchInput::ImageBytes() const {
  const size_t bytes = augmented.defined() ? augmented.nbytes() : pixels.size();
  return static_cast<int64_t>(bytes + images.size() * sizeof(float));
}

at::Tensor BatchInput::Images(c10::Device device) const {
  if (augmented.defined()) return ToNetworkInput(augmented, options).to(device);
  if (!pixels.empty()) {
    const at::Tensor bytes =
        options.augment.changes_pixels()
            ? AugmentPixels(pixels.data(), count, height, width, options.augment, nullptr)
            : at::from_blob(const_cast<uint8_t*>(pixels.data()), {count, 3, height, width},
                            at::TensorOptions().dtype(at::kByte));
    return ToNetworkInput(bytes, options).to(device);
  }
  return at::from_blob(const_cast<float*>(images.data()), {count, 3, height, width},
                       at::TensorOptions().dtype(at::kFloat))
      .to(device, at::kFloat, /*non_blocking=*/false, /*copy=*/true);
}

at::Tensor BatchInput::Labels(c10::Device device) const { return LabelTensor(labels, device); }

MixedLabels BatchInput::LabelsAfterMixing() const {
  MixedLabels mixed{labels, other_labels, label_shares};
  if (!options.augment.mixes()) return mixed;
  mixed.others.resize(labels.size());
  mixed.shares.resize(labels.size());
  const std::vector<Mix> mixes = DrawMixes(options.augment, count, options.image_size);
  for (size_t i = 0; i < labels.size(); ++i) {
    const int64_t other = labels[static_cast<size_t>(mixes[i].other)];
    const bool own_is_larger = mixes[i].share >= 0.5F;
    mixed.labels[i] = own_is_larger ? labels[i] : other;
    mixed.others[i] = own_is_larger ? other : labels[i];
    mixed.shares[i] = own_is_larger ? mixes[i].share : 1.0F - mixes[i].share;
  }
  return mixed;
}

Supervision BatchInput::Targets(c10::Device device) const {
  Supervision supervision;
  supervision.mean = options.mean;
  supervision.std = options.std;
  const MixedLabels mixed = LabelsAfterMixing();
  supervision.labels = LabelTensor(mixed.labels, device);
  if (mixed.others.empty()) return supervision;
  supervision.other_labels = LabelTensor(mixed.others, device);
  supervision.label_shares = at::tensor(at::ArrayRef<float>(mixed.shares), at::kFloat).to(device);
  return supervision;
}

at::Tensor LabelTensor(const std::vector<int64_t>& labels, c10::Device device) {
  return at::tensor(at::ArrayRef<int64_t>(labels), at::kLong).to(device);
}

c10::Device ReadDevice(const Napi::Value& value) {
  const std::string text = value.As<Napi::String>().Utf8Value();
  const c10::Device device(text);
  if (device.is_cpu()) return device;
  const int64_t count =
      at::globalContext().hasCUDA() ? at::detail::getCUDAHooks().deviceCount() : 0;
  const int64_t index = device.has_index() ? device.index() : 0;
  if (index >= count) {
    throw CodedError(
        "ERR_DEVICE_UNAVAILABLE",
        "Device " + text + " is not available: this LibTorch " +
            (at::globalContext().hasCUDA() ? "sees " + std::to_string(count) + " CUDA device(s)"
                                           : "has no CUDA support loaded"),
        "Use --device cpu, or install the cuda flavor: localformer libtorch install "
        "--flavor cuda");
  }
  return c10::Device(c10::kCUDA, static_cast<c10::DeviceIndex>(index));
}

}  // namespace localformer
