#include "memory_timeline.h"

#include <algorithm>
#include <utility>

namespace localformer {
namespace {

bool IsSamePhase(const MemoryPoint& one, const MemoryPoint& other) {
  return one.module == other.module && one.phase == other.phase;
}

// Of every four neighbours of one phase the lowest and the highest, in their order.
std::vector<MemoryPoint> Thin(const std::vector<MemoryPoint>& points) {
  const auto is_lower = [](const MemoryPoint& a, const MemoryPoint& b) {
    return a.allocated_bytes < b.allocated_bytes;
  };
  std::vector<MemoryPoint> kept;
  for (auto begin = points.begin(); begin != points.end();) {
    auto end = begin + 1;
    while (end != points.end() && end - begin < 4 && IsSamePhase(*begin, *end)) ++end;
    const auto lowest = std::min_element(begin, end, is_lower);
    const auto highest = std::max_element(begin, end, is_lower);
    kept.push_back(*std::min(lowest, highest));
    if (lowest != highest) kept.push_back(*std::max(lowest, highest));
    begin = end;
  }
  return kept;
}

}  // namespace

MemoryTimeline::MemoryTimeline(c10::Device device, int64_t allocated_bytes)
    : device_(device), start_(std::chrono::steady_clock::now()), allocated_bytes_(allocated_bytes) {
  points_.reserve(limit_);
  const std::lock_guard<std::mutex> lock(mutex_);
  Add(allocated_bytes);
}

void MemoryTimeline::Enter(int64_t module, const char* phase) {
  const std::lock_guard<std::mutex> lock(mutex_);
  module_ = module;
  phase_ = phase;
  Add(allocated_bytes_);
}

MemoryTimeline* MemoryTimeline::Current() {
  return dynamic_cast<MemoryTimeline*>(
      c10::ThreadLocalDebugInfo::get(c10::DebugInfoKind::PROFILER_STATE));
}

std::vector<MemoryPoint> MemoryTimeline::Points() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return points_;
}

void MemoryTimeline::reportMemoryUsage(void*, int64_t, size_t total_allocated, size_t,
                                       c10::Device device) {
  if (device.type() != device_.type()) return;
  const std::lock_guard<std::mutex> lock(mutex_);
  Add(static_cast<int64_t>(total_allocated));
}

void MemoryTimeline::Add(int64_t allocated_bytes) {
  allocated_bytes_ = allocated_bytes;
  if (points_.size() >= limit_) {
    points_ = Thin(points_);
    // Phases of a point or two cannot be thinned; where there are many of them, there is more to
    // keep.
    if (points_.size() > limit_ / 4 * 3) limit_ *= 2;
  }
  const std::chrono::duration<double> since = std::chrono::steady_clock::now() - start_;
  points_.push_back({since.count(), allocated_bytes, module_, phase_});
}

}  // namespace localformer
