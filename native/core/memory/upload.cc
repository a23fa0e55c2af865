// See upload.h.
#include "memory/upload.h"

#include <ATen/ATen.h>

#include "memory/dry_run.h"

namespace localformer {

at::Tensor Upload(const at::Tensor& values, c10::Device device) {
  if (device.is_cpu()) return values;
  // Pages of values that nobody looks at are not touched.
  const at::Tensor pinned = IsDryRun()
                                ? at::empty_like(values, values.options().pinned_memory(true))
                                : values.pin_memory();
  return pinned.to(device, /*non_blocking=*/true);
}

}  // namespace localformer
