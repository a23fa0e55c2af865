// See tuning_clock.h.
#include "math/tuning_clock.h"

namespace localformer {
namespace {

using std::chrono::steady_clock;

thread_local steady_clock::duration spent = steady_clock::duration::zero();

}  // namespace

steady_clock::time_point WorkNow() { return steady_clock::now() - spent; }

double TuningSeconds() { return std::chrono::duration<double>(spent).count(); }

TuningTime::TuningTime() : start_(steady_clock::now()) {}
TuningTime::~TuningTime() { spent += steady_clock::now() - start_; }

}  // namespace localformer
