// What a step asks of the device it runs on.
#pragma once

#include <c10/core/Device.h>

#include <cstdint>

#include "memory/peak_window.h"

namespace localformer {

// Waits until all work on the device is done; the CPU has none left over.
void Synchronize(c10::Device device);

// Live bytes on the device now.
int64_t AllocatedBytes(c10::Device device);

// A window over the device's own allocator.
PeakWindow OpenPeakWindow(c10::Device device);

}  // namespace localformer
