// See dry_run.h.
#include "memory/dry_run.h"

#include <atomic>

namespace localformer {
namespace {

std::atomic<bool> of_process{false};
thread_local int scopes = 0;

}  // namespace

bool IsDryRun() { return scopes > 0 || of_process.load(std::memory_order_relaxed); }

void SetDryRuns(bool dry) { of_process.store(dry); }

DryRunScope::DryRunScope() { ++scopes; }
DryRunScope::~DryRunScope() { --scopes; }

}  // namespace localformer
