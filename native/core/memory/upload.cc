// See upload.h.
#include "memory/upload.h"

#include <ATen/ATen.h>

namespace localformer {

at::Tensor Upload(const at::Tensor& values, c10::Device device) {
  return device.is_cpu() ? values : values.pin_memory().to(device, /*non_blocking=*/true);
}

}  // namespace localformer
