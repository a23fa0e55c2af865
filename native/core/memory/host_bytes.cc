// See host_bytes.h.
#include "memory/host_bytes.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cstdlib>
#include <string>

#include "coded_error.h"
#include "memory/caching_cpu_allocator.h"

namespace localformer {
namespace {

// Less is not worth a copy of its own.
constexpr int64_t kLeastPiece = int64_t{1} << 20;
constexpr size_t kAlignment = 4096;

CodedError HostOutOfMemory(int64_t bytes) {
  const std::string mib = std::to_string((bytes + (1 << 20) - 1) >> 20);
  CodedError error(
      "ERR_OUT_OF_MEMORY",
      "Out of host memory: could not take " + mib + " MiB for what is offloaded from the device",
      "Take less of it: offload=optimizer instead of modules, SGD, no weight average; "
      "or give the process more (ulimit -l, the container's limit).");
  error.numbers = {{"requestedBytes", bytes}};
  return error;
}

at::Tensor Uncounted(int64_t bytes) {
  const size_t rounded = (static_cast<size_t>(bytes) + kAlignment - 1) / kAlignment * kAlignment;
  void* data = InstallCachingCpuAllocator()->TakesFailure()
                   ? nullptr
                   : std::aligned_alloc(kAlignment, rounded);
  if (data == nullptr) throw HostOutOfMemory(bytes);
  return at::from_blob(data, {bytes}, &std::free, at::kByte);
}

at::Tensor Pinned(int64_t bytes) {
  try {
    return at::empty({bytes}, at::TensorOptions().dtype(at::kByte).pinned_memory(true));
  } catch (const c10::AcceleratorError& error) {
    constexpr int32_t kOutOfMemory =
        2;  // cudaErrorMemoryAllocation; anything else is no want of it.
    if (error.get_error_code() != kOutOfMemory) throw;
    throw HostOutOfMemory(bytes);
  } catch (const c10::Error&) {
    // The driver names the reason in many ways: too little memory, a limit of locked pages.
    throw HostOutOfMemory(bytes);
  }
}

int64_t PieceOf(int64_t left) {
  int64_t piece = kLeastPiece;
  while (piece * 2 <= left) piece *= 2;
  return std::min(piece, left);
}

}  // namespace

HostBytes::HostBytes(int64_t size, c10::Device device) {
  for (int64_t left = size; left > 0;) {
    const int64_t piece = PieceOf(left);
    pieces_.push_back(device.is_cpu() ? Uncounted(piece) : Pinned(piece));
    left -= piece;
  }
}

void HostBytes::ForEach(int64_t begin, int64_t size,
                        const std::function<void(const at::Tensor& piece, int64_t at)>& use) const {
  int64_t first = 0;  // Of the piece, among all bytes.
  for (const at::Tensor& piece : pieces_) {
    const int64_t from = std::max(begin, first), to = std::min(begin + size, first + piece.numel());
    if (from < to) use(piece.slice(0, from - first, to - first), from - begin);
    first += piece.numel();
  }
}

}  // namespace localformer
