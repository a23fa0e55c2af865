// What matrix products and convolutions run in, by the names that users give, and what lies between
// them.
#pragma once

#include <c10/core/ScalarType.h>

#include "fields.h"

namespace localformer {

template <>
struct Words<c10::ScalarType> {
  static constexpr Word<c10::ScalarType> kTable[] = {{"float32", c10::ScalarType::Float},
                                                     {"bfloat16", c10::ScalarType::BFloat16}};
};

// Of what lies between products of `type`: the residual stream, norms, logits. float32, but float64
// where gradients are checked.
inline c10::ScalarType StreamType(c10::ScalarType type) {
  return c10::promoteTypes(type, c10::ScalarType::Float);
}

}  // namespace localformer
