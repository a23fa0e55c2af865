// See tensors.h.
#include "tensors.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <cstring>
#include <map>

#include "coded_error.h"
#include "from_js.h"
#include "memory/offloaded_tensors.h"
#include "typed_array.h"

namespace localformer {

PlainTensor CopyOut(const std::string& name, const at::Tensor& tensor) {
  PlainTensor plain;
  plain.name = name;
  if (!tensor.defined()) return plain;
  plain.shape = tensor.sizes().vec();
  const at::Tensor flat = ReadValues(tensor).to(at::kFloat).contiguous();
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
    WriteValues(by_name.at(value.name),
                at::from_blob(const_cast<float*>(value.data.data()), value.shape, at::kFloat));
  }
}

Napi::Value ToJs(Napi::Env env, const std::vector<PlainTensor>& tensors) {
  Napi::Object object = Napi::Object::New(env);
  for (const PlainTensor& tensor : tensors) object.Set(tensor.name, ToJs(env, tensor));
  return object;
}

namespace {

// Names that are the object's own and enumerable.
std::vector<Napi::Value> OwnNames(const Napi::Object& object) {
  napi_value names = nullptr;
  const auto filter = static_cast<napi_key_filter>(napi_key_enumerable | napi_key_skip_symbols);
  const napi_status status = napi_get_all_property_names(
      object.Env(), object, napi_key_own_only, filter, napi_key_numbers_to_strings, &names);
  // What a proxy throws is the script's own.
  if (status != napi_ok) throw Napi::Error::New(object.Env());
  const Napi::Array array(object.Env(), names);
  std::vector<Napi::Value> list;
  for (uint32_t i = 0; i < array.Length(); ++i) list.push_back(array.Get(i));
  return list;
}

PlainTensor ReadTensor(const std::string& name, const Napi::Value& value) {
  if (!value.IsObject()) throw Unexpected("a tensor", name, value);
  const Napi::Object object = value.As<Napi::Object>();
  PlainTensor tensor;
  tensor.name = name;
  tensor.shape = FromJs<std::vector<int64_t>>(object.Get("shape"), name + ".shape");
  // Last, and copied at once: a getter could give its memory up.
  tensor.data = CopyOf(ViewOf<float>(object.Get("data"), name + ".data"));
  return tensor;
}

}  // namespace

std::vector<PlainTensor> ReadTensors(const Napi::Value& value, const std::string& name) {
  try {
    if (!value.IsObject()) throw Unexpected("tensors by name", name, value);
    const Napi::Object object = value.As<Napi::Object>();
    std::vector<PlainTensor> list;
    for (const Napi::Value& key : OwnNames(object)) {
      list.push_back(ReadTensor(key.As<Napi::String>().Utf8Value(), object.Get(key)));
    }
    return list;
  } catch (CodedError& error) {
    error.code = "ERR_CHECKPOINT";
    throw;
  }
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
