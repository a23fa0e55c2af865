// Values on their way from the host to a device.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

namespace localformer {

// Values of a tensor in host memory on the device, in order with what is computed there. They are
// copied to pinned memory first, so that neither waits for the other. On the CPU the tensor itself.
at::Tensor Upload(const at::Tensor& values, c10::Device device);

}  // namespace localformer
