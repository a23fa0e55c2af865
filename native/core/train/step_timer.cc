// See step_timer.h.
#include "train/step_timer.h"

#include <algorithm>

#include "math/work_count.h"
#include "memory/dry_run.h"
#include "train/device.h"

namespace localformer {
namespace {

// Any rate will do.
constexpr double kOperationsASecond = 1e11;

double CountedOperations() {
  const WorkCount work = CountedWork();
  return static_cast<double>(work.float32 + work.bfloat16);
}

double TimeOnce(c10::Device device, const std::function<void()>& run) {
  Stopwatch stopwatch(device);
  run();
  stopwatch.Stop();
  return stopwatch.Seconds();
}

}  // namespace

double SecondsOf(c10::Device device, const std::function<void()>& run) {
  const double before = CountedOperations();
  run();
  if (IsDryRun() || !device.is_cpu()) return (CountedOperations() - before) / kOperationsASecond;
  const double first = TimeOnce(device, run);
  return std::min(first, TimeOnce(device, run));
}

}  // namespace localformer
