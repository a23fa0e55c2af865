// A batch in JavaScript's memory -> a copy in plain memory, so that another thread may read it.
#pragma once

#include <napi.h>

#include <cstdint>
#include <string>
#include <vector>

#include "data/batch_input.h"

namespace localformer {

// A NativeBatch of lib/native/contract.ts. Throws CodedError ERR_CONFIG for a value of another
// type, ERR_SHAPE for sizes that do not belong together.
BatchInput ReadBatch(const Napi::Value& value);

// An Int32Array.
std::vector<int64_t> ReadLabels(const Napi::Value& value, const std::string& name);

}  // namespace localformer
