// See mixing.h.
#include "data/mixing.h"

#include <algorithm>
#include <cmath>

namespace localformer {
namespace {

// Logarithm of a Gamma(shape, 1) variate (Marsaglia and Tsang, ACM TOMS 26:3, 2000). As a
// logarithm, since for a small shape most variates are less than the smallest double.
double LogGamma(double shape, ImageRandom& random) {
  const double d = shape + 1.0 - 1.0 / 3.0, c = 1.0 / std::sqrt(9.0 * d);
  for (;;) {
    const double x = random.Normal();
    const double v = std::pow(1.0 + c * x, 3.0);
    const double u = 1.0 - random.Uniform();
    if (v > 0.0 && std::log(u) < 0.5 * x * x + d - d * v + d * std::log(v)) {
      return std::log(d * v) + std::log(1.0 - random.Uniform()) / shape;
    }
  }
}

// Beta(alpha, alpha), in [0, 1].
double SymmetricBeta(double alpha, ImageRandom& random) {
  const double one = LogGamma(alpha, random), other = LogGamma(alpha, random);
  return 1.0 / (1.0 + std::exp(other - one));
}

// A square of 1 - lambda of the area around any pixel, cut off at the image's edges.
PixelBox DrawBox(double lambda, int64_t size, ImageRandom& random) {
  const auto side = static_cast<int64_t>(static_cast<double>(size) * std::sqrt(1.0 - lambda));
  const auto part = [&](int64_t* begin, int64_t* length) {
    const int64_t middle = random.Below(size);
    *begin = std::clamp<int64_t>(middle - side / 2, 0, size);
    *length = std::clamp<int64_t>(middle + side / 2, 0, size) - *begin;
  };
  PixelBox box;
  part(&box.top, &box.height);
  part(&box.left, &box.width);
  return box;
}

void Blend(const float* own, const float* other, float share, int64_t count, float* out) {
  for (int64_t i = 0; i < count; ++i) out[i] = share * own[i] + (1.0F - share) * other[i];
}

void Paste(const float* other, int64_t size, const PixelBox& box, float* out) {
  for (int64_t c = 0; c < 3; ++c) {
    for (int64_t y = box.top; y < box.top + box.height; ++y) {
      const int64_t at = (c * size + y) * size + box.left;
      std::copy(other + at, other + at + box.width, out + at);
    }
  }
}

}  // namespace

std::vector<Mix> MixesOf(const BatchOptions& batch, int64_t count) {
  const Augmentation& options = batch.augment;
  const int64_t size = batch.image_size, given = batch.Given(count);
  std::vector<Mix> mixes(static_cast<size_t>(given));
  for (int64_t i = 0; i < given; ++i) {
    ImageRandom random(options.seed, batch.PlaceOf(i, count), ImageRandom::Subject::kMixing);
    Mix& mix = mixes[static_cast<size_t>(i)];
    mix.other = batch.share ? given + i : count - 1 - i;
    const bool mixed = random.Uniform() < options.mix_probability;
    const bool second = random.Uniform() < 0.5;
    if (!mixed) continue;
    mix.cut = options.mixup > 0.0 && options.cutmix > 0.0 ? second : options.cutmix > 0.0;
    const double lambda = SymmetricBeta(mix.cut ? options.cutmix : options.mixup, random);
    mix.share = static_cast<float>(lambda);
    if (!mix.cut) continue;
    mix.box = DrawBox(lambda, size, random);
    const auto area = static_cast<double>(mix.box.height * mix.box.width);
    mix.share = static_cast<float>(1.0 - area / static_cast<double>(size * size));
  }
  return mixes;
}

void ApplyMixes(float* images, int64_t size, const std::vector<Mix>& mixes) {
  const int64_t values = 3 * size * size;
  const auto apply = [&](size_t i, const float* own, const float* other) {
    float* out = images + static_cast<int64_t>(i) * values;
    if (mixes[i].cut) {
      Paste(other, size, mixes[i].box, out);
    } else {
      Blend(own, other, mixes[i].share, values, out);
    }
  };
  // Two images are each other's partners: with both copied, no second batch is needed.
  for (size_t i = 0; i < mixes.size(); ++i) {
    const auto j = static_cast<size_t>(mixes[i].other);
    if (j <= i) break;
    const float* partner = images + static_cast<int64_t>(j) * values;
    const std::vector<float> one(images + static_cast<int64_t>(i) * values,
                                 images + static_cast<int64_t>(i + 1) * values);
    // One that is not mixed itself stays as it is.
    const bool is_mixed = j < mixes.size();
    const std::vector<float> other(partner, partner + (is_mixed ? values : 0));
    apply(i, one.data(), is_mixed ? other.data() : partner);
    if (is_mixed) apply(j, other.data(), one.data());
  }
}

}  // namespace localformer
