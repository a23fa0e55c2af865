// See watch.h.
#include "distributed/watch.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "coded_error.h"
#include "distributed/store_text.h"
#include "swin/unit.h"

namespace localformer {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::milliseconds kBeat(1000);
constexpr std::chrono::milliseconds kTick(50);
// Where a connection broke, a rank that missed so many signs is the one that was lost.
constexpr std::chrono::milliseconds kBroken(3500);
constexpr const char* kFailedKey = "failed";

std::string BeatKey(int rank) { return "beat/" + std::to_string(rank); }

std::string Named(int rank) { return "rank " + std::to_string(rank); }

}  // namespace

struct Watch::State {
  c10::intrusive_ptr<c10d::Store> store;
  int rank = 0, size = 0;
  std::chrono::milliseconds silence{0};
  const std::atomic<bool>* cancelled = nullptr;

  mutable std::mutex mutex;
  std::condition_variable changed;
  bool stopping = false, resting = false, beat_ended = false;
  std::optional<std::string> failure;
  std::optional<std::string> untold;  // For the others; only the thread that beats asks the store.
  std::vector<std::string> last_beats;
  std::vector<Clock::time_point> heard;
  Clock::time_point answered = Clock::now();  // By the store.
  std::map<uint64_t, std::function<void()>> wakes;
  uint64_t next_wake = 0;
  std::thread guard;

  void Fail(const std::string& reason) {
    const std::lock_guard<std::mutex> lock(mutex);
    if (!failure && !resting) failure = reason;
    changed.notify_all();
  }

  // The rank whose last sign of life is longest ago, where that is longer than `limit`.
  std::optional<int> Silent(std::chrono::milliseconds limit) const {
    const auto now = Clock::now();
    std::optional<int> found;
    for (int other = 0; other < size; ++other) {
      const auto index = static_cast<size_t>(other);
      if (other == rank || now - heard[index] < limit) continue;
      if (!found || heard[index] < heard[static_cast<size_t>(*found)]) found = other;
    }
    return found;
  }

  void Beat();
  void Guard();
};

void Watch::State::Beat() {
  std::vector<std::string> keys;
  for (int other = 0; other < size; ++other) keys.push_back(BeatKey(other));
  for (int64_t count = 1;; ++count) {
    std::optional<std::string> news;
    {
      std::unique_lock<std::mutex> lock(mutex);
      changed.wait_for(lock, kBeat, [this] { return stopping || untold; });
      if (stopping && !untold) break;
      news = std::exchange(untold, {});
    }
    try {
      if (news) store->compareSet(kFailedKey, {}, BytesOf(*news));
      store->set(BeatKey(rank), BytesOf(std::to_string(count)));
      const std::vector<std::vector<uint8_t>> beats = store->multiGet(keys);
      const bool has_failed = store->check({kFailedKey});
      const std::string reason = has_failed ? TextOf(store->get(kFailedKey)) : "";
      const std::lock_guard<std::mutex> lock(mutex);
      answered = Clock::now();
      for (size_t i = 0; i < beats.size(); ++i) {
        std::string beat = TextOf(beats[i]);
        if (beat == last_beats[i]) continue;
        last_beats[i] = std::move(beat);
        heard[i] = answered;
      }
      if (has_failed && !failure && !resting) failure = reason;
      changed.notify_all();
    } catch (const std::exception&) {
      Fail(
          "The store of the process group is gone: the process that hosts it, rank 0 or "
          "torchrun's agent, has ended");
      break;
    }
  }
  const std::lock_guard<std::mutex> lock(mutex);
  beat_ended = true;
  changed.notify_all();
}

