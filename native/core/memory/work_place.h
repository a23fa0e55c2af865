// Who allocates, as a record of memory tells it (allocation_history.h): the module and the phase at
// work, and the operators that the calling thread is in. Where nothing records, all of it is a look
// at one flag.
#pragma once

#include <c10/core/Allocator.h>
#include <c10/util/ThreadLocalDebugInfo.h>

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace localformer {

// The same text is the same pointer, for as long as the process lives.
const char* Interned(const std::string& text);

// What is kept with an allocation. One and the same for all that come from the same place, and
// never freed: there are as many as there are places in the program that allocate.
struct AllocationContext final : c10::GatheredContext {
  const char* module = "";             // `module 2 (paper:4)`; empty where it is not known.
  const char* phase = "";              // The same.
  std::vector<const char*> operators;  // The innermost first.
};

// Of the calling thread. Null where memory for a new one is missing.
const AllocationContext* ContextHere() noexcept;
// The same as LibTorch's allocators ask for it; visible for liblocalformer_cuda.so.
__attribute__((visibility("default"))) std::shared_ptr<c10::GatheredContext> SharedContextHere();

// Does anything record? Counts who does.
bool ArePlacesRecorded();
void RecordPlaces(bool record);

// The place of the thread that holds the scope, and of those of autograd that work for it.
class WorkPlace final : public c10::DebugInfoBase {
 public:
  explicit WorkPlace(const char* label) : label_(label) {}

  // The calling thread's; null where there is none.
  static WorkPlace* Current();

  void Enter(const std::string& module, const char* phase);
  const char* module() const { return module_; }
  const char* phase() const { return phase_; }

 private:
  const char* const label_;
  // Written by the thread that holds the scope, read by those that work for it.
  std::atomic<const char*> module_{""};
  std::atomic<const char*> phase_{""};
};

// What this thread does from here on, until EnterPlace says otherwise or the scope ends. `label` is
// what stands in brackets behind the name of every module; phases live forever.
class WorkPlaceScope {
 public:
  WorkPlaceScope(const std::string& label, const std::string& module, const char* phase);

 private:
  std::optional<c10::DebugInfoGuard> guard_;
};

// What follows is done by this module in this phase; nothing where there is no scope.
inline void EnterPlace(const std::string& module, const char* phase) {
  if (!ArePlacesRecorded()) return;
  if (WorkPlace* place = WorkPlace::Current()) place->Enter(module, phase);
}

// The operators that the calling thread is in.
size_t EnterOperator(const char* name) noexcept;  // How many there were.
void LeaveOperators(size_t count) noexcept;       // Until there are so many again.

}  // namespace localformer
