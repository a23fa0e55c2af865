// Tensors whose values wait in host memory while nobody uses them.
//
// The values of all of them lie one behind the other, on the host and, while they are used, in one
// block of the device. The tensors stay what they are: only what their storages point to changes,
// so that whoever holds one, or an alias of one, sees its values wherever they are fetched.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Storage.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "memory/copy_stream.h"
#include "memory/host_bytes.h"

namespace localformer {

// Invariants. Not used: the storages point to nothing, the host has the values. Used: the device's
// values are the newer ones where they were changed. A storage that points to nothing must not be
// computed with; ReadValues and WriteValues may be called at any time. One thread uses them at a
// time.
class OffloadedTensors {
 public:
  // Every tensor begins at a multiple of so many bytes, as device allocators have it.
  static constexpr int64_t kAlignment = 512;

  // Takes the values of dense tensors of one device to the host; returns when they are there.
  // Throws CodedError ERR_OUT_OF_MEMORY where the host lacks memory: the tensors are then as they
  // were.
  OffloadedTensors(const std::vector<at::Tensor>& tensors, std::shared_ptr<CopyStream> copies);
  ~OffloadedTensors();
  OffloadedTensors(const OffloadedTensors&) = delete;
  OffloadedTensors& operator=(const OffloadedTensors&) = delete;

  // Begins to bring the values to the device, where they stay until as many calls of Release.
  // Throws c10::OutOfMemoryError, and nothing has changed.
  void Fetch();
  // What the computation queues from now on finds them there.
  void Await();
  // `changed`: the computation has written into them. The last one takes changed values back to the
  // host and frees the device's block, both behind what the computation has queued. Where that copy
  // fails the values stay on the device, for the next release to try again.
  void Release(bool changed);

  // While anybody keeps what this gives, the values go back to the host. Without any claim they
  // stay on the device once they were fetched.
  // `copies` is what copies them from now on, where nobody has them already.
  std::shared_ptr<void> Claim(const std::shared_ptr<CopyStream>& copies);
  // Have they come to stay? Then this object has nothing more to do with them.
  bool has_ended() const { return host_ == nullptr; }

 private:
  struct Host;
  struct Waiting;
  friend at::Tensor ReadValues(const at::Tensor&);
  friend void WriteValues(const at::Tensor&, const at::Tensor&);
  // None where the tensor's values are on its device.
  static const Waiting* WaitingOf(const at::Tensor& tensor);
  static void FreeWaiting(void* waiting);

  // Between the host and the block on the device, in order with what this stream has queued.
  void Copy(const at::Tensor& block, bool to_host);
  void PointTo(const at::Tensor& block);
  void PointToNothing();

  std::vector<c10::Storage> storages_;
  std::vector<int64_t> begins_;  // Of each storage's values among all bytes.
  int64_t bytes_ = 0;
  std::shared_ptr<CopyStream> copies_;
  std::shared_ptr<Host> host_;
  at::Tensor block_;                   // uint8, on the device; undefined while nobody uses them.
  std::optional<c10::Event> arrival_;  // Of the values in the block.
  int64_t uses_ = 0;
  std::weak_ptr<void> claim_;
  bool changed_ = false;
};

// Tensors with a claim.
struct Offloading {
  std::shared_ptr<OffloadedTensors> tensors;
  std::shared_ptr<void> claim;
};

// Of all values of a list; nothing where it is empty.
Offloading Offload(const std::vector<at::Tensor>& tensors,
                   const std::shared_ptr<CopyStream>& copies);

// A copy of a tensor's values in plain host memory, wherever they are.
at::Tensor ReadValues(const at::Tensor& tensor);
// Writes dense values in host memory, of the tensor's shape and type, wherever they belong. On a
// tensor of the CPU, or one whose values wait on the host, nothing is allocated for it.
void WriteValues(const at::Tensor& tensor, const at::Tensor& values);

// Some of them in use: fetched when they are added, released when this goes out of scope.
class TensorsInUse {
 public:
  TensorsInUse() = default;
  ~TensorsInUse() { Drop(); }
  TensorsInUse(TensorsInUse&& other) noexcept;
  TensorsInUse& operator=(TensorsInUse&& other) noexcept;

  // None, or tensors that have come to stay: nothing to do.
  void Add(const std::shared_ptr<OffloadedTensors>& tensors);
  void Await();
  // Releases all, whatever it throws.
  void Release(bool changed);

 private:
  // Without a change of its own. Where that fails the device is lost, which the next call tells.
  void Drop() noexcept;

  std::vector<std::shared_ptr<OffloadedTensors>> tensors_;
};

}  // namespace localformer
