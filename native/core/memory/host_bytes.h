// Bytes in host memory that a device copies from and to without waiting: pinned where there is a
// device, and for the CPU, which stands in for one in tests and predictions, memory that its
// allocator does not count.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <cstdint>
#include <functional>
#include <vector>

namespace localformer {

class HostBytes {
 public:
  // Room for `size` bytes that are copied from and to `device`. Throws CodedError
  // ERR_OUT_OF_MEMORY.
  HostBytes(int64_t size, c10::Device device);

  // Calls `use` with every piece of [begin, begin + size), as uint8 tensors, and its distance from
  // `begin`.
  void ForEach(int64_t begin, int64_t size,
               const std::function<void(const at::Tensor& piece, int64_t at)>& use) const;

 private:
  // PyTorch's pinned memory comes in powers of two, so that is how it is asked for: a piece of
  // `size` bytes could take twice as much.
  std::vector<at::Tensor> pieces_;
};

}  // namespace localformer
