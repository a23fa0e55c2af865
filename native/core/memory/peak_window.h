// Peak memory over a stretch of a program, on any device; windows may nest and overlap.
// In: a c10::DeviceAllocator. Out: the highest allocated and reserved bytes since the window
// opened.
#pragma once

#include <c10/core/CachingDeviceAllocator.h>

#include <cstdint>
#include <memory>

namespace localformer {

// Measures from construction on; reading does not end it. Any thread may open, read and close.
//
// On the CPU (CachingCpuAllocator) each window keeps its own peak inside the allocator: exact under
// threads, and the allocator's own peaks are untouched.
//
// Other allocators (CUDA) have one peak per device, so windows share it: when a window opens or is
// read, the peak since the last such event is folded into all open windows and into the peak that
// the user sees, then reset. Hence on those devices peaks must be read with ReadStats() and reset
// with ResetPeakStats() of memory_stats.h, never with the allocator's own methods; an allocation by
// another thread between the fold's reading and resetting could be missed.
class PeakWindow {
 public:
  explicit PeakWindow(c10::DeviceAllocator* allocator, c10::DeviceIndex device = 0);
  ~PeakWindow();
  PeakWindow(PeakWindow&&) noexcept;
  PeakWindow& operator=(PeakWindow&&) noexcept;

  int64_t PeakAllocated() const;  // bytes
  int64_t PeakReserved() const;   // bytes

  class Source;  // where the peaks come from; defined in peak_window.cc

 private:
  std::unique_ptr<Source> source_;
};

// The allocator's statistics with the peaks since the user's last reset, as if no window existed.
c10::CachingDeviceAllocator::DeviceStats StatsOutsideWindows(c10::DeviceAllocator* allocator,
                                                             c10::DeviceIndex device);

// Starts the user's peaks anew; open windows keep theirs.
void ResetPeaksOutsideWindows(c10::DeviceAllocator* allocator, c10::DeviceIndex device);

}  // namespace localformer
