// See prepared_wrap.h.
#include "prepared_wrap.h"

#include <ATen/ATen.h>

#include "addon_data.h"
#include "coded_error.h"
#include "from_js.h"
#include "read_batch.h"
#include "tensors.h"

namespace localformer {
namespace {

// What a step would get, as plain values.
struct Look {
  std::vector<uint8_t> pixels;
  std::vector<int64_t> pixel_shape;
  PlainTensor images;
  MixedLabels labels;
};

template <typename Array, typename Value>
Array Copied(Napi::Env env, const std::vector<Value>& values) {
  Array array = Array::New(env, values.size());
  for (size_t i = 0; i < values.size(); ++i) {
    array[i] = static_cast<std::decay_t<decltype(array[i])>>(values[i]);
  }
  return array;
}

Look LookAt(const BatchInput& batch) {
  Look look;
  if (batch.augmented.defined()) {
    const uint8_t* data = batch.augmented.const_data_ptr<uint8_t>();
    look.pixels.assign(data, data + batch.augmented.numel());
    look.pixel_shape = batch.augmented.sizes().vec();
  }
  look.images = CopyOut("images", batch.Images(c10::kCPU));
  look.labels = batch.LabelsAfterMixing();
  return look;
}

Napi::Value DescribeLook(Napi::Env env, const Look& look) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("images", ToJs(env, look.images));
  if (!look.pixels.empty()) {
    Napi::Object pixels = Napi::Object::New(env);
    pixels.Set("shape", ToJs(env, look.pixel_shape));
    pixels.Set("data", Copied<Napi::Uint8Array>(env, look.pixels));
    object.Set("pixels", pixels);
  }
  object.Set("labels", Copied<Napi::Int32Array>(env, look.labels.labels));
  if (look.labels.others.empty()) return object;
  object.Set("otherLabels", Copied<Napi::Int32Array>(env, look.labels.others));
  object.Set("labelShares", Copied<Napi::Float32Array>(env, look.labels.shares));
  return object;
}

}  // namespace

Napi::Function PreparedWrap::Define(Napi::Env env) {
  return DefineClass(env, "NativePrepared",
                     {
                         InstanceMethod<&PreparedWrap::ByteLength>("byteLength"),
                         InstanceMethod<&PreparedWrap::Read>("read"),
                         InstanceMethod<&PreparedWrap::Dispose>("dispose"),
                     });
}

// Called by Create with the batch; scripts cannot construct handles.
PreparedWrap::PreparedWrap(const Napi::CallbackInfo& info) : Napi::ObjectWrap<PreparedWrap>(info) {
  if (!info[0].IsExternal()) throw Napi::TypeError::New(info.Env(), "Illegal constructor");
  batch_ = *info[0].As<Napi::External<std::shared_ptr<const BatchInput>>>().Data();
  info.This().As<Napi::Object>().TypeTag(&kTag);
}

Napi::Value PreparedWrap::Create(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&] {
    Executor& executor = DataOf(info.Env()).data_executor;
    auto batch = std::make_shared<BatchInput>(ReadBatch(info[0]));
    return executor.Run(
        info.Env(),
        [batch, cancelled = executor.cancelled()]() -> std::shared_ptr<const BatchInput> {
          batch->Augment(cancelled);
          return batch;
        },
        [](Napi::Env env, std::shared_ptr<const BatchInput>& done) -> Napi::Value {
          return DataOf(env).prepared.New(
              {Napi::External<std::shared_ptr<const BatchInput>>::New(env, &done)});
        });
  });
}

std::shared_ptr<const BatchInput> PreparedWrap::ReadStepBatch(const Napi::Value& value) {
  if (IsHandle<PreparedWrap>(value)) return Unwrap(value.As<Napi::Object>())->batch();
  return std::make_shared<const BatchInput>(ReadBatch(value));
}

const std::shared_ptr<const BatchInput>& PreparedWrap::batch() const {
  if (!batch_) throw CodedError("ERR_DISPOSED", "The prepared batch was disposed");
  return batch_;
}

Napi::Value PreparedWrap::ByteLength(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&]() -> Napi::Value {
    return Napi::Number::New(info.Env(), static_cast<double>(batch()->ImageBytes()));
  });
}

// Floats are made on the thread that trains, since tensor operations may use a team of threads.
Napi::Value PreparedWrap::Read(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&] {
    return DataOf(info.Env())
        .executor.Run(
            info.Env(), [held = batch()] { return LookAt(*held); },
            [](Napi::Env env, Look& look) -> Napi::Value { return DescribeLook(env, look); });
  });
}

void PreparedWrap::Dispose(const Napi::CallbackInfo&) { batch_.reset(); }

}  // namespace localformer
