// See product_choices.h.
#include "math/product_choices.h"

#include <ATen/Parallel.h>
#include <c10/core/GradMode.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <exception>
#include <limits>
#include <mutex>
#include <new>
#include <optional>

#include "math/tuning_clock.h"
#include "memory/caching_cpu_allocator.h"
#include "memory/dry_run.h"
#include "memory/uncounted_allocations.h"

namespace localformer {
namespace {

// Multiplications below which a product goes to the default: there oneDNN's call costs more than
// its kernel saves (10 microseconds of 50), and small networks do not wait for measurements.
constexpr int64_t kLeastWork = int64_t{1} << 25;
// More rows are measured as so many: by then all backends have reached their speed.
constexpr int64_t kMostRows = int64_t{1} << 13;
// A trial takes no more rows than make so many multiplications, a few milliseconds, but enough to
// tell what more would show.
constexpr int64_t kMostTrialWork = int64_t{1} << 29;
constexpr int64_t kLeastTrialRows = 1024;
// Runs of each backend after its first, which makes kernels and takes pages.
constexpr int kRuns = 3;
// One that was so much slower than the best gets no further run.
constexpr double kHopeless = 1.3;
// What takes the default's place has to be so much faster: less is noise.
constexpr double kLeastGain = 0.97;

thread_local MathMode mode_in_use = MathMode::kMkl;
thread_local ProductChoices* choices_in_use = nullptr;

using Key = decltype(ProductChoice().Key());

struct Process {
  std::mutex mutex;   // Of the maps.
  std::mutex tuning;  // Held by the one thread that measures.
  std::map<Key, ProductChoice> choices;
  // Where one of the ways failed: good enough for this process, and measured again by the next.
  std::map<Key, Backend> provisional;
  std::atomic<int64_t> measured{0};
};
Process& TheProcess() {
  static auto* process = new Process;  // Threads may outlive statics.
  return *process;
}

std::optional<Backend> Known(const Key& key) {
  Process& process = TheProcess();
  const std::lock_guard<std::mutex> lock(process.mutex);
  const auto found = process.choices.find(key);
  if (found != process.choices.end()) return found->second.backend;
  const auto provisional = process.provisional.find(key);
  if (provisional == process.provisional.end()) return std::nullopt;
  return provisional->second;
}

void AddProvisional(const Key& key, Backend backend) {
  Process& process = TheProcess();
  const std::lock_guard<std::mutex> lock(process.mutex);
  process.provisional.emplace(key, backend);
}

int64_t BytesOf(const ProductChoice& choice) {
  const int64_t values = choice.rows * (choice.in + choice.out) + choice.in * choice.out;
  return values * static_cast<int64_t>(c10::elementSize(choice.type));
}

double SecondsOf(Backend backend, int64_t rows, TryProduct attempt) {
  const auto start = std::chrono::steady_clock::now();
  attempt(backend, rows);
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

bool IsOutOfMemory(const std::exception& error) {
  return dynamic_cast<const c10::OutOfMemoryError*>(&error) != nullptr ||
         dynamic_cast<const std::bad_alloc*>(&error) != nullptr;
}

struct Timed {
  Backend backend;
  double seconds;
};

constexpr double kFailed = std::numeric_limits<double>::infinity();

struct Contest {
  Backend fastest;
  bool is_complete;  // All that should be able were.
};

Contest Fastest(const ProductChoice& choice, int64_t rows, TryProduct attempt) {
  const UncountedAllocations uncounted;
  const c10::NoGradGuard no_grad;
  std::vector<Timed> timed;
  bool is_complete = true;
  // One that cannot is none; the default fails again where it is used, and is told there.
  const auto seconds_of = [&](Backend backend) {
    try {
      return SecondsOf(backend, rows, attempt);
    } catch (const std::exception& error) {
      if (IsOutOfMemory(error)) throw;
      is_complete = false;
      return kFailed;
    }
  };
  for (const Backend backend : BackendsOf(choice.kind, choice.type)) {
    if (seconds_of(backend) == kFailed) continue;
    timed.push_back({backend, seconds_of(backend)});
  }
  const auto faster = [](const Timed& a, const Timed& b) { return a.seconds < b.seconds; };
  for (int run = 1; run < kRuns && !timed.empty(); ++run) {
    const double best = std::min_element(timed.begin(), timed.end(), faster)->seconds;
    for (Timed& one : timed) {
      if (one.seconds > best * kHopeless) continue;
      const double again = seconds_of(one.backend);
      one.seconds = again == kFailed ? kFailed : std::min(one.seconds, again);
    }
  }
  for (Timed& one : timed) {
    if (one.backend == Backend::kMkl) one.seconds *= kLeastGain;
  }
  const auto best = std::min_element(timed.begin(), timed.end(), faster);
  const bool has_one = best != timed.end() && best->seconds != kFailed;
  return {has_one ? best->backend : Backend::kMkl, is_complete};
}

// By the process's choice, measured if there is none.
Backend Measured(ProductChoice choice, int64_t rows, TryProduct attempt) {
  if (const auto known = Known(choice.Key())) return *known;
  if (IsDryRun()) return DefaultBackendOf(choice.type);
  const TuningTime time;
  const std::lock_guard<std::mutex> lock(TheProcess().tuning);
  // Another thread may have measured it meanwhile.
  if (const auto known = Known(choice.Key())) return *known;
  // Operands, results and copies of a trial count nowhere, but there has to be room for them. A
  // trainer that had none keeps the default, as it keeps every choice.
  const auto free = InstallCachingCpuAllocator()->getMemoryInfo().first;
  if (static_cast<int64_t>(std::min(free, size_t{INT64_MAX})) < 4 * BytesOf(choice)) {
    return DefaultBackendOf(choice.type);
  }
  try {
    const Contest contest = Fastest(choice, rows, attempt);
    // oneDNN says in words of its own that memory ran out: what it could not do now it may do
    // later.
    if (!contest.is_complete) {
      AddProvisional(choice.Key(), contest.fastest);
      return contest.fastest;
    }
    choice.backend = contest.fastest;
  } catch (const std::exception& error) {
    if (!IsOutOfMemory(error)) throw;
    return DefaultBackendOf(choice.type);
  }
  AddProcessChoices({choice});
  ++TheProcess().measured;
  // One that came out of a file meanwhile stays.
  return Known(choice.Key()).value_or(choice.backend);
}

int64_t TrialRows(const ProductShape& shape) {
  const int64_t enough = std::max(kMostTrialWork / (shape.in * shape.out), kLeastTrialRows);
  return std::min({shape.rows, kMostRows, enough});
}

int64_t Bucket(int64_t rows) {
  int64_t bucket = 1;
  while (bucket < std::min(rows, kMostRows)) bucket *= 2;
  return bucket;
}

}  // namespace

ProductChoices::ProductChoices() { Replace(ProcessChoices()); }

Backend ProductChoices::Of(const ProductChoice& choice, int64_t rows, TryProduct attempt) {
  const auto found = choices_.find(choice.Key());
  if (found != choices_.end()) return found->second.backend;
  ProductChoice made = choice;
  made.backend = Measured(choice, rows, attempt);
  choices_.emplace(made.Key(), made);
  return made.backend;
}

std::vector<ProductChoice> ProductChoices::List() const {
  std::vector<ProductChoice> list;
  for (const auto& entry : choices_) list.push_back(entry.second);
  return list;
}

void ProductChoices::Replace(const std::vector<ProductChoice>& choices) {
  choices_.clear();
  for (const ProductChoice& choice : choices) choices_.emplace(choice.Key(), choice);
}

std::vector<ProductChoice> ProcessChoices() {
  Process& process = TheProcess();
  const std::lock_guard<std::mutex> lock(process.mutex);
  std::vector<ProductChoice> list;
  for (const auto& entry : process.choices) list.push_back(entry.second);
  return list;
}

void AddProcessChoices(const std::vector<ProductChoice>& choices) {
  Process& process = TheProcess();
  const std::lock_guard<std::mutex> lock(process.mutex);
  for (const ProductChoice& choice : choices) process.choices.emplace(choice.Key(), choice);
}

int64_t MeasuredChoices() { return TheProcess().measured; }

MathInUse::MathInUse(MathMode mode, ProductChoices* choices)
    : outer_mode_(mode_in_use), outer_choices_(choices_in_use) {
  mode_in_use = mode;
  choices_in_use = choices;
}

MathInUse::~MathInUse() {
  mode_in_use = outer_mode_;
  choices_in_use = outer_choices_;
}

Backend BackendFor(const ProductShape& shape, TryProduct attempt) {
  const bool has_a_choice = mode_in_use != MathMode::kMkl && shape.device.is_cpu() &&
                            (shape.type == at::kFloat || shape.type == at::kBFloat16) &&
                            shape.rows > 0 && shape.in > 0 && shape.out > 0;
  if (!has_a_choice) return Backend::kMkl;
  if (mode_in_use == MathMode::kOneDnn) return OneDnnBackendOf(shape.kind, shape.type);
  ProductChoice choice;
  choice.kind = shape.kind;
  choice.type = shape.type;
  choice.rows = Bucket(shape.rows);
  choice.in = shape.in;
  choice.out = shape.out;
  choice.threads = at::get_num_threads();
  if (choice.rows * choice.in * choice.out < kLeastWork) return DefaultBackendOf(shape.type);
  const std::vector<Backend> able = BackendsOf(shape.kind, shape.type);
  if (able.size() == 1) return able.front();
  const Backend backend = choices_in_use->Of(choice, TrialRows(shape), attempt);
  // Choices may come from another processor.
  const bool is_able = std::find(able.begin(), able.end(), backend) != able.end();
  return is_able ? backend : DefaultBackendOf(shape.type);
}

}  // namespace localformer
