// See tensors.h.
#include "tensors.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <cstring>
#include <map>

#include "coded_error.h"

namespace localformer {

PlainTensor CopyOut(const std::string& name, const at::Tensor& tensor) {
  PlainTensor plain;
  plain.name = name;
  if (!tensor.defined()) return plain;
  plain.shape = tensor.sizes().vec();
  const at::Tensor flat = tensor.detach().to(at::kCPU, at::kFloat).contiguous();
  const float* data = flat.const_data_ptr<float>();
  plain.data.assign(data, data + flat.numel());
  return plain;
}

std::vector<PlainTensor> CopyOut(const ParameterList& parameters) {
  std::vector<PlainTensor> list;
  for (const auto& [name, tensor] : parameters) list.push_back(CopyOut(name, tensor));
  return list;
}

void CopyIn(const std::vector<PlainTensor>& values, const ParameterList& parameters) {
  c10::NoGradGuard no_grad;
  const std::map<std::string, at::Tensor> by_name(parameters.begin(), parameters.end());
  std::string problems;
  for (const PlainTensor& value : values) {
    const auto found = by_name.find(value.name);
    if (found == by_name.end()) {
      problems += "\n  " + value.name + ": no such parameter";
    } else if (found->second.sizes() != at::IntArrayRef(value.shape) ||
               static_cast<int64_t>(value.data.size()) != found->second.numel()) {
      problems += "\n  " + value.name + ": has shape " + c10::str(found->second.sizes()) +
                  ", received " + c10::str(at::IntArrayRef(value.shape)) + " with " +
                  std::to_string(value.data.size()) + " values";
    }
  }
  if (!problems.empty()) {
    throw CodedError("ERR_CHECKPOINT", "These tensors do not fit the model:" + problems);
  }
  for (const PlainTensor& value : values) {
    by_name.at(value.name)
        .copy_(at::from_blob(const_cast<float*>(value.data.data()), value.shape, at::kFloat));
  }
}

Napi::Value ToJs(Napi::Env env, const std::vector<PlainTensor>& tensors) {
  Napi::Object object = Napi::Object::New(env);
  for (const PlainTensor& tensor : tensors) object.Set(tensor.name, ToJs(env, tensor));
  return object;
}

std::vector<PlainTensor> ReadTensors(const Napi::Object& object) {
  std::vector<PlainTensor> list;
  const Napi::Array names = object.GetPropertyNames();
  for (uint32_t i = 0; i < names.Length(); ++i) {
    PlainTensor tensor;
    tensor.name = names.Get(i).As<Napi::String>().Utf8Value();
    const Napi::Object value = object.Get(tensor.name).As<Napi::Object>();
    const Napi::Array shape = value.Get("shape").As<Napi::Array>();
    for (uint32_t d = 0; d < shape.Length(); ++d) {
      tensor.shape.push_back(shape.Get(d).As<Napi::Number>().Int64Value());
    }
    const Napi::Float32Array data = value.Get("data").As<Napi::Float32Array>();
    tensor.data.assign(data.Data(), data.Data() + data.ElementLength());
    list.push_back(std::move(tensor));
  }
  return list;
}

Napi::Array Describe(Napi::Env env, const ParameterList& parameters) {
  Napi::Array array = Napi::Array::New(env, parameters.size());
  for (uint32_t i = 0; i < parameters.size(); ++i) {
    Napi::Object object = Napi::Object::New(env);
    object.Set("name", parameters[i].first);
    object.Set("shape", ToJs(env, parameters[i].second.sizes().vec()));
    array.Set(i, object);
  }
  return array;
}

}  // namespace localformer
