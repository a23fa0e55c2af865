// Stress test of the caching CPU allocator: a plain program that returns non-zero on failure.
// Run it under AddressSanitizer and ThreadSanitizer (README.md beside it says how).
#include <c10/core/CPUAllocator.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <fstream>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "control_group_tests.h"
#include "expect.h"
#include "native/core/memory/caching_cpu_allocator.h"
#include "native/core/memory/memory_stats.h"
#include "native/core/memory/memory_timeline.h"
#include "native/core/memory/peak_window.h"
#include "native/core/memory/uncounted_allocations.h"

namespace localformer {
namespace {

using c10::CachingAllocator::Stat;
using c10::CachingAllocator::StatArray;
using c10::CachingDeviceAllocator::DeviceStats;

constexpr size_t kMiB = size_t{1} << 20;

// ---- A block with a pattern that tells whether another block was written over it ----

struct Owned {
  unsigned char* data = nullptr;
  size_t size = 0;
  unsigned char tag = 0;
};

// Writes at both ends and once per page, so that large blocks stay cheap.
template <typename Function>
void ForEachProbe(const Owned& block, Function function) {
  for (size_t at = 0; at < block.size; at += 4096) function(block.data[at]);
  function(block.data[block.size - 1]);
}

Owned Make(CachingCpuAllocator& allocator, size_t size, unsigned char tag) {
  Owned block{static_cast<unsigned char*>(allocator.Allocate(size)), size, tag};
  EXPECT(reinterpret_cast<uintptr_t>(block.data) % 64 == 0);
  ForEachProbe(block, [&](unsigned char& byte) { byte = tag; });
  return block;
}

void Drop(CachingCpuAllocator& allocator, const Owned& block) {
  bool intact = true;
  ForEachProbe(block, [&](unsigned char& byte) { intact = intact && byte == block.tag; });
  EXPECT(intact);
  allocator.Free(block.data);
}

size_t RandomSize(std::mt19937& random) {
  // Mostly small ones, some of the pools' borders, some of several MiB.
  static const size_t borders[] = {1, 511, 512, 513, 4096, kMiB - 1, kMiB, kMiB + 1, 2 * kMiB};
  switch (random() % 8) {
    case 0:
      return borders[random() % 9];
    case 1:
      return kMiB + random() % (6 * kMiB);
    case 2:
      return 1 + random() % kMiB;
    default:
      return 1 + random() % 20000;
  }
}

// ---- The statistics, kept a second time in the plainest way ----

class Model {
 public:
  void Add(size_t requested) { Change(requested, true); }
  void Remove(size_t requested) { Change(requested, false); }

  void Check(const DeviceStats& stats) const {
    for (size_t pool = 0; pool < 3; ++pool) {
      EXPECT(Same(stats.allocation[pool], count_[pool]));
      EXPECT(Same(stats.active[pool], count_[pool]));
      EXPECT(Same(stats.allocated_bytes[pool], allocated_[pool]));
      EXPECT(Same(stats.active_bytes[pool], allocated_[pool]));
      EXPECT(Same(stats.requested_bytes[pool], requested_[pool]));
      EXPECT(stats.reserved_bytes[pool].current ==
             stats.reserved_bytes[pool].allocated - stats.reserved_bytes[pool].freed);
    }
  }

 private:
  static bool Same(const Stat& a, const Stat& b) {
    return a.current == b.current && a.peak == b.peak && a.allocated == b.allocated &&
           a.freed == b.freed;
  }
  static void Apply(StatArray& stats, size_t pool, size_t amount, bool add) {
    for (const size_t i : {size_t{0}, pool}) {
      add ? stats[i].increase(amount) : stats[i].decrease(amount);
    }
  }
  void Change(size_t requested, bool add) {
    const bool small = requested <= kMiB;
    const size_t unit = small ? 512 : 4096;
    const size_t pool = small ? 1 : 2;
    Apply(count_, pool, 1, add);
    Apply(allocated_, pool, (requested + unit - 1) / unit * unit, add);
    Apply(requested_, pool, requested, add);
  }

