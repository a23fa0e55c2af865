// How a struct names its fields and an enumeration its words, said once beside their declaration;
// who reads or writes them by name (native/bindings) needs no list of its own.
//
//   struct Options {
//     double sample = 1.0;
//     template <typename Self, typename Visit>
//     static void Fields(Self& self, Visit&& visit) {
//       visit("sample", self.sample);
//     }
//   };
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "coded_error.h"

namespace localformer {

// A row of an enumeration's table; `word` is what users write and read.
template <typename E>
struct Word {
  const char* word;
  E value;
};

// Specialised beside each enumeration: `static constexpr Word<E> kTable[]`, every value once.
template <typename E>
struct Words;

// The row of a table whose `word` it is; rows may hold more, such as a factory. Throws CodedError
// ERR_CONFIG that names every word.
template <typename Row, size_t N>
const Row& RowOf(const Row (&table)[N], const std::string& option, const std::string& word) {
  std::string words;
  for (const Row& row : table) {
    if (word == row.word) return row;
    words += (words.empty() ? "" : ", ") + std::string(row.word);
  }
  throw CodedError("ERR_CONFIG", "Expected one of " + words + " for `" + option +
                                     "` but received \"" + word + "\"");
}

// The value itself. Throws CodedError ERR_CONFIG where it is less than `least`.
inline int64_t AtLeast(int64_t least, int64_t value, const std::string& option) {
  if (value >= least) return value;
  throw CodedError("ERR_CONFIG", "Expected " + std::to_string(least) + " or more for `" + option +
                                     "` but received " + std::to_string(value));
}

template <typename E>
const char* WordOf(E value) {
  for (const Word<E>& row : Words<E>::kTable) {
    if (row.value == value) return row.word;
  }
  return "unknown";
}

}  // namespace localformer
