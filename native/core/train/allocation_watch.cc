// See allocation_watch.h.
#include "train/allocation_watch.h"

#include <ATen/Context.h>

#include "memory/caching_cpu_allocator.h"

namespace localformer {

AllocationWatch::AllocationWatch()
    : one_dnn_(at::globalContext().userEnabledMkldnn()),
      failures_before_(OutOfMemoryCount()),
      warnings_(*this, c10::WarningUtils::get_warning_handler()),
      warnings_guard_(&warnings_) {}

AllocationWatch::~AllocationWatch() {
  if (HasFailed()) at::globalContext().setUserEnabledMkldnn(one_dnn_);
}

void AllocationWatch::ThrowIfFailed() const {
  TORCH_CHECK_WITH(OutOfMemoryError, !HasFailed(), "An allocation on the CPU failed");
}

bool AllocationWatch::HasFailed() const { return OutOfMemoryCount() != failures_before_; }

void AllocationWatch::Warnings::process(const c10::Warning& warning) {
  if (!watch_.HasFailed()) next_->process(warning);
}

}  // namespace localformer
