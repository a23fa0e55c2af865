// Random numbers of one image's augmentation. They are given by (seed, place in the batch, subject)
// alone, so neither threads nor another subject's settings can change them.
#pragma once

#include <cmath>
#include <cstdint>

namespace localformer {

// SplitMix64 (Steele, Lea, Flood, OOPSLA 2014), which needs no warm-up whatever its start.
class ImageRandom {
 public:
  enum class Subject : uint64_t { kRandAugment = 1, kErasing = 2, kMixing = 3 };

  ImageRandom(uint64_t seed, int64_t index, Subject subject)
      : state_(Scramble(Scramble(Scramble(seed) + static_cast<uint64_t>(index)) +
                        static_cast<uint64_t>(subject))) {}

  // In [0, 1).
  double Uniform() { return static_cast<double>(Next() >> 11) * 0x1p-53; }
  double Between(double low, double high) { return low + (high - low) * Uniform(); }
  // 0 to bound - 1; bound is so small beside 2^53 that no value is favoured measurably.
  int64_t Below(int64_t bound) {
    return static_cast<int64_t>(Uniform() * static_cast<double>(bound));
  }
  // Mean 0, variance 1 (Box and Muller).
  double Normal() {
    const double radius = std::sqrt(-2.0 * std::log(1.0 - Uniform()));
    return radius * std::cos(6.283185307179586 * Uniform());
  }

 private:
  static constexpr uint64_t kStride = 0x9e3779b97f4a7c15;

  static uint64_t Scramble(uint64_t x) {
    x += kStride;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
    x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
    return x ^ (x >> 31);
  }
  uint64_t Next() {
    const uint64_t value = Scramble(state_);
    state_ += kStride;
    return value;
  }

  uint64_t state_;
};

}  // namespace localformer
