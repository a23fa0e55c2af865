#include "peak_window.h"

#include <algorithm>
#include <list>
#include <map>
#include <mutex>
#include <utility>

#include "caching_cpu_allocator.h"

namespace localformer {
namespace {

using c10::CachingAllocator::Stat;
using c10::CachingAllocator::StatArray;
using c10::CachingDeviceAllocator::DeviceStats;

struct Peaks {
  int64_t allocated = 0;
  int64_t reserved = 0;
};

std::array<StatArray*, 9> StatArraysOf(DeviceStats& stats) {
  return {&stats.allocation,      &stats.segment,
          &stats.active,          &stats.inactive_split,
          &stats.allocated_bytes, &stats.reserved_bytes,
          &stats.active_bytes,    &stats.inactive_split_bytes,
          &stats.requested_bytes};
}

void RaisePeak(Stat& stat, const Stat& other) { stat.peak = std::max(stat.peak, other.peak); }

void RaisePeaks(DeviceStats& stats, DeviceStats other) {
  const auto arrays = StatArraysOf(stats);
  const auto others = StatArraysOf(other);
  for (size_t i = 0; i < arrays.size(); ++i) {
    for (size_t pool = 0; pool < arrays[i]->size(); ++pool) {
      RaisePeak((*arrays[i])[pool], (*others[i])[pool]);
    }
  }
  RaisePeak(stats.oversize_allocations, other.oversize_allocations);
  RaisePeak(stats.oversize_segments, other.oversize_segments);
}

// The windows that share the one peak of an allocator's device.
struct SharedPeak {
  std::list<Peaks> windows;
  DeviceStats user;  // peaks since the user's last reset, up to the last fold
};

using DeviceKey = std::pair<c10::DeviceAllocator*, c10::DeviceIndex>;

// Leaked on purpose: windows may be closed by threads that outlive static objects.
std::mutex& SharedMutex() {
  static auto* const mutex = new std::mutex;
  return *mutex;
}
std::map<DeviceKey, SharedPeak>& SharedPeaks() {
  static auto* const peaks = new std::map<DeviceKey, SharedPeak>;
  return *peaks;
}

// Gives the peak since the last fold to all who wait for it, and starts it anew. Needs SharedMutex.
SharedPeak& Fold(const DeviceKey& key) {
  SharedPeak& shared = SharedPeaks()[key];
  const DeviceStats stats = key.first->getDeviceStats(key.second);
  key.first->resetPeakStats(key.second);
  for (Peaks& window : shared.windows) {
    window.allocated = std::max(window.allocated, stats.allocated_bytes[0].peak);
    window.reserved = std::max(window.reserved, stats.reserved_bytes[0].peak);
  }
  RaisePeaks(shared.user, stats);
  return shared;
}

}  // namespace

class PeakWindow::Source {
 public:
  virtual ~Source() = default;
  virtual Peaks Read() = 0;
};

namespace {

class CpuSource final : public PeakWindow::Source {
 public:
  explicit CpuSource(CachingCpuAllocator* allocator)
      : allocator_(allocator), window_(allocator->OpenWindow()) {}
  ~CpuSource() override { allocator_->CloseWindow(window_); }
  Peaks Read() override {
    const CachingCpuAllocator::Window window = allocator_->ReadWindow(window_);
    return {window.peakAllocatedBytes, window.peakReservedBytes};
  }

 private:
  CachingCpuAllocator* allocator_;
  CachingCpuAllocator::WindowHandle window_;
};

class SharedSource final : public PeakWindow::Source {
 public:
  explicit SharedSource(DeviceKey key) : key_(key) {
    const std::lock_guard<std::mutex> lock(SharedMutex());
    SharedPeak& shared = Fold(key_);
    const DeviceStats stats = key_.first->getDeviceStats(key_.second);
    window_ = shared.windows.insert(
        shared.windows.end(), {stats.allocated_bytes[0].current, stats.reserved_bytes[0].current});
  }
  // No fold: what happened since the last one is still in the allocator's peak.
  ~SharedSource() override {
    const std::lock_guard<std::mutex> lock(SharedMutex());
    SharedPeaks()[key_].windows.erase(window_);
  }
  Peaks Read() override {
    const std::lock_guard<std::mutex> lock(SharedMutex());
    Fold(key_);
    return *window_;
  }

 private:
  DeviceKey key_;
  std::list<Peaks>::iterator window_;
};

std::unique_ptr<PeakWindow::Source> MakeSource(c10::DeviceAllocator* allocator,
                                               c10::DeviceIndex device) {
  if (auto* cpu = dynamic_cast<CachingCpuAllocator*>(allocator)) {
    return std::make_unique<CpuSource>(cpu);
  }
  return std::make_unique<SharedSource>(DeviceKey{allocator, device});
}

}  // namespace

PeakWindow::PeakWindow(c10::DeviceAllocator* allocator, c10::DeviceIndex device)
    : source_(MakeSource(allocator, device)) {}
PeakWindow::~PeakWindow() = default;
PeakWindow::PeakWindow(PeakWindow&&) noexcept = default;
PeakWindow& PeakWindow::operator=(PeakWindow&&) noexcept = default;

int64_t PeakWindow::PeakAllocated() const { return source_->Read().allocated; }
int64_t PeakWindow::PeakReserved() const { return source_->Read().reserved; }

DeviceStats StatsOutsideWindows(c10::DeviceAllocator* allocator, c10::DeviceIndex device) {
  const std::lock_guard<std::mutex> lock(SharedMutex());
  DeviceStats stats = allocator->getDeviceStats(device);
  const auto shared = SharedPeaks().find({allocator, device});
  if (shared != SharedPeaks().end()) RaisePeaks(stats, shared->second.user);
  return stats;
}

void ResetPeaksOutsideWindows(c10::DeviceAllocator* allocator, c10::DeviceIndex device) {
  const std::lock_guard<std::mutex> lock(SharedMutex());
  if (SharedPeaks().count({allocator, device}) == 0) {
    allocator->resetPeakStats(device);
    return;
  }
  Fold({allocator, device}).user = DeviceStats{};
}

}  // namespace localformer
