// c10d's stores hold bytes.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace localformer {

inline std::vector<uint8_t> BytesOf(const std::string& text) { return {text.begin(), text.end()}; }
inline std::string TextOf(const std::vector<uint8_t>& bytes) {
  return {bytes.begin(), bytes.end()};
}

}  // namespace localformer
