// Time that a thread spends on measuring which backend is fastest is no time of its work.
#pragma once

#include <chrono>

namespace localformer {

// Now, less all that the calling thread has spent on tuning so far: a difference of two is what the
// work between them took.
std::chrono::steady_clock::time_point WorkNow();

// What the calling thread has spent on tuning so far.
double TuningSeconds();

// While it lives, the calling thread tunes.
class TuningTime {
 public:
  TuningTime();
  ~TuningTime();
  TuningTime(const TuningTime&) = delete;
  TuningTime& operator=(const TuningTime&) = delete;

 private:
  const std::chrono::steady_clock::time_point start_;
};

}  // namespace localformer
