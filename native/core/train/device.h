// What a step asks of the device it runs on.
#pragma once

#include <c10/core/Device.h>
#include <c10/core/Event.h>

#include <chrono>
#include <cstdint>
#include <optional>

#include "memory/peak_window.h"

namespace localformer {

// Waits until all work on the device is done; the CPU has none left over.
void Synchronize(c10::Device device);
// Until what this thread has given to the device is done.
void SynchronizeStream(c10::Device device);

// Live bytes on the device now.
int64_t AllocatedBytes(c10::Device device);

// Gives back what a device's allocator keeps for reuse, before and after what is measured: it hands
// out what it has without cutting it to size, so that else what is measured depends on what was
// done before, and what comes after on what was measured. The CPU's does not.
class WithoutCache {
 public:
  explicit WithoutCache(c10::Device device);
  ~WithoutCache();
  WithoutCache(const WithoutCache&) = delete;
  WithoutCache& operator=(const WithoutCache&) = delete;

 private:
  const c10::Device device_;
};

// Makes the device's libraries take what they keep, on the calling thread and on autograd's, so
// that it is resident before anything is measured: cuBLAS takes a workspace for each thread's
// handle at its first product (32 MiB on compute capability 9.0). Once for each thread and device;
// nothing on the CPU.
void WarmUp(c10::Device device);

// Bytes that WarmUp took on this device, by any thread.
int64_t WorkspaceBytes(c10::Device device);

// How long the device took for what is queued between two moments.
class Stopwatch {
 public:
  // Starts.
  explicit Stopwatch(c10::Device device);
  void Stop();
  // Once all work up to Stop is done.
  double Seconds() const;

 private:
  c10::Device device_;
  std::chrono::steady_clock::time_point start_, stop_;  // On the CPU.
  std::optional<c10::Event> started_, stopped_;         // On a device, which the host does not wait
                                                        // for.
};

// A window over the device's own allocator.
PeakWindow OpenPeakWindow(c10::Device device);

}  // namespace localformer
