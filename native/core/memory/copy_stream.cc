// See copy_stream.h.
#include "memory/copy_stream.h"

#include <c10/core/impl/VirtualGuardImpl.h>

namespace localformer {

CopyStream::CopyStream(c10::Device device) : device_(device) {
  if (device.is_cpu()) return;
  stream_ = c10::impl::VirtualGuardImpl(device.type()).getStreamFromGlobalPool(device);
  computed_.emplace(device.type());
}

c10::Stream CopyStream::Compute() const {
  return c10::impl::VirtualGuardImpl(device_.type()).getStream(device_);
}

c10::OptionalStreamGuard CopyStream::Enter() const { return c10::OptionalStreamGuard(stream_); }

void CopyStream::FollowCompute() {
  if (!stream_) return;
  computed_->record(Compute());
  computed_->block(*stream_);
}

void CopyStream::Record(std::optional<c10::Event>* moment) const {
  if (!stream_) return;
  if (!*moment) moment->emplace(device_.type());
  (*moment)->record(*stream_);
}

void CopyStream::AwaitOnCompute(const std::optional<c10::Event>& moment) const {
  if (moment) moment->block(Compute());
}

void CopyStream::HandOver(const at::Tensor& tensor) const {
  if (stream_) tensor.record_stream(Compute());
}

void CopyStream::Synchronize() const {
  if (stream_) stream_->synchronize();
}

void CopyStream::Count(int64_t bytes, bool to_host) {
  (to_host ? transfers_.to_host_bytes : transfers_.to_device_bytes) += bytes;
  ++transfers_.copies;
}

}  // namespace localformer