  StatArray count_{}, allocated_{}, requested_{};
};

// The snapshot, the statistics and each other: what must hold at any time.
void CheckSnapshot(CachingCpuAllocator& allocator) {
  const DeviceStats stats = allocator.getDeviceStats(0);
  const auto segments = allocator.Snapshot();
  size_t reserved = 0, allocated = 0, requested = 0, end = 0;
  for (const auto& segment : segments) {
    EXPECT(segment.address >= end);
    size_t sum = 0;
    bool previousFree = false;
    for (const auto& block : segment.blocks) {
      EXPECT(block.allocated || !previousFree);  // free neighbours are merged
      previousFree = !block.allocated;
      sum += block.size;
    }
    EXPECT(sum == segment.total_size);
    EXPECT(segment.total_size % 4096 == 0 && segment.address % 4096 == 0);
    end = segment.address + segment.total_size;
    reserved += segment.total_size;
    allocated += segment.allocated_size;
    requested += segment.requested_size;
  }
  EXPECT(static_cast<int64_t>(reserved) == stats.reserved_bytes[0].current);
  EXPECT(static_cast<int64_t>(allocated) == stats.allocated_bytes[0].current);
  EXPECT(static_cast<int64_t>(requested) == stats.requested_bytes[0].current);
  EXPECT(static_cast<int64_t>(segments.size()) == stats.segment[0].current);
}

double ReservedOverPeak(CachingCpuAllocator& allocator) {
  const DeviceStats stats = allocator.getDeviceStats(0);
  return static_cast<double>(stats.reserved_bytes[0].peak) /
         static_cast<double>(stats.allocated_bytes[0].peak);
}

void ExpectNothingLeft(CachingCpuAllocator& allocator) {
  allocator.emptyCache();
  const DeviceStats stats = allocator.getDeviceStats(0);
  for (size_t pool = 0; pool < 3; ++pool) {
    EXPECT(stats.allocated_bytes[pool].current == 0);
    EXPECT(stats.reserved_bytes[pool].current == 0);
    EXPECT(stats.inactive_split_bytes[pool].current == 0);
    EXPECT(stats.segment[pool].current == 0);
  }
  EXPECT(allocator.Snapshot().empty());
}

// ---- The tests ----

void RandomSequenceMatchesModel() {
  CachingCpuAllocator allocator;
  Model model;
  std::mt19937 random(1);
  std::vector<Owned> live;
  for (int i = 0; i < 20000; ++i) {
    const bool grow = (i / 2500) % 2 == 0;
    if (live.empty() || random() % 100 < (grow ? 55 : 45)) {
      const size_t size = RandomSize(random);
      live.push_back(Make(allocator, size, static_cast<unsigned char>(random())));
      model.Add(size);
    } else {
      std::swap(live[random() % live.size()], live.back());
      Drop(allocator, live.back());
      model.Remove(live.back().size);
      live.pop_back();
    }
    if (random() % 2000 == 0) allocator.emptyCache();
    model.Check(allocator.getDeviceStats(0));
    if (i % 100 == 0) CheckSnapshot(allocator);
  }
  for (const Owned& block : live) Drop(allocator, block);
  EXPECT(ReservedOverPeak(allocator) <= 1.25);
  ExpectNothingLeft(allocator);
}

// Blocks on their way to whichever thread frees them.
class Exchange {
 public:
  void Put(const Owned& block) {
    const std::lock_guard<std::mutex> lock(mutex_);
    blocks_.push_back(block);
  }
  bool Get(Owned* block) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (blocks_.empty()) return false;
    *block = blocks_.front();
    blocks_.pop_front();
    return true;
  }

