// The name of a device -> the device.
#pragma once

#include <c10/core/Device.h>
#include <napi.h>

namespace localformer {

// "cpu", "cuda", "cuda:1". Throws CodedError ERR_DEVICE_UNAVAILABLE where there is no such device.
c10::Device ReadDevice(const Napi::Value& value);

}  // namespace localformer
