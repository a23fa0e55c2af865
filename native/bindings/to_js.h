// C++ values -> JavaScript, by type: numbers, the words of enumerations (core/fields.h), null for
// what is absent, lists, and structs by their Fields.
#pragma once

#include <napi.h>

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "fields.h"

namespace localformer {

template <typename T>
Napi::Value ToJs(Napi::Env env, const T& value);
template <typename T>
Napi::Value ToJs(Napi::Env env, const std::vector<T>& values);
template <typename T, size_t N>
Napi::Value ToJs(Napi::Env env, const std::array<T, N>& values);

template <typename T>
Napi::Value ToJs(Napi::Env env, const std::optional<T>& value) {
  return value ? ToJs(env, *value) : env.Null();
}

// A typed array.
template <typename Array, typename T>
Napi::Value CopyToJs(Napi::Env env, const std::vector<T>& values) {
  Array array = Array::New(env, values.size());
  std::copy(values.begin(), values.end(), array.Data());
  return array;
}

// Bytes, floats and int32 are typed arrays, all else is a list.
template <typename T>
Napi::Value ToJs(Napi::Env env, const std::vector<T>& values) {
  if constexpr (std::is_same_v<T, uint8_t>) {
    return CopyToJs<Napi::Uint8Array>(env, values);
  } else if constexpr (std::is_same_v<T, float>) {
    return CopyToJs<Napi::Float32Array>(env, values);
  } else if constexpr (std::is_same_v<T, int32_t>) {
    return CopyToJs<Napi::Int32Array>(env, values);
  } else {
    Napi::Array array = Napi::Array::New(env, values.size());
    for (uint32_t i = 0; i < values.size(); ++i) array.Set(i, ToJs(env, values[i]));
    return array;
  }
}

template <typename T, size_t N>
Napi::Value ToJs(Napi::Env env, const std::array<T, N>& values) {
  return ToJs(env, std::vector<T>(values.begin(), values.end()));
}

template <typename T>
Napi::Value ToJs(Napi::Env env, const T& value) {
  if constexpr (std::is_same_v<T, bool>) {
    return Napi::Boolean::New(env, value);
  } else if constexpr (std::is_arithmetic_v<T>) {
    return Napi::Number::New(env, static_cast<double>(value));
  } else if constexpr (std::is_enum_v<T>) {
    return Napi::String::New(env, WordOf(value));
  } else if constexpr (std::is_convertible_v<T, std::string>) {
    return Napi::String::New(env, value);
  } else {
    Napi::Object object = Napi::Object::New(env);
    T::Fields(value,
              [&](const char* name, const auto& field) { object.Set(name, ToJs(env, field)); });
    return object;
  }
}

}  // namespace localformer
