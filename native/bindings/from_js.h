// JavaScript values -> C++, by type: numbers, the words of enumerations (core/fields.h), lists, and
// structs by their Fields. Each value is read once; what is missing or of another type is a
// CodedError ERR_CONFIG that names it. Fields that a struct does not have are left alone.
#pragma once

#include <napi.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "coded_error.h"
#include "fields.h"

namespace localformer {

// Expected `what` for `name` but received ...
CodedError Unexpected(const std::string& what, const std::string& name, const Napi::Value& value);

template <typename T>
struct IsOptional : std::false_type {};
template <typename T>
struct IsOptional<std::optional<T>> : std::true_type {};

template <typename T>
struct IsVector : std::false_type {};
template <typename T>
struct IsVector<std::vector<T>> : std::true_type {};

template <typename T>
struct IsArray : std::false_type {};
template <typename T, size_t N>
struct IsArray<std::array<T, N>> : std::true_type {};

// The handle classes tag what they make: no other object passes for one, whatever its prototype.
template <typename Wrap>
bool IsHandle(const Napi::Value& value) {
  return value.IsObject() && value.As<Napi::Object>().CheckTypeTag(&Wrap::kTag);
}

// The native object behind a handle of class `Wrap`.
template <typename Wrap>
Wrap* HandleFromJs(const Napi::Value& value, const std::string& name) {
  if (IsHandle<Wrap>(value)) return Wrap::Unwrap(value.As<Napi::Object>());
  throw Unexpected("a handle", name, value);
}

// A whole number that a double holds exactly.
int64_t IntegerFromJs(const Napi::Value& value, const std::string& name);

template <typename T>
T FromJs(const Napi::Value& value, const std::string& name);

template <typename List>
List ListFromJs(const Napi::Value& value, const std::string& name) {
  if (!value.IsArray()) throw Unexpected("a list", name, value);
  const Napi::Array array = value.As<Napi::Array>();
  const uint32_t length = array.Length();
  List list{};
  if constexpr (IsArray<List>::value) {
    if (length != list.size()) {
      throw Unexpected("a list of " + std::to_string(list.size()), name, value);
    }
  } else {
    list.resize(length);
  }
  for (uint32_t i = 0; i < length; ++i) {
    list[i] = FromJs<typename List::value_type>(array.Get(i), name + "." + std::to_string(i));
  }
  return list;
}

template <typename T>
T FromJs(const Napi::Value& value, const std::string& name) {
  if constexpr (std::is_same_v<T, bool>) {
    if (!value.IsBoolean()) throw Unexpected("true or false", name, value);
    return value.As<Napi::Boolean>().Value();
  } else if constexpr (std::is_integral_v<T>) {
    const int64_t number = IntegerFromJs(value, name);
    if (std::is_unsigned_v<T> && number < 0) {
      throw Unexpected("a whole number of at least 0", name, value);
    }
    return static_cast<T>(number);
  } else if constexpr (std::is_floating_point_v<T>) {
    if (!value.IsNumber()) throw Unexpected("a number", name, value);
    return static_cast<T>(value.As<Napi::Number>().DoubleValue());
  } else if constexpr (std::is_enum_v<T>) {
    return RowOf(Words<T>::kTable, name, FromJs<std::string>(value, name)).value;
  } else if constexpr (std::is_same_v<T, std::string>) {
    if (!value.IsString()) throw Unexpected("a word", name, value);
    return value.As<Napi::String>().Utf8Value();
  } else if constexpr (IsOptional<T>::value) {
    if (value.IsUndefined() || value.IsNull()) return std::nullopt;
    return FromJs<typename T::value_type>(value, name);
  } else if constexpr (IsVector<T>::value || IsArray<T>::value) {
    return ListFromJs<T>(value, name);
  } else {
    if (!value.IsObject()) throw Unexpected("an object", name, value);
    const Napi::Object object = value.As<Napi::Object>();
    T result;
    T::Fields(result, [&](const char* field, auto& out) {
      out = FromJs<std::decay_t<decltype(out)>>(object.Get(field), name + "." + field);
    });
    return result;
  }
}

}  // namespace localformer
