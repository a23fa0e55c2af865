// An error with one of the package's stable codes, thrown by the core and given to JavaScript as it
// is.
#pragma once

#include <cstdint>
#include <map>
#include <stdexcept>
#include <string>
#include <utility>

namespace localformer {

class CodedError : public std::runtime_error {
 public:
  CodedError(std::string the_code, const std::string& message, std::string the_hint = "")
      : std::runtime_error(message), code(std::move(the_code)), hint(std::move(the_hint)) {}

  std::string code;
  std::string hint;
  // Facts that become properties of the JavaScript error.
  std::map<std::string, std::string> text;
  std::map<std::string, int64_t> numbers;
};

}  // namespace localformer
