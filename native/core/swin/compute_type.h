// What matrix products and convolutions run in, by the names that users give.
#pragma once

#include <c10/core/ScalarType.h>

#include "fields.h"

namespace localformer {

template <>
struct Words<c10::ScalarType> {
  static constexpr Word<c10::ScalarType> kTable[] = {{"float32", c10::ScalarType::Float},
                                                     {"bfloat16", c10::ScalarType::BFloat16}};
};

}  // namespace localformer
