// JavaScript's typed arrays -> C++. What an array holds is looked at in the moment in which it is
// copied: whatever runs JavaScript in between may have detached its buffer or made it smaller.
#pragma once

#include <napi.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "from_js.h"

namespace localformer {

// Specialised for the elements that the addon takes.
template <typename T>
struct ElementsOf;
template <>
struct ElementsOf<float> {
  static constexpr napi_typedarray_type kType = napi_float32_array;
  static constexpr const char* kWhat = "a Float32Array";
};
template <>
struct ElementsOf<uint8_t> {
  static constexpr napi_typedarray_type kType = napi_uint8_array;
  static constexpr const char* kWhat = "a Uint8Array";
};
template <>
struct ElementsOf<int32_t> {
  static constexpr napi_typedarray_type kType = napi_int32_array;
  static constexpr const char* kWhat = "an Int32Array";
};
template <>
struct ElementsOf<uint32_t> {
  static constexpr napi_typedarray_type kType = napi_uint32_array;
  static constexpr const char* kWhat = "a Uint32Array";
};

// Valid until JavaScript runs again.
template <typename T>
struct View {
  const T* data = nullptr;
  size_t size = 0;
};

template <typename T>
bool IsArrayOf(const Napi::Value& value) {
  return value.IsTypedArray() &&
         value.As<Napi::TypedArray>().TypedArrayType() == ElementsOf<T>::kType;
}

// Empty where the array's buffer was detached or has shrunk. Throws CodedError ERR_CONFIG for
// anything but an array of exactly these elements.
template <typename T>
View<T> ViewOf(const Napi::Value& value, const std::string& name) {
  if (!IsArrayOf<T>(value)) throw Unexpected(ElementsOf<T>::kWhat, name, value);
  void* data = nullptr;
  size_t size = 0;
  const napi_status status =
      napi_get_typedarray_info(value.Env(), value, nullptr, &size, &data, nullptr, nullptr);
  if (status != napi_ok) throw Unexpected(ElementsOf<T>::kWhat, name, value);
  return {static_cast<const T*>(data), size};
}

template <typename T>
std::vector<T> CopyOf(const View<T>& view) {
  return std::vector<T>(view.data, view.data + view.size);
}

}  // namespace localformer
