// What was called on a simulated CUDA device (docs/simulated-device.md): in all, and by module and
// phase of a step. A real device is not counted.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "fields.h"
#include "simulated/counts.h"

namespace localformer {

// What the simulated device counts, by the names that scripts know.
struct DeviceCalls : sim_counts {
  DeviceCalls() : sim_counts{} {}

  template <typename Self, typename Visit>
  static void Fields(Self& self, Visit&& visit) {
    visit("launches", self.launches);
    visit("products", self.products);
    visit("tf32Products", self.tf32_products);
    visit("cudnnCalls", self.cudnn_calls);
    visit("collectives", self.collectives);
    visit("synchronisations", self.synchronisations);
    visit("pageableCopies", self.pageable_copies);
    visit("pinnedCopies", self.pinned_copies);
    visit("bytesToDevice", self.bytes_to_device);
    visit("bytesToHost", self.bytes_to_host);
    visit("deviceCopies", self.device_copies);
    visit("fills", self.fills);
    visit("mallocs", self.mallocs);
    visit("unorderedUses", self.unordered_uses);
  }
};

// Since the process began; none where there is no simulated device.
std::optional<DeviceCalls> ReadDeviceCalls();

// What a phase of a module did.
struct PhaseCalls {
  int64_t module = 0;  // Index.
  const char* phase = "";
  DeviceCalls calls;

  template <typename Self, typename Visit>
  static void Fields(Self& self, Visit&& visit) {
    visit("module", self.module);
    visit("phase", self.phase);
    visit("calls", self.calls);
  }
};

// Books what is called on the module and phase that the thread said last. Where there is no
// simulated device it stays empty.
class CallLog {
 public:
  // From here on until the end of the log's life it is the calling thread's.
  CallLog();
  ~CallLog();
  CallLog(const CallLog&) = delete;
  CallLog& operator=(const CallLog&) = delete;

  // The calling thread's, or null.
  static CallLog* Current();

  // What follows is done by this module in this phase. `phase` lives forever.
  void Enter(int64_t module, const char* phase);

  // In the order in which they began, a phase that is entered again added to the first.
  std::vector<PhaseCalls> Finish();

 private:
  void Book();

  CallLog* outer_;
  std::optional<DeviceCalls> before_;
  std::vector<PhaseCalls> phases_;
  size_t current_ = 0;
};

}  // namespace localformer
