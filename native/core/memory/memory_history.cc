// See memory_history.h.
#include "memory/memory_history.h"

#include <ATen/record_function.h>

#include <map>
#include <memory>
#include <mutex>
#include <set>

#include "coded_error.h"
#include "memory/caching_cpu_allocator.h"
#include "memory/snapshot_file.h"

namespace localformer {
namespace {

struct Recording {
  std::mutex mutex;
  // All below are guarded by mutex.
  std::map<c10::DeviceType, HistorySource> sources;
  std::set<c10::DeviceType> recorded;
  at::CallbackHandle operators = at::INVALID_CALLBACK_HANDLE;
};

// Never destroyed: work may go on while the process exits.
Recording& TheRecording() {
  static auto* const recording = [] {
    auto* made = new Recording;
    made->sources[c10::kCPU] = {
        [](size_t most_events) { InstallCachingCpuAllocator()->RecordHistory(most_events); },
        [] { return InstallCachingCpuAllocator()->History(); }};
    return made;
  }();
  return *recording;
}

// Needs the recording's mutex.
const HistorySource& SourceOf(const Recording& recording, c10::DeviceType type) {
  const auto found = recording.sources.find(type);
  if (found != recording.sources.end()) return found->second;
  throw CodedError(
      "ERR_DEVICE_UNAVAILABLE",
      "Memory of " + c10::DeviceTypeName(type, /*lower_case=*/true) + " devices is not recorded");
}

// What the thread was in before an operator, which it is again behind it, however that ends.
struct Before final : at::ObserverContext {
  explicit Before(size_t operators) : count(operators) {}
  const size_t count;
};

std::unique_ptr<at::ObserverContext> Enter(const at::RecordFunction& function) {
  return std::make_unique<Before>(EnterOperator(function.name()));
}

void Leave(const at::RecordFunction&, at::ObserverContext* before) {
  if (before != nullptr) LeaveOperators(static_cast<const Before*>(before)->count);
}

// Needs the recording's mutex.
void Observe(Recording& recording) {
  const bool is_observed = recording.operators != at::INVALID_CALLBACK_HANDLE;
  if (is_observed == !recording.recorded.empty()) return;
  if (is_observed) {
    at::removeCallback(recording.operators);
    recording.operators = at::INVALID_CALLBACK_HANDLE;
  } else {
    recording.operators = at::addGlobalCallback(
        at::RecordFunctionCallback(&Enter, &Leave)
            .scopes({at::RecordScope::FUNCTION, at::RecordScope::BACKWARD_FUNCTION}));
  }
  RecordPlaces(!is_observed);
}

}  // namespace

void RegisterHistorySource(c10::DeviceType type, HistorySource source) {
  Recording& recording = TheRecording();
  const std::lock_guard<std::mutex> lock(recording.mutex);
  recording.sources[type] = source;
}

void RecordMemoryHistory(c10::DeviceType type, size_t most_events) {
  Recording& recording = TheRecording();
  const std::lock_guard<std::mutex> lock(recording.mutex);
  SourceOf(recording, type).record(most_events);
  if (most_events > 0) {
    recording.recorded.insert(type);
  } else {
    recording.recorded.erase(type);
  }
  Observe(recording);
}

WrittenSnapshot DumpSnapshot(c10::DeviceType type, const std::string& file) {
  MemorySnapshot snapshot;
  {
    Recording& recording = TheRecording();
    const std::lock_guard<std::mutex> lock(recording.mutex);
    snapshot = SourceOf(recording, type).read();
  }
  WrittenSnapshot written;
  for (const auto& trace : snapshot.traces) written.events += static_cast<int64_t>(trace.size());
  written.is_complete = snapshot.is_complete;
  WriteSnapshot(snapshot, file);
  return written;
}

}  // namespace localformer
