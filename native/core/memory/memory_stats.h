// Memory statistics of any device under PyTorch's names.
// In: a device. Out: its allocator, its statistics, and the list that torch.cuda.memory_stats()
// returns in PyTorch 2.11 (torch/cuda/memory.py, torch/csrc/cuda/Module.cpp).
#pragma once

#include <c10/core/CachingDeviceAllocator.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace localformer {

// For the CPU the process-wide CachingCpuAllocator, which must be installed. Throws
// CodedError ERR_DEVICE_UNAVAILABLE if the device has no allocator with statistics.
c10::DeviceAllocator* AllocatorFor(c10::Device device);

// Peaks are those since the last ResetPeakStats, whatever PeakWindows were open. A device on which
// nothing was allocated yet gives zeros.
c10::CachingDeviceAllocator::DeviceStats ReadStats(c10::Device device);
void ResetPeakStats(c10::Device device);
void ResetAccumulatedStats(c10::Device device);
void EmptyCache(c10::Device device);

// (key, value) in the keys' order, e.g. {"allocated_bytes.all.peak", 1024}. Sizes are in bytes;
// max_split_size is -1 where blocks of any size are split.
std::vector<std::pair<std::string, int64_t>> FlatStats(
    const c10::CachingDeviceAllocator::DeviceStats& stats);

}  // namespace localformer
