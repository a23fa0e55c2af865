// See read_device.h.
#include "read_device.h"

#include <ATen/Context.h>

#include <string>

#include "from_js.h"

namespace localformer {

c10::Device ReadDevice(const Napi::Value& value) {
  const std::string text = FromJs<std::string>(value, "device");
  const c10::Device device(text);
  if (device.is_cpu()) return device;
  const int64_t count =
      at::globalContext().hasCUDA() ? at::detail::getCUDAHooks().deviceCount() : 0;
  const int64_t index = device.has_index() ? device.index() : 0;
  if (index >= count) {
    throw CodedError(
        "ERR_DEVICE_UNAVAILABLE",
        "Device " + text + " is not available: this LibTorch " +
            (at::globalContext().hasCUDA() ? "sees " + std::to_string(count) + " CUDA device(s)"
                                           : "has no CUDA support loaded"),
        "Use --device cpu, or install the cuda flavor: localformer libtorch install "
        "--flavor cuda");
  }
  return c10::Device(c10::kCUDA, static_cast<c10::DeviceIndex>(index));
}

}  // namespace localformer
