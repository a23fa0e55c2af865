// Work that is done for its memory alone. On the CPU everything that a step allocates is allocated,
// in the same order and of the same sizes, but what this package computes itself is left out:
// products, the loops of a block, convolutions, first weights, updates. So most pages are never
// touched, and a step of any size takes a moment. Values are what the memory happened to hold:
// nothing may depend on them, and no step of such a process is one of training. A simulated card
// computes nothing anyway; there only first weights are left out.
#pragma once

#include <c10/core/Device.h>

namespace localformer {

// Is it on for the calling thread, or for the process?
bool IsDryRun();

// And is it of effect there: on the CPU?
inline bool IsDryRunOn(c10::Device device) { return device.is_cpu() && IsDryRun(); }

// For processes that only plan: from now on, on all threads.
void SetDryRuns(bool dry);

// On the calling thread while it lives, where the device is the CPU: elsewhere only work that is
// done takes its memory. Scopes nest.
class DryRunScope {
 public:
  explicit DryRunScope(c10::Device device);
  ~DryRunScope();
  DryRunScope(const DryRunScope&) = delete;
  DryRunScope& operator=(const DryRunScope&) = delete;

 private:
  const bool is_on_;
};

}  // namespace localformer