 private:
  std::mutex mutex_;
  std::deque<Owned> blocks_;
};

void ThreadsFreeEachOthersBlocks() {
  constexpr int kThreads = 4, kRounds = 4000;
  CachingCpuAllocator allocator;
  Exchange exchange;
  std::atomic<int64_t> requested{0};
  std::atomic<bool> done{false};
  const auto work = [&](int seed) {
    std::mt19937 random(static_cast<unsigned>(seed));
    const PeakWindow window(&allocator);
    int64_t largest = 0;
    for (int i = 0; i < kRounds; ++i) {
      const size_t size = RandomSize(random);
      exchange.Put(Make(allocator, size, static_cast<unsigned char>(random())));
      requested += static_cast<int64_t>(size);
      largest = std::max(largest, static_cast<int64_t>(size));
      Owned other;
      if (exchange.Get(&other)) Drop(allocator, other);
    }
    EXPECT(window.PeakAllocated() >= largest);
  };
  std::thread watcher([&] {
    while (!done) {
      const DeviceStats stats = allocator.getDeviceStats(0);
      EXPECT(stats.allocated_bytes[0].current <= stats.reserved_bytes[0].current);
      EXPECT(stats.allocated_bytes[0].current ==
             stats.allocated_bytes[1].current + stats.allocated_bytes[2].current);
      allocator.Snapshot();
      allocator.emptyCache();
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  });
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) threads.emplace_back(work, i);
  for (std::thread& thread : threads) thread.join();
  done = true;
  watcher.join();
  Owned rest;
  while (exchange.Get(&rest)) Drop(allocator, rest);
  const DeviceStats stats = allocator.getDeviceStats(0);
  EXPECT(stats.allocation[0].allocated == kThreads * kRounds);
  EXPECT(stats.allocation[0].freed == kThreads * kRounds);
  EXPECT(stats.requested_bytes[0].allocated == requested);
  EXPECT(stats.requested_bytes[0].freed == requested);
  CheckSnapshot(allocator);
  ExpectNothingLeft(allocator);
}

size_t ResidentBytes() {
  size_t total = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> total >> resident;
  return resident * static_cast<size_t>(sysconf(_SC_PAGESIZE));
}

void FreedNeighboursMergeAndMemoryGoesBack() {
  CachingCpuAllocator allocator;
  std::vector<Owned> blocks;
  for (int i = 0; i < 32; ++i) blocks.push_back(Make(allocator, 8 * kMiB, 1));
  for (Owned& block : blocks) std::memset(block.data, 1, block.size);
  const size_t full = ResidentBytes();
  for (size_t i = 0; i < 32; i += 2) Drop(allocator, blocks[i]);
  for (size_t i = 1; i < 32; i += 2) Drop(allocator, blocks[i]);
  const int64_t before = allocator.getDeviceStats(0).reserved_bytes[0].current;
  EXPECT(before == 256 * static_cast<int64_t>(kMiB));
  const Owned whole{static_cast<unsigned char*>(allocator.Allocate(256 * kMiB)), 256 * kMiB, 0};
  EXPECT(allocator.getDeviceStats(0).reserved_bytes[0].current == before);
  allocator.Free(whole.data);
  ExpectNothingLeft(allocator);
  EXPECT(ResidentBytes() + 240 * kMiB < full);
}

bool SameCounts(const DeviceStats& a, const DeviceStats& b) {
  auto flatA = FlatStats(a), flatB = FlatStats(b);
  for (auto* flat : {&flatA, &flatB}) {
    flat->erase(std::remove_if(flat->begin(), flat->end(),
                               [](const auto& entry) { return entry.first == "num_ooms"; }),
                flat->end());
  }
  return flatA == flatB;
}

bool FailsToAllocate(CachingCpuAllocator& allocator, size_t bytes) {
  try {
    allocator.Free(allocator.Allocate(bytes));
    return false;
  } catch (const c10::OutOfMemoryError&) {
    return true;
  }
}

void FailedAllocationsChangeNothing() {
  CachingCpuAllocator allocator;
  allocator.SetLimit(64 * kMiB);
  EXPECT(allocator.Limit() == static_cast<int64_t>(64 * kMiB));
  const Owned large = Make(allocator, 40 * kMiB, 1);
  const Owned small = Make(allocator, 1000, 2);
  const DeviceStats before = allocator.getDeviceStats(0);
  ClearLastOutOfMemory();
  for (const size_t bytes : {30 * kMiB, 24 * kMiB, SIZE_MAX, SIZE_MAX / 2, size_t{1} << 45}) {
    EXPECT(FailsToAllocate(allocator, bytes));
    EXPECT(SameCounts(before, allocator.getDeviceStats(0)));
  }
  EXPECT(allocator.getDeviceStats(0).num_ooms == 5);
  EXPECT(FailsToAllocate(allocator, 30 * kMiB));
  const auto info = LastOutOfMemory();
  EXPECT(info && info->requestedBytes == static_cast<int64_t>(30 * kMiB));
  EXPECT(info && info->allocatedBytes == before.allocated_bytes[0].current);
  EXPECT(info && info->reservedBytes == before.reserved_bytes[0].current);
  EXPECT(info && info->limitBytes == static_cast<int64_t>(64 * kMiB));
  std::thread([] { EXPECT(!LastOutOfMemory()); }).join();

  // A cache that stands in the way is given back: 40 MiB cached, 50 MiB wanted.
  Drop(allocator, large);
  const Owned other = Make(allocator, 50 * kMiB, 3);
  EXPECT(allocator.getDeviceStats(0).reserved_bytes[0].peak <= static_cast<int64_t>(64 * kMiB));
  Drop(allocator, other);
  Drop(allocator, small);
  allocator.SetLimit(kMiB);  // gives the cache back
  EXPECT(allocator.getDeviceStats(0).reserved_bytes[0].current <= static_cast<int64_t>(kMiB));
  allocator.SetLimit(0);
  EXPECT(FailsToAllocate(allocator, size_t{1} << 39));  // more than the machine has
  Drop(allocator, Make(allocator, 80 * kMiB, 4));
  CheckSnapshot(allocator);
  ExpectNothingLeft(allocator);
}

// Near the limit with small blocks everywhere: reserved must hold it, whatever is stuck in pages.
void ReservedHoldsTheLimit() {
  CachingCpuAllocator allocator;
  const int64_t limit = 16 * static_cast<int64_t>(kMiB);
  allocator.SetLimit(limit);
  std::mt19937 random(3);
  std::vector<Owned> live;
  int refused = 0;
  for (int i = 0; i < 20000; ++i) {
    const size_t size = RandomSize(random);
    try {
      live.push_back(Make(allocator, size, 7));
    } catch (const c10::OutOfMemoryError&) {
      ++refused;
      for (int drop = 0; drop < 10 && !live.empty(); ++drop) {
        std::swap(live[random() % live.size()], live.back());
        Drop(allocator, live.back());
        live.pop_back();
      }
    }
    EXPECT(allocator.getDeviceStats(0).reserved_bytes[0].peak <= limit);
  }
  EXPECT(refused > 0);
  EXPECT(allocator.getDeviceStats(0).num_ooms == refused);
  for (const Owned& block : live) Drop(allocator, block);
  ExpectNothingLeft(allocator);
}

// ---- A training step's pattern, without touching the memory ----

class Trainer {
 public:
  explicit Trainer(CachingCpuAllocator& allocator) : allocator_(allocator) {
    for (const Stage& stage : kStages) {
      for (int i = 0; i < stage.blocks * 4; ++i) {
        const size_t bytes = 12 * stage.width * stage.width;
        parameters_.push_back(bytes);
        for (int copies = 0; copies < 3; ++copies) state_.push_back(Get(bytes));
      }
    }
  }
  ~Trainer() { FreeAll(state_); }