void Watch::State::Guard() {
  std::unique_lock<std::mutex> lock(mutex);
  while (!stopping) {
    changed.wait_for(lock, kTick);
    if (!failure && !resting) {
      const auto seconds = std::to_string(silence.count() / 1000);
      if (Clock::now() - answered > silence) {
        failure = "The store of the process group has not answered for " + seconds +
                  " s: the process that hosts it, rank 0 or torchrun's agent, is stopped or cannot "
                  "be reached";
      } else if (const std::optional<int> silent = Silent(silence)) {
        failure = "No sign of life from " + Named(*silent) + " for " + seconds +
                  " s: its process was stopped or killed, or its host cannot be reached";
      }
    }
    if (!failure && !cancelled->load(std::memory_order_relaxed)) continue;
    const auto due = std::exchange(wakes, {});
    lock.unlock();
    for (const auto& [id, wake] : due) wake();
    lock.lock();
  }
}

Watch::Watch(c10::intrusive_ptr<c10d::Store> store, int rank, int size, double silence_seconds,
             const std::atomic<bool>* cancelled)
    : state_(std::make_shared<State>()) {
  state_->store = std::move(store);
  state_->rank = rank;
  state_->size = size;
  state_->silence = std::chrono::milliseconds(static_cast<int64_t>(silence_seconds * 1000));
  state_->cancelled = cancelled;
  state_->last_beats.resize(static_cast<size_t>(size));
  state_->heard.assign(static_cast<size_t>(size), Clock::now());
  std::thread([state = state_] { state->Beat(); }).detach();
  state_->guard = std::thread([state = state_.get()] { state->Guard(); });
}

Watch::~Watch() {
  {
    std::unique_lock<std::mutex> lock(state_->mutex);
    state_->stopping = true;
    state_->changed.notify_all();
    // What the store owes is not waited for: this thread holds what it needs.
    state_->changed.wait_for(lock, 2 * kBeat, [this] { return state_->beat_ended; });
  }
  state_->guard.join();
}

void Watch::Announce(c10d::Store& store, int rank) { store.set(BeatKey(rank), BytesOf("0")); }

std::optional<std::string> Watch::failure() const {
  const std::lock_guard<std::mutex> lock(state_->mutex);
  return state_->failure;
}

bool Watch::IsOver() const {
  return state_->cancelled->load(std::memory_order_relaxed) || failure().has_value();
}

void Watch::ThrowIfFailed() const {
  if (state_->cancelled->load(std::memory_order_relaxed)) throw Cancelled();
  if (const std::optional<std::string> reason = failure()) {
    throw CodedError("ERR_DISTRIBUTED", *reason,
                     "Start all ranks again; a run goes on from its last checkpoint.");
  }
}

std::shared_ptr<void> Watch::WhenFailed(std::function<void()> wake) {
  const std::lock_guard<std::mutex> lock(state_->mutex);
  const uint64_t id = state_->next_wake++;
  state_->wakes[id] = std::move(wake);
  state_->changed.notify_all();
  return std::shared_ptr<void>(nullptr, [state = state_, id](void*) {
    const std::lock_guard<std::mutex> held(state->mutex);
    state->wakes.erase(id);
  });
}

void Watch::Tell(const std::string& reason) {
  state_->Fail(reason);
  const std::lock_guard<std::mutex> lock(state_->mutex);
  state_->untold = reason;
  state_->changed.notify_all();
}

std::string Watch::Explain(const std::string& error) {
  const auto until = Clock::now() + 2 * kBroken;
  {
    std::unique_lock<std::mutex> lock(state_->mutex);
    while (!state_->failure && Clock::now() < until) {
      if (const std::optional<int> silent = state_->Silent(kBroken)) {
        state_->failure = "Lost " + Named(*silent) +
                          ": its connection broke and it gives no sign of life; its process has "
                          "ended or was killed, or its host cannot be reached";
        break;
      }
      state_->changed.wait_for(lock, kTick);
    }
  }
  const std::string reason = failure().value_or(error);
  Tell(reason);
  return reason;
}

void Watch::Rest() {
  const std::lock_guard<std::mutex> lock(state_->mutex);
  state_->resting = true;
}

}  // namespace localformer
