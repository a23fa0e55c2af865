// A stream beside that of the computation, for copies between host and device, and what was copied
// on it. On the CPU there are no streams: what is asked for has happened when a call returns.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>
#include <c10/core/Event.h>
#include <c10/core/Stream.h>
#include <c10/core/StreamGuard.h>

#include <cstdint>
#include <optional>

namespace localformer {

// What was copied; `copies` both ways.
struct Transfers {
  int64_t to_device_bytes = 0;
  int64_t to_host_bytes = 0;
  int64_t copies = 0;

  Transfers operator-(const Transfers& before) const {
    return {to_device_bytes - before.to_device_bytes, to_host_bytes - before.to_host_bytes,
            copies - before.copies};
  }

  template <typename Self, typename Visit>
  static void Fields(Self& self, Visit&& visit) {
    visit("toDeviceBytes", self.to_device_bytes);
    visit("toHostBytes", self.to_host_bytes);
    visit("copies", self.copies);
  }
};

class CopyStream {
 public:
  explicit CopyStream(c10::Device device);

  c10::Device device() const { return device_; }

  // While the guard lives, this thread's work and allocations on the device belong to this stream.
  c10::OptionalStreamGuard Enter() const;

  // What is queued here from now on waits for what the computation has queued.
  void FollowCompute();

  // Records this stream as it is now; none on the CPU.
  void Record(std::optional<c10::Event>* moment) const;
  // What the computation queues from now on waits for such a moment.
  void AwaitOnCompute(const std::optional<c10::Event>& moment) const;

  // A tensor made here that the computation will give up: its memory is not used again before the
  // computation is done with it.
  void HandOver(const at::Tensor& tensor) const;

  // Waits, on the host, for everything that was queued here.
  void Synchronize() const;

  const Transfers& transfers() const { return transfers_; }
  void Count(int64_t bytes, bool to_host);

 private:
  c10::Stream Compute() const;

  c10::Device device_;
  std::optional<c10::Stream> stream_;  // None on the CPU.
  std::optional<c10::Event> computed_;
  Transfers transfers_;
};

}  // namespace localformer
