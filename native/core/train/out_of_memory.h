// A failed allocation as an error that says how much was asked for, where, and what to do.
#pragma once

#include <c10/core/Device.h>
#include <c10/util/Exception.h>

#include <string>

#include "coded_error.h"
#include "memory/caching_cpu_allocator.h"

namespace localformer {

// Is it memory that was missing? Beside what allocators throw: the CUDA runtime's own "out of
// memory" (pinned memory, streams, events), and libraries that got none for a handle, which are
// plain errors.
bool IsOutOfMemory(const c10::Error& error);

// ERR_OUT_OF_MEMORY with requestedBytes (where it is known), allocatedBytes, reservedBytes,
// limitBytes; `module` and `phase` may be empty. To be called where an error that IsOutOfMemory was
// caught, on the same thread.
CodedError OutOfMemory(c10::Device device, const std::string& module, const std::string& phase);

// The same outside of a step, where the device is known to the failure alone.
CodedError OutOfMemory(const c10::Error& error);

// What a device's allocator says at the moment at which it fails, on any thread: later everything
// that the step held is freed. The last one is kept until it is told. Visible for
// liblocalformer_cuda.so.
__attribute__((visibility("default"))) void NoteOutOfMemory(c10::Device device,
                                                            const OutOfMemoryInfo& info);

}  // namespace localformer
