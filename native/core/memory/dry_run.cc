// See dry_run.h.
#include "dry_run.h"

#include <atomic>

namespace localformer {
namespace {

std::atomic<bool> of_process{false};
thread_local int scopes = 0;

}  // namespace

bool IsDryRun() { return scopes > 0 || of_process.load(std::memory_order_relaxed); }

void SetDryRuns(bool dry) { of_process.store(dry); }

DryRunScope::DryRunScope(c10::Device device) : is_on_(device.is_cpu()) { scopes += is_on_ ? 1 : 0; }
DryRunScope::~DryRunScope() { scopes -= is_on_ ? 1 : 0; }

}  // namespace localformer