  void Step(size_t batch) {
    std::vector<void*> saved, gradients;
    for (const Stage& stage : kStages) Forward(stage, batch, &saved);
    Backward(batch, &saved, &gradients);
    FreeAll(gradients);
  }

 private:
  struct Stage {
    size_t width, tokens;
    int blocks;
  };
  static constexpr Stage kStages[] = {{96, 3136, 2}, {192, 784, 2}, {384, 196, 6}, {768, 49, 2}};

  void* Get(size_t bytes) { return allocator_.Allocate(bytes); }
  void FreeAll(std::vector<void*>& blocks) {
    for (void* block : blocks) allocator_.Free(block);
    blocks.clear();
  }

  // Per block: norm, qkv, three contiguous copies, attention maps, projection, norm, mlp, gelu.
  void Forward(const Stage& stage, size_t batch, std::vector<void*>* saved) {
    const size_t unit = 4 * batch * stage.tokens * stage.width;
    const size_t maps = 4 * batch * stage.tokens * 49 * (stage.width / 32);
    for (int i = 0; i < stage.blocks; ++i) {
      for (const size_t bytes : {unit, unit, 3 * unit, unit, unit, unit, maps, maps, unit, unit,
                                 4 * batch * stage.tokens, 4 * unit, 4 * unit, unit}) {
        void* temporary = Get(bytes * 3 / 4);
        saved->push_back(Get(bytes));
        allocator_.Free(temporary);
      }
    }
  }

  void Backward(size_t batch, std::vector<void*>* saved, std::vector<void*>* gradients) {
    size_t parameter = parameters_.size();
    std::deque<void*> flowing;
    while (!saved->empty()) {
      flowing.push_back(Get(batch * (100000 + 40000 * (saved->size() % 7))));
      if (flowing.size() > 2) {
        allocator_.Free(flowing.front());
        flowing.pop_front();
      }
      if (saved->size() % 3 == 0 && parameter > 0)
        gradients->push_back(Get(parameters_[--parameter]));
      allocator_.Free(saved->back());
      saved->pop_back();
    }
    for (void* block : flowing) allocator_.Free(block);
  }

