// See work_place.h.
#include "work_place.h"

#include <map>
#include <mutex>
#include <unordered_set>
#include <utility>

namespace localformer {
namespace {

// Of the kinds that LibTorch knows, one that nothing in it reads.
constexpr auto kKind = c10::DebugInfoKind::PRODUCER_INFO;

std::atomic<int> recorders{0};

// Deeper ones are not kept.
constexpr size_t kMostOperators = 64;
thread_local std::vector<const char*> operators;

// Threads may allocate while the process exits: what follows is never destroyed.
struct Texts {
  std::mutex mutex;
  std::unordered_set<std::string> texts;
};
struct Contexts {
  std::mutex mutex;
  // By module, phase and operators.
  std::map<std::vector<const char*>, std::unique_ptr<AllocationContext>> contexts;
};

Texts& TheTexts() {
  static auto* const texts = new Texts;
  return *texts;
}
Contexts& TheContexts() {
  static auto* const contexts = new Contexts;
  return *contexts;
}

const AllocationContext* FindContext() {
  const WorkPlace* place = WorkPlace::Current();
  std::vector<const char*> key = {place == nullptr ? "" : place->module(),
                                  place == nullptr ? "" : place->phase()};
  key.insert(key.end(), operators.rbegin(), operators.rend());
  Contexts& all = TheContexts();
  const std::lock_guard<std::mutex> lock(all.mutex);
  const auto found = all.contexts.find(key);
  if (found != all.contexts.end()) return found->second.get();
  auto made = std::make_unique<AllocationContext>();
  made->module = key[0];
  made->phase = key[1];
  made->operators.assign(key.begin() + 2, key.end());
  return all.contexts.emplace(std::move(key), std::move(made)).first->second.get();
}

}  // namespace

const char* Interned(const std::string& text) {
  Texts& all = TheTexts();
  const std::lock_guard<std::mutex> lock(all.mutex);
  return all.texts.insert(text).first->c_str();
}

const AllocationContext* ContextHere() noexcept {
  try {
    return FindContext();
  } catch (...) {
    return nullptr;
  }
}

std::shared_ptr<c10::GatheredContext> SharedContextHere() {
  // Owned by nobody, as it lives forever.
  return {std::shared_ptr<void>(), const_cast<AllocationContext*>(ContextHere())};
}

bool ArePlacesRecorded() { return recorders.load(std::memory_order_relaxed) > 0; }

void RecordPlaces(bool record) { recorders.fetch_add(record ? 1 : -1); }

WorkPlace* WorkPlace::Current() {
  return dynamic_cast<WorkPlace*>(c10::ThreadLocalDebugInfo::get(kKind));
}

void WorkPlace::Enter(const std::string& module, const char* phase) {
  module_ = *label_ == '\0' ? Interned(module) : Interned(module + " (" + label_ + ")");
  phase_ = phase;
}

WorkPlaceScope::WorkPlaceScope(const std::string& label, const std::string& module,
                               const char* phase) {
  if (!ArePlacesRecorded()) return;
  auto place = std::make_shared<WorkPlace>(Interned(label));
  place->Enter(module, phase);
  guard_.emplace(kKind, std::move(place));
}

size_t EnterOperator(const char* name) noexcept {
  const size_t count = operators.size();
  try {
    if (count < kMostOperators) operators.push_back(Interned(name));
  } catch (...) {
    // One that is not told.
  }
  return count;
}

void LeaveOperators(size_t count) noexcept {
  if (operators.size() > count) operators.resize(count);
}

}  // namespace localformer
