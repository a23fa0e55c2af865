// See offloaded_tensors.h.
#include "memory/offloaded_tensors.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <c10/util/Exception.h>

#include <cstring>
#include <exception>
#include <utility>

#include "memory/absent_tensors.h"

namespace localformer {
namespace {

int64_t RoundedUp(int64_t bytes) {
  constexpr int64_t step = OffloadedTensors::kAlignment;
  return (bytes + step - 1) / step * step;
}

int64_t BytesTogether(const std::vector<at::Tensor>& tensors) {
  int64_t bytes = 0;
  for (const at::Tensor& tensor : tensors)
    bytes += RoundedUp(static_cast<int64_t>(tensor.nbytes()));
  return bytes;
}

at::TensorOptions BytesOn(c10::Device device) {
  return at::TensorOptions().dtype(at::kByte).device(device);
}

// A storage as bytes.
at::Tensor BytesOf(const c10::Storage& storage) {
  return at::empty({0}, BytesOn(storage.device()))
      .set_(storage, 0, {static_cast<int64_t>(storage.nbytes())}, {1});
}

void FreeBlock(void* block) { delete static_cast<at::Tensor*>(block); }

}  // namespace

struct OffloadedTensors::Host {
  HostBytes bytes;
  std::shared_ptr<CopyStream> copies;
};

// What a storage holds instead of values.
struct OffloadedTensors::Waiting {
  std::shared_ptr<Host> host;
  int64_t begin;
  int64_t size;
};

OffloadedTensors::OffloadedTensors(const std::vector<at::Tensor>& tensors,
                                   std::shared_ptr<CopyStream> copies)
    : bytes_(BytesTogether(tensors)), copies_(std::move(copies)) {
  int64_t begin = 0;
  for (const at::Tensor& tensor : tensors) {
    TORCH_CHECK(tensor.is_contiguous() && tensor.storage_offset() == 0 &&
                    tensor.storage().nbytes() == tensor.nbytes(),
                "OffloadedTensors: a tensor is not alone in its storage");
    storages_.push_back(tensor.storage());
    begins_.push_back(begin);
    begin += RoundedUp(static_cast<int64_t>(tensor.nbytes()));
  }
  host_ = std::make_shared<Host>(Host{HostBytes(bytes_, copies_->device()), copies_});
  c10::NoGradGuard no_grad;
  copies_->FollowCompute();
  {
    const c10::OptionalStreamGuard stream = copies_->Enter();
    for (size_t i = 0; i < storages_.size(); ++i) {
      const at::Tensor values = BytesOf(storages_[i]);
      host_->bytes.ForEach(begins_[i], values.numel(), [&](const at::Tensor& piece, int64_t at) {
        piece.copy_(values.slice(0, at, at + piece.numel()), /*non_blocking=*/true);
      });
    }
  }
  // What is freed now belongs to the computation's stream, which does not wait for these copies.
  copies_->Synchronize();
  PointToNothing();
}

OffloadedTensors::~OffloadedTensors() = default;

void OffloadedTensors::Fetch() {
  if (!block_.defined()) {
    c10::NoGradGuard no_grad;
    // Memory of this stream's own, so that it is free for the next ones as soon as Release has
    // queued the copy of these, however far the computation is.
    const c10::OptionalStreamGuard stream = copies_->Enter();
    const at::Tensor block = at::empty({bytes_}, BytesOn(copies_->device()));
    Copy(block, /*to_host=*/false);
    copies_->Record(&arrival_);
    PointTo(block);
    block_ = block;
  }
  ++uses_;
}

void OffloadedTensors::Await() { copies_->AwaitOnCompute(arrival_); }

void OffloadedTensors::Release(bool changed) {
  changed_ |= changed;
  if (--uses_ > 0) return;
  if (claim_.expired()) {
    // The tensors hold the block now.
    copies_->HandOver(block_);
    host_.reset();
    block_.reset();
    return;
  }
  c10::NoGradGuard no_grad;
  copies_->FollowCompute();
  if (changed_) Copy(block_, /*to_host=*/true);
  changed_ = false;
  PointToNothing();
}

std::shared_ptr<void> OffloadedTensors::Claim(const std::shared_ptr<CopyStream>& copies) {
  std::shared_ptr<void> claim = claim_.lock();
  if (claim != nullptr) return claim;
  if (!block_.defined() && copies_ != copies) {
    // Whoever had them before is gone: from now on they are copied, and counted, by this one.
    copies_->Synchronize();
    copies_ = host_->copies = copies;
  }
  claim_ = claim = std::make_shared<char>();
  return claim;
}

void OffloadedTensors::Copy(const at::Tensor& block, bool to_host) {
  const c10::OptionalStreamGuard stream = copies_->Enter();
  host_->bytes.ForEach(0, bytes_, [&](const at::Tensor& piece, int64_t at) {
    const at::Tensor values = block.slice(0, at, at + piece.numel());
    const at::Tensor& from = to_host ? values : piece;
    (to_host ? piece : values).copy_(from, /*non_blocking=*/true);
    copies_->Count(piece.numel(), to_host);
  });
}

void OffloadedTensors::PointTo(const at::Tensor& block) {
  auto* data = block.mutable_data_ptr<uint8_t>();
  for (size_t i = 0; i < storages_.size(); ++i) {
    storages_[i].unsafeGetStorageImpl()->set_data_ptr_noswap(
        {data + begins_[i], new at::Tensor(block), &FreeBlock, copies_->device()});
  }
}

void OffloadedTensors::PointToNothing() {
  for (size_t i = 0; i < storages_.size(); ++i) {
    auto* waiting = new Waiting{host_, begins_[i], static_cast<int64_t>(storages_[i].nbytes())};
    storages_[i].unsafeGetStorageImpl()->set_data_ptr_noswap(
        {nullptr, waiting, &FreeWaiting, copies_->device()});
  }
  block_.reset();
}

void OffloadedTensors::FreeWaiting(void* waiting) { delete static_cast<Waiting*>(waiting); }

const OffloadedTensors::Waiting* OffloadedTensors::WaitingOf(const at::Tensor& tensor) {
  const c10::DataPtr& data = tensor.storage().data_ptr();
  if (data.get_deleter() != &FreeWaiting) return nullptr;
  return static_cast<const Waiting*>(data.get_context());
}

Offloading Offload(const std::vector<at::Tensor>& tensors,
                   const std::shared_ptr<CopyStream>& copies) {
  if (tensors.empty()) return {};
  auto offloaded = std::make_shared<OffloadedTensors>(tensors, copies);
  return {offloaded, offloaded->Claim(copies)};
}

at::Tensor ReadValues(const at::Tensor& tensor) {
  if (IsAbsent(tensor)) ThrowAbsent();
  const auto* waiting = OffloadedTensors::WaitingOf(tensor);
  if (waiting == nullptr) return tensor.detach().cpu();
  waiting->host->copies->Synchronize();
  const at::Tensor values =
      at::empty(tensor.sizes(), tensor.options().device(at::kCPU).requires_grad(false));
  const at::Tensor bytes = BytesOf(values.storage());
  waiting->host->bytes.ForEach(waiting->begin, waiting->size,
                               [&](const at::Tensor& piece, int64_t at) {
                                 bytes.slice(0, at, at + piece.numel()).copy_(piece);
                               });
  return values;
}

void WriteValues(const at::Tensor& tensor, const at::Tensor& values) {
  if (IsAbsent(tensor)) ThrowAbsent();
  c10::NoGradGuard no_grad;
  const auto* waiting = OffloadedTensors::WaitingOf(tensor);
  if (waiting == nullptr) {
    tensor.copy_(values);
    return;
  }
  TORCH_CHECK(values.device().is_cpu() && values.is_contiguous() &&
                  values.scalar_type() == tensor.scalar_type(),
              "WriteValues: the values are not laid out as the tensor's");
  // Nothing on the device may read them still.
  waiting->host->copies->Synchronize();
  // Nothing is allocated here: a call that writes several tensors writes all of them or none.
  const auto* bytes = static_cast<const uint8_t*>(values.const_data_ptr());
  waiting->host->bytes.ForEach(
      waiting->begin, waiting->size, [&](const at::Tensor& piece, int64_t at) {
        std::memcpy(piece.mutable_data_ptr(), bytes + at, static_cast<size_t>(piece.nbytes()));
      });
}

TensorsInUse::TensorsInUse(TensorsInUse&& other) noexcept
    : tensors_(std::exchange(other.tensors_, {})) {}

TensorsInUse& TensorsInUse::operator=(TensorsInUse&& other) noexcept {
  if (this == &other) return *this;
  Drop();
  tensors_ = std::exchange(other.tensors_, {});
  return *this;
}

void TensorsInUse::Add(const std::shared_ptr<OffloadedTensors>& tensors) {
  if (tensors == nullptr || tensors->has_ended()) return;
  tensors_.reserve(tensors_.size() + 1);
  tensors->Fetch();
  tensors_.push_back(tensors);
}

void TensorsInUse::Await() {
  for (const auto& tensors : tensors_) tensors->Await();
}

void TensorsInUse::Release(bool changed) {
  std::exception_ptr failure;
  for (const auto& tensors : std::exchange(tensors_, {})) {
    try {
      tensors->Release(changed);
    } catch (...) {
      failure = std::current_exception();
    }
  }
  if (failure) std::rethrow_exception(failure);
}

void TensorsInUse::Drop() noexcept {
  try {
    Release(/*changed=*/false);
  } catch (...) {
  }
}

}  // namespace localformer
