// See nccl_backend.h.
#include "nccl_backend.h"

#include <cstddef>
#include <cstdlib>
#include <exception>
#include <functional>
#include <string>
#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>
#include <utility>

#include "distributed/card_backend.h"
#include "nccl_layout.h"

namespace localformer {
namespace {

// c10d's own ends the process where NCCL fails or takes too long: that is the trainer's to say, and
// Node's to survive. What torchrun and users set in TORCH_NCCL_ASYNC_ERROR_HANDLING and
// TORCH_NCCL_BLOCKING_WAIT does not count here; the other variables of c10d and NCCL do.
class NcclGroup final : public c10d::ProcessGroupNCCL {
 public:
  NcclGroup(const CardPlace& place, c10::intrusive_ptr<Options> options)
      : ProcessGroupNCCL(place.store, place.rank, place.size, std::move(options)),
        fail_(place.fail) {
    // Its threads look at these with the first operation.
    asyncErrorHandling_ = c10d::CleanUpOnly;
    blockingWait_ = false;
    static_assert(
        offsetof(NcclGroup, devNCCLCommMap_) == 256 && offsetof(NcclGroup, workMetaList_) == 480 &&
        offsetof(NcclGroup, blockingWait_) == 936 &&
        offsetof(NcclGroup, asyncErrorHandling_) == 940 && offsetof(NcclGroup, pgStatus_) == 1080);
  }

  // What was shut down is not there any more, and what failed was aborted.
  ~NcclGroup() override {
    if (terminateProcessGroup_.load()) return;
    try {
      abort();
    } catch (const std::exception&) {
      // Nobody is left to be told.
    }
    terminateProcessGroup_.store(true);
  }

 protected:
  void terminateProcess(const std::string& reason) override {
    fail_("NCCL's watchdog gave up: " + reason);
  }

 private:
  std::function<void(const std::string&)> fail_;
};

// What c10d has no other way to be told; what a user has set stays.
void SetDefaults() {
  // Else an error of CUDA that c10d's watchdog meets is thrown on its thread, which ends the
  // process; whoever computes meets the same one.
  setenv("TORCH_NCCL_RETHROW_CUDA_ERRORS", "0", /*replace=*/0);
  // Else the watchdog holds up everybody for a minute behind an error, for files to be written that
  // say what each rank did.
  setenv("TORCH_NCCL_DUMP_ON_TIMEOUT", "0", /*replace=*/0);
  setenv("TORCH_NCCL_WAIT_TIMEOUT_DUMP_MILSEC", "0", /*replace=*/0);
}

c10::intrusive_ptr<c10d::Backend> Make(const CardPlace& place) {
  SetDefaults();
  auto options = c10d::ProcessGroupNCCL::Options::create();
  options->timeout = place.longest_wait;
  return c10::make_intrusive<NcclGroup>(place, std::move(options));
}

}  // namespace

void RegisterNccl() { RegisterCardBackend(Make); }

}  // namespace localformer
