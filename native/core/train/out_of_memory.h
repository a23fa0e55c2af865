// A failed allocation as an error that says how much was asked for, where, and what to do.
#pragma once

#include <c10/core/Device.h>
#include <c10/util/Exception.h>

#include <string>

#include "coded_error.h"

namespace localformer {

// ERR_OUT_OF_MEMORY with requestedBytes, allocatedBytes, reservedBytes, limitBytes; `module` and
// `phase` may be empty. To be called where c10::OutOfMemoryError was caught, on the same thread.
CodedError OutOfMemory(c10::Device device, const std::string& module, const std::string& phase);

// The same outside of a step, where the device is known to the error alone.
CodedError OutOfMemory(const c10::OutOfMemoryError& error);

}  // namespace localformer