  CachingCpuAllocator& allocator_;
  std::vector<size_t> parameters_;
  std::vector<void*> state_;
};

void TrainingStaysWithinTheBound() {
  CachingCpuAllocator allocator;
  {
    Trainer trainer(allocator);
    for (int step = 0; step < 5; ++step) trainer.Step(32);
    const double steady = ReservedOverPeak(allocator);
    const int64_t commits = allocator.getDeviceStats(0).num_device_alloc;
    for (int step = 0; step < 5; ++step) trainer.Step(32);
    EXPECT(steady <= 1.25 && ReservedOverPeak(allocator) <= 1.25);
    std::printf("  same batches: reserved/peak %.3f, retries %ld, commits in steady state %ld\n",
                ReservedOverPeak(allocator),
                static_cast<long>(allocator.getDeviceStats(0).num_alloc_retries),
                static_cast<long>(allocator.getDeviceStats(0).num_device_alloc - commits));

    std::mt19937 random(5);
    for (int step = 0; step < 60; ++step) trainer.Step(1 + random() % 48);
    EXPECT(ReservedOverPeak(allocator) <= 1.25);
    std::printf("  changing batches: reserved/peak %.3f, retries %ld\n",
                ReservedOverPeak(allocator),
                static_cast<long>(allocator.getDeviceStats(0).num_alloc_retries));
    CheckSnapshot(allocator);

    // After emptyCache the bound starts anew: a smaller run does not inherit a larger one's cache.
    allocator.emptyCache();
    EXPECT(allocator.getDeviceStats(0).reserved_bytes[0].current ==
           allocator.getDeviceStats(0).allocated_bytes[0].current);
    allocator.resetPeakStats(0);
    for (int step = 0; step < 5; ++step) trainer.Step(4 + static_cast<size_t>(step));
    EXPECT(ReservedOverPeak(allocator) <= 1.25);
  }
  ExpectNothingLeft(allocator);
}

// Checkerboards of growing blocks: no hole fits the next size, so the holes must be given back.
void HolesAreGivenBackWhenNothingFits() {
  CachingCpuAllocator allocator;
  std::vector<Owned> live;
  for (size_t size = 2; size <= 64; size *= 2) {
    std::vector<Owned> blocks;
    for (size_t i = 0; i < 256 / size; ++i) {
      blocks.push_back({static_cast<unsigned char*>(allocator.Allocate(size * kMiB)), 0, 0});
    }
    for (size_t i = 0; i < blocks.size(); ++i) {
      if (i % 2 == 0) {
        allocator.Free(blocks[i].data);
      } else {
        live.push_back(blocks[i]);
      }
    }
    EXPECT(ReservedOverPeak(allocator) <= 1.25);
  }
  EXPECT(allocator.getDeviceStats(0).num_alloc_retries > 0);
  for (const Owned& block : live) allocator.Free(block.data);
  ExpectNothingLeft(allocator);
}

// ---- Windows ----

// Hides that the allocator is ours, so that windows take the way they take on CUDA.
class Foreign final : public c10::DeviceAllocator {
 public:
  explicit Foreign(CachingCpuAllocator& inner) : inner_(inner) {}
  c10::DataPtr allocate(size_t bytes) override { return inner_.allocate(bytes); }
  void copy_data(void* to, const void* from, size_t n) const override {
    inner_.copy_data(to, from, n);
  }
  bool initialized() override { return true; }
  void emptyCache(c10::MempoolId_t) override { inner_.emptyCache(); }
  void recordStream(const c10::DataPtr&, c10::Stream) override {}
  DeviceStats getDeviceStats(c10::DeviceIndex i) override { return inner_.getDeviceStats(i); }
  void resetAccumulatedStats(c10::DeviceIndex i) override { inner_.resetAccumulatedStats(i); }
  void resetPeakStats(c10::DeviceIndex i) override { inner_.resetPeakStats(i); }

