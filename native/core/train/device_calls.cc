// See device_calls.h.
#include "train/device_calls.h"

#include <dlfcn.h>

#include <algorithm>
#include <cstring>

namespace localformer {
namespace {

thread_local CallLog* current_log = nullptr;

// The loader has opened the stand-ins with their symbols visible, or there are none.
sim_read_counts CountReader() {
  static const auto reader =
      reinterpret_cast<sim_read_counts>(dlsym(RTLD_DEFAULT, "localformer_simulated_counts"));
  return reader;
}

// A field of one and the same of the other, pair by pair.
template <typename Change>
void WithEach(DeviceCalls* one, const DeviceCalls& other, Change change) {
  std::vector<int64_t> values;
  DeviceCalls::Fields(other, [&](const char*, int64_t value) { values.push_back(value); });
  size_t at = 0;
  DeviceCalls::Fields(*one, [&](const char*, int64_t& value) { change(&value, values[at++]); });
}

}  // namespace

std::optional<DeviceCalls> ReadDeviceCalls() {
  const sim_read_counts read = CountReader();
  if (read == nullptr) return std::nullopt;
  DeviceCalls calls;
  read(&calls);
  return calls;
}

CallLog::CallLog() : outer_(current_log), before_(ReadDeviceCalls()) { current_log = this; }

CallLog::~CallLog() { current_log = outer_; }

CallLog* CallLog::Current() { return current_log; }

void CallLog::Book() {
  const std::optional<DeviceCalls> now = ReadDeviceCalls();
  if (!now) return;
  if (!phases_.empty()) {
    DeviceCalls done = *now;
    WithEach(&done, *before_, [](int64_t* value, int64_t before) { *value -= before; });
    WithEach(&phases_[current_].calls, done, [](int64_t* sum, int64_t value) { *sum += value; });
  }
  before_ = now;
}

void CallLog::Enter(int64_t module, const char* phase) {
  Book();
  const auto same = [&](const PhaseCalls& one) {
    return one.module == module && std::strcmp(one.phase, phase) == 0;
  };
  const auto found = std::find_if(phases_.begin(), phases_.end(), same);
  current_ = static_cast<size_t>(found - phases_.begin());
  if (found == phases_.end()) phases_.push_back({module, phase, {}});
}

std::vector<PhaseCalls> CallLog::Finish() {
  Book();
  return before_ ? std::move(phases_) : std::vector<PhaseCalls>();
}

}  // namespace localformer
