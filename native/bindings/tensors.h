// Named parameters to and from JavaScript: { name: { shape, data: Float32Array } }.
#pragma once

#include <napi.h>

#include <string>
#include <vector>

#include "swin/parameters.h"
#include "to_js.h"

namespace localformer {

// Values copied to plain memory, so that they can cross threads.
struct PlainTensor {
  std::string name;
  std::vector<int64_t> shape;
  std::vector<float> data;  // empty where a gradient is none

  template <typename Self, typename Visit>
  static void Fields(Self& self, Visit&& visit) {
    visit("shape", self.shape);
    visit("data", self.data);
  }
};

PlainTensor CopyOut(const std::string& name, const at::Tensor& tensor);
std::vector<PlainTensor> CopyOut(const ParameterList& parameters);
// Writes values of the same names and shapes into the parameters, all or none. Throws CodedError
// ERR_CHECKPOINT that lists unknown and misshapen names.
void CopyIn(const std::vector<PlainTensor>& values, const ParameterList& parameters);

Napi::Value ToJs(Napi::Env env, const std::vector<PlainTensor>& tensors);
// Own enumerable properties of an object, each read once; whether they fit is for CopyIn to say.
// Throws CodedError ERR_CHECKPOINT. `name`: what the object is called.
std::vector<PlainTensor> ReadTensors(const Napi::Value& value, const std::string& name);
// [{ name, shape }] without values.
Napi::Array Describe(Napi::Env env, const ParameterList& parameters);

}  // namespace localformer