 private:
  CachingCpuAllocator& inner_;
};

void WindowsNestAndOverlap(CachingCpuAllocator& memory, c10::DeviceAllocator& measured) {
  const auto touch = [&](size_t mib) { memory.Free(memory.Allocate(mib * kMiB)); };
  const auto mib = [](int64_t bytes) { return bytes / static_cast<int64_t>(kMiB); };
  const auto userPeak = [&] {
    return mib(StatsOutsideWindows(&measured, 0).allocated_bytes[0].peak);
  };
  void* base = memory.Allocate(10 * kMiB);
  touch(90);
  EXPECT(userPeak() == 100);
  auto first = std::make_unique<PeakWindow>(&measured);
  EXPECT(mib(first->PeakAllocated()) == 10);
  touch(20);
  PeakWindow outer(&measured);
  touch(40);
  {
    PeakWindow inner(&measured);
    touch(5);
    EXPECT(mib(inner.PeakAllocated()) == 15);
    EXPECT(inner.PeakReserved() >= inner.PeakAllocated());
    EXPECT(mib(first->PeakAllocated()) == 50);
    EXPECT(mib(inner.PeakAllocated()) == 15);  // reading others does not disturb it
    touch(30);
  }
  EXPECT(mib(outer.PeakAllocated()) == 50);
  touch(60);
  first.reset();  // closed before the one opened later
  EXPECT(mib(outer.PeakAllocated()) == 70);
  EXPECT(userPeak() == 100);
  ResetPeaksOutsideWindows(&measured, 0);
  EXPECT(userPeak() == 10);
  touch(25);
  EXPECT(userPeak() == 35);
  EXPECT(mib(outer.PeakAllocated()) == 70);
  memory.Free(base);
}

void WindowsWorkOnBothKinds() {
  CachingCpuAllocator own;
  WindowsNestAndOverlap(own, own);
  CachingCpuAllocator hidden;
  Foreign foreign(hidden);
  WindowsNestAndOverlap(hidden, foreign);
}

// ---- The installed allocator, as LibTorch sees it ----

void InstallsOnceFromManyThreads() {
  std::vector<std::thread> threads;
  std::vector<CachingCpuAllocator*> seen(4);
  for (size_t i = 0; i < seen.size(); ++i) {
    threads.emplace_back([&seen, i] { seen[i] = InstallCachingCpuAllocator(); });
  }
  for (std::thread& thread : threads) thread.join();
  for (CachingCpuAllocator* allocator : seen) EXPECT(allocator == seen[0]);
  EXPECT(c10::GetAllocator(c10::kCPU) == seen[0]);
  EXPECT(c10::GetCPUAllocator() == seen[0]);
  EXPECT(AllocatorFor(c10::Device(c10::kCPU)) == seen[0]);
}

void ServesLibTorch() {
  CachingCpuAllocator* allocator = InstallCachingCpuAllocator();
  const c10::Device cpu(c10::kCPU);
  {
    c10::DataPtr data = allocator->allocate(5 * kMiB);
    EXPECT(data.get() == data.get_context() && data.device() == cpu);
    EXPECT(ReadStats(cpu).requested_bytes[0].current == static_cast<int64_t>(5 * kMiB));
    const c10::DataPtr nothing = allocator->allocate(0);
    EXPECT(nothing.get() == nullptr);
    std::memset(data.get(), 9, 5 * kMiB);
    const c10::DataPtr copy = allocator->clone(data.get(), 5 * kMiB);
    EXPECT(std::memcmp(copy.get(), data.get(), 5 * kMiB) == 0);
    std::thread([moved = std::move(data)]() mutable { moved.clear(); }).join();
    void* raw = allocator->raw_allocate(100);
    allocator->raw_deallocate(raw);
  }
  EXPECT(ReadStats(cpu).allocated_bytes[0].current == 0);
  EXPECT(ReadStats(cpu).allocation[0].freed == 3);
  EmptyCache(cpu);
  EXPECT(ReadStats(cpu).reserved_bytes[0].current == 0);
  ResetAccumulatedStats(cpu);
  ResetPeakStats(cpu);
  for (const auto& [key, value] : FlatStats(ReadStats(cpu))) {
    EXPECT(value == (key == "max_split_size" ? -1 : 0));
  }
  const auto [unused, total] = allocator->getMemoryInfo(0);
  EXPECT(unused > 0 && unused <= total);
}

// What a thread allocates in a trial is in no statistic and is not made to fail; what others
// allocate meanwhile is.
void TrialsAreUncounted() {
  CachingCpuAllocator allocator;
  void* counted = allocator.Allocate(3 * kMiB);
  const DeviceStats before = allocator.getDeviceStats(0);
  allocator.SetLimit(static_cast<int64_t>(4 * kMiB));
  allocator.FailAllocation(1);
  void* outlives = nullptr;
  {
    const UncountedAllocations trial;
    EXPECT(UncountedAllocations::Current() == &trial);
    void* first = allocator.Allocate(5 * kMiB);
    std::memset(first, 1, 5 * kMiB);
    EXPECT(reinterpret_cast<uintptr_t>(first) % 64 == 0);
    allocator.Free(first);
    // A second try takes no fresh page.
    void* second = allocator.Allocate(5 * kMiB);
    EXPECT(second == first);
    {
      const UncountedAllocations inner;
      outlives = allocator.Allocate(1);
    }
    std::thread([&] { EXPECT(UncountedAllocations::Current() == nullptr); }).join();
    std::thread([&] { allocator.Free(second); }).join();
  }
  EXPECT(UncountedAllocations::Current() == nullptr);
  EXPECT(SameCounts(before, allocator.getDeviceStats(0)));
  allocator.Free(outlives);
  EXPECT(SameCounts(before, allocator.getDeviceStats(0)));
  EXPECT(FailsToAllocate(allocator, 100));
  allocator.Free(counted);

  std::vector<std::thread> threads;
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&allocator, thread] {
      for (size_t turn = 0; turn < 200; ++turn) {
        if ((turn + static_cast<size_t>(thread)) % 2 == 0) {
          const UncountedAllocations trial;
          void* a = allocator.Allocate(turn + 1);
          void* b = allocator.Allocate(turn * 1000 + 1);
          allocator.Free(a);
          allocator.Free(b);
        } else {
          Drop(allocator, Make(allocator, turn * 1000 + 1, static_cast<unsigned char>(turn)));
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  ExpectNothingLeft(allocator);
}

// As autograd's threads carry it: several threads report to one timeline while another one reads.
void RecordsATimelineFromManyThreads() {
  CachingCpuAllocator& allocator = *InstallCachingCpuAllocator();
  const auto timeline = std::make_shared<MemoryTimeline>(
      c10::Device(c10::kCPU), allocator.getDeviceStats(0).allocated_bytes[0].current);
  const PeakWindow window(&allocator);
  std::atomic<bool> done{false};
  std::thread reader([&] {
    while (!done) EXPECT(timeline->Points().size() <= 2 * MemoryTimeline::kPoints);
  });
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      const MemoryTimelineScope scope(timeline);
      EXPECT(MemoryTimeline::Current() == timeline.get());
      for (int i = 0; i < 3000; ++i) {
        if (t == 0 && i % 300 == 0) timeline->Enter(i / 300, "forward");
        Drop(allocator, Make(allocator, 1000 + 10 * static_cast<size_t>(i), 1));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  done = true;
  reader.join();
  EXPECT(MemoryTimeline::Current() == nullptr);
  const int64_t peak = window.PeakAllocated();
  const std::vector<MemoryPoint> points = timeline->Points();
  const size_t before = points.size();
  Drop(allocator, Make(allocator, kMiB, 1));
  EXPECT(timeline->Points().size() == before);
  int64_t highest = 0;
  for (const MemoryPoint& point : points) highest = std::max(highest, point.allocated_bytes);
  EXPECT(highest == peak);
}

// Sums over a whole history, against the statistics.
void CheckHistory(const MemorySnapshot& history, const DeviceStats& stats) {
  using Action = AllocationEvent::Action;
  std::map<uintptr_t, size_t> live;
  int64_t requested = 0, reserved = 0, peak = 0;
  for (const AllocationEvent& event : history.traces.at(0)) {
    const auto size = static_cast<int64_t>(event.size);
    if (event.action == Action::ALLOC) {
      EXPECT(live.emplace(event.address, event.size).second);
      requested += size;
    } else if (event.action == Action::FREE_COMPLETED) {
      EXPECT(live.count(event.address) == 1 && live[event.address] == event.size);
      live.erase(event.address);
      requested -= size;
    } else if (event.action == Action::SEGMENT_MAP) {
      reserved += size;
    } else if (event.action == Action::SEGMENT_UNMAP) {
      reserved -= size;
    }
    EXPECT(event.context != nullptr);
    peak = std::max(peak, requested);
  }
  EXPECT(history.is_complete);
  EXPECT(requested == stats.requested_bytes[0].current);
  EXPECT(peak == stats.requested_bytes[0].peak);
  EXPECT(reserved == stats.reserved_bytes[0].current);
  EXPECT(static_cast<int64_t>(live.size()) == stats.allocation[0].current);
}

void RecordsAHistoryFromManyThreads() {
  CachingCpuAllocator allocator;
  EXPECT(!ArePlacesRecorded());
  RecordPlaces(true);
  allocator.RecordHistory(1 << 20);
  Exchange exchange;
  std::atomic<bool> done{false};
  std::thread reader([&] {
    while (!done) {
      const MemorySnapshot history = allocator.History();
      EXPECT(history.traces.size() == 1 && history.is_complete);
      allocator.emptyCache();
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
  });
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937 random(static_cast<unsigned>(t));
      const WorkPlaceScope scope("label", "trainer", "batch");
      for (int i = 0; i < 1500; ++i) {
        EnterPlace("module " + std::to_string(t), i % 2 == 0 ? "forward" : "backward");
        const size_t outer = EnterOperator("outer");
        EnterOperator("inner");
        const auto* context = ContextHere();
        EXPECT(context->module == "module " + std::to_string(t) + " (label)");
        EXPECT(context->operators.size() == 2 && std::string(context->operators[0]) == "inner");
        exchange.Put(Make(allocator, RandomSize(random), static_cast<unsigned char>(t)));
        LeaveOperators(outer);
        EXPECT(ContextHere()->operators.empty());
        Owned other;
        if (exchange.Get(&other)) Drop(allocator, other);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  done = true;
  reader.join();
  CheckHistory(allocator.History(), allocator.getDeviceStats(0));
  Owned rest;
  while (exchange.Get(&rest)) Drop(allocator, rest);
  CheckHistory(allocator.History(), allocator.getDeviceStats(0));
  // A failure is an event, and changes nothing else.
  allocator.FailAllocation(1);
  const size_t before = allocator.History().traces[0].size();
  try {
    allocator.Allocate(kMiB);
    EXPECT(false);
  } catch (const c10::OutOfMemoryError&) {
  }
  EXPECT(allocator.History().traces[0].size() == before + 1);
  EXPECT(allocator.History().traces[0].back().action == AllocationEvent::Action::OOM);
  CheckHistory(allocator.History(), allocator.getDeviceStats(0));
  // The last ones are kept.
  allocator.RecordHistory(10);
  for (int i = 0; i < 20; ++i) Drop(allocator, Make(allocator, 100, 1));
  EXPECT(allocator.History().traces[0].size() == 10 && !allocator.History().is_complete);
  allocator.RecordHistory(0);
  RecordPlaces(false);
  EXPECT(allocator.History().traces[0].empty());
  ExpectNothingLeft(allocator);
}

// Recording ends and begins anew while others allocate and free.
void HistoriesComeAndGo() {
  CachingCpuAllocator allocator;
  std::atomic<bool> done{false};
  std::thread switcher([&] {
    for (int i = 0; i < 200; ++i) {
      RecordPlaces(i % 2 == 0);
      allocator.RecordHistory(i % 2 == 0 ? 100 : 0);
      allocator.History();
    }
    done = true;
  });
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&] {
      while (!done) {
        const WorkPlaceScope scope("", "module", "forward");
        EnterPlace("module", "backward");
        Drop(allocator, Make(allocator, 5000, 1));
      }
    });
  }
  switcher.join();
  for (std::thread& thread : threads) thread.join();
  EXPECT(!ArePlacesRecorded());
  ExpectNothingLeft(allocator);
}

#ifdef NDEBUG  // a debug build aborts instead
void RefusesForeignPointers() {
  CachingCpuAllocator allocator;
  char onStack[64];
  void* small = allocator.Allocate(100);
  void* large = allocator.Allocate(3 * kMiB);
  const DeviceStats before = allocator.getDeviceStats(0);
  const auto refuses = [&](void* pointer) {
    try {
      allocator.Free(pointer);
      return false;
    } catch (const c10::Error&) {
      return true;
    }
  };
  EXPECT(refuses(onStack));
  EXPECT(refuses(static_cast<char*>(small) + 64));
  EXPECT(refuses(static_cast<char*>(large) + 4096));
  EXPECT(SameCounts(before, allocator.getDeviceStats(0)));
  allocator.Free(small);
  EXPECT(refuses(small));
  allocator.Free(large);
  EXPECT(refuses(large));
}
#endif

void ListsPyTorchsKeys() {
  const auto flat = FlatStats(DeviceStats{});
  EXPECT(flat.size() == 9 * 3 * 4 + 2 * 4 + 6);
  EXPECT(std::is_sorted(flat.begin(), flat.end()));
  for (const char* key : {"allocated_bytes.all.peak", "allocation.small_pool.freed",
                          "active_bytes.large_pool.current", "inactive_split_bytes.all.allocated",
                          "num_alloc_retries", "num_ooms", "num_device_alloc", "num_device_free",
                          "num_sync_all_streams", "max_split_size", "oversize_allocations.current",
                          "oversize_segments.peak", "requested_bytes.all.current",
                          "reserved_bytes.all.current", "segment.all.current"}) {
    EXPECT(std::any_of(flat.begin(), flat.end(), [&](auto& entry) { return entry.first == key; }));
  }
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // they need all addresses
// In a child, since a process cannot raise its limit again.
void WorksUnderAnAddressLimit() {
  const pid_t child = fork();
  if (child == 0) {
    const rlimit limit{size_t{4} << 30, size_t{4} << 30};
    if (setrlimit(RLIMIT_AS, &limit) != 0) _exit(2);
    CachingCpuAllocator allocator;
    for (int i = 0; i < 10; ++i) Drop(allocator, Make(allocator, 500 * kMiB, 1));
    EXPECT(FailsToAllocate(allocator, size_t{5} << 30));
    ExpectNothingLeft(allocator);
    _exit(failures > 0 ? 1 : 0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}
#endif

void Run(const char* name, void (*test)()) {
  const auto begin = std::chrono::steady_clock::now();
  const int before = failures;
  test();
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  std::printf("%s %s (%.2f s)\n", failures == before ? "ok  " : "FAIL", name, took.count());
  std::fflush(stdout);
}

}  // namespace
}  // namespace localformer

#define RUN(test) localformer::Run(#test, localformer::test)

int main() {
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  RUN(WorksUnderAnAddressLimit);
#endif
  RUN(RandomSequenceMatchesModel);
  RUN(ThreadsFreeEachOthersBlocks);
  RUN(FreedNeighboursMergeAndMemoryGoesBack);
  RUN(FailedAllocationsChangeNothing);
  RUN(ReservedHoldsTheLimit);
  RUN(TrainingStaysWithinTheBound);
  RUN(HolesAreGivenBackWhenNothingFits);
  RUN(WindowsWorkOnBothKinds);
  RUN(InstallsOnceFromManyThreads);
  RUN(ServesLibTorch);
  RUN(TrialsAreUncounted);
  RUN(RecordsATimelineFromManyThreads);
  RUN(RecordsAHistoryFromManyThreads);
  RUN(HistoriesComeAndGo);
#ifdef NDEBUG
  RUN(RefusesForeignPointers);
#endif
  RUN(ListsPyTorchsKeys);
  RUN(ControlGroupsOfBothVersionsAreRead);
  RUN(TheControlGroupIsHeldAndLookedAtAgain);
  return localformer::failures > 0 ? 1 : 0;
}
