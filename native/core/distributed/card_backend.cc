// See card_backend.h.
#include "distributed/card_backend.h"

#include <atomic>

#include "coded_error.h"

namespace localformer {
namespace {

std::atomic<MakeCardBackend> maker{nullptr};

}  // namespace

void RegisterCardBackend(MakeCardBackend make) { maker = make; }

c10::intrusive_ptr<c10d::Backend> CardBackendAt(const CardPlace& place) {
  if (const MakeCardBackend make = maker) return make(place);
  throw CodedError("ERR_DEVICE_UNAVAILABLE",
                   "Ranks on CUDA need NCCL, and the addon's CUDA part is not there",
                   "`npx localformer doctor` says what is missing; device cpu needs none of it.");
}

}  // namespace localformer
