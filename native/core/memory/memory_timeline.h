// What a step's memory looks like over time: live bytes after every allocation, with the module and
// the phase that made it. Listens where PyTorch's profiler does (c10::MemoryReportingInfoBase), so
// every device with statistics reports, and nothing is spent while no timeline is recorded.
#pragma once

#include <c10/core/Allocator.h>
#include <c10/util/ThreadLocalDebugInfo.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

namespace localformer {

struct MemoryPoint {
  double seconds = 0.0;  // Since the recording began.
  int64_t allocated_bytes = 0;
  int64_t module = 0;  // Index.
  const char* phase = "";

  template <typename Self, typename Visit>
  static void Fields(Self& self, Visit&& visit) {
    visit("seconds", self.seconds);
    visit("allocatedBytes", self.allocated_bytes);
    visit("module", self.module);
    visit("phase", self.phase);
  }
};

// Records from any thread that carries it: the one that holds the scope and those of autograd. Its
// own memory is no tensor's, so the peaks that are measured meanwhile are those without it.
class MemoryTimeline final : public c10::MemoryReportingInfoBase {
 public:
  // Above twice as many points a stretch is thinned to its lowest and highest ones.
  static constexpr size_t kPoints = 512;

  MemoryTimeline(c10::Device device, int64_t allocated_bytes);

  // What follows is done by this module in this phase; a point of its own. `phase` lives forever.
  void Enter(int64_t module, const char* phase);

  // The calling thread's, or null.
  static MemoryTimeline* Current();

  // In the order of time. Every phase has at least a point, and where it has more its lowest and
  // highest are kept. At most 2 * kPoints, unless there are more phases than that.
  std::vector<MemoryPoint> Points() const;

  void reportMemoryUsage(void*, int64_t, size_t total_allocated, size_t,
                         c10::Device device) override;
  bool memoryProfilingEnabled() const override { return true; }

 private:
  void Add(int64_t allocated_bytes);  // Needs mutex_ held.

  const c10::Device device_;
  const std::chrono::steady_clock::time_point start_;
  mutable std::mutex mutex_;
  // All below are guarded by mutex_.
  int64_t module_ = 0;
  const char* phase_ = "forward";
  int64_t allocated_bytes_;
  size_t limit_ = 2 * kPoints;
  std::vector<MemoryPoint> points_;
};

// Makes a timeline, where there is one, the calling thread's for as long as the scope lives.
class MemoryTimelineScope {
 public:
  explicit MemoryTimelineScope(std::shared_ptr<MemoryTimeline> timeline) {
    if (timeline) guard_.emplace(c10::DebugInfoKind::PROFILER_STATE, std::move(timeline));
  }

 private:
  std::optional<c10::DebugInfoGuard> guard_;
};

}  // namespace localformer
