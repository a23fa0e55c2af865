// See from_js.h.
#include "from_js.h"

namespace localformer {
namespace {

std::string Told(const Napi::Value& value) {
  switch (value.Type()) {
    case napi_undefined:
      return "nothing";
    case napi_null:
    case napi_boolean:
    case napi_number:
      return value.ToString().Utf8Value();
    case napi_string:
      return "\"" + value.As<Napi::String>().Utf8Value() + "\"";
    case napi_function:
      return "a function";
    case napi_object:
      return value.IsArray() ? "another list" : "an object";
    default:
      return "a value of another type";
  }
}

}  // namespace

CodedError Unexpected(const std::string& what, const std::string& name, const Napi::Value& value) {
  return CodedError("ERR_CONFIG",
                    "Expected " + what + " for `" + name + "` but received " + Told(value));
}

int64_t IntegerFromJs(const Napi::Value& value, const std::string& name) {
  constexpr double kLargest = 9007199254740991.0;
  const double number = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : std::nan("");
  if (std::trunc(number) == number && std::abs(number) <= kLargest) {
    return static_cast<int64_t>(number);
  }
  throw Unexpected("a whole number", name, value);
}

}  // namespace localformer
