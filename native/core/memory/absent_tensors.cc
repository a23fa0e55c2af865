// See absent_tensors.h.
#include "memory/absent_tensors.h"

#include <c10/core/Allocator.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/Storage.h>

#include "coded_error.h"

namespace localformer {
namespace {

// Marks a storage without memory.
void FreeNothing(void*) {}

}  // namespace

void MakeAbsent(const at::Tensor& tensor) {
  tensor.storage().unsafeGetStorageImpl()->set_data_ptr_noswap(
      {nullptr, nullptr, &FreeNothing, tensor.device()});
}

bool IsAbsent(const at::Tensor& tensor) {
  return tensor.storage().data_ptr().get_deleter() == &FreeNothing;
}

void MakePresent(const at::Tensor& tensor) {
  if (!IsAbsent(tensor)) return;
  const c10::Storage& storage = tensor.storage();
  const c10::DeviceGuard guard(tensor.device());
  storage.unsafeGetStorageImpl()->set_data_ptr_noswap(
      c10::GetAllocator(tensor.device().type())->allocate(storage.nbytes()));
}

void ThrowAbsent() {
  throw CodedError(
      "ERR_DISTRIBUTED",
      "These weights are with another rank: each has those of its own modules alone",
      "Ask rank 0 at a `checkpoint` event or when the training is over, or gather them "
      "on all ranks: `await trainer.gather()`.");
}

}  // namespace localformer
