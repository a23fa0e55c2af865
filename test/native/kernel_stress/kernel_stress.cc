// Every loop of native/core/kernels/vector_kernels.cc over buffers that are just as long as they
// have to be, of sizes that fill vectors and that do not; for AddressSanitizer, which sees a step
// beyond them. Needs no LibTorch. test/process/kernel-stress.test.ts builds and runs it.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

#include "kernels/vector_kernels.h"

namespace localformer {
namespace {

const AllVectorKernels& kAll = LOCALFORMER_VECTOR::kKernels;

float FloatOf(float value) { return value; }
float FloatOf(uint16_t half) {
  const uint32_t bits = static_cast<uint32_t>(half) << 16;
  float value;
  static_assert(sizeof bits == sizeof value);
  __builtin_memcpy(&value, &bits, sizeof value);
  return value;
}

// A block of its own, so that the sanitizer guards both its ends.
template <typename T>
std::unique_ptr<T[]> Numbers(int64_t count) {
  std::unique_ptr<T[]> numbers(new T[static_cast<size_t>(count)]);
  for (int64_t i = 0; i < count; ++i) {
    const float value = std::sin(static_cast<float>(i) * 0.7F);
    if constexpr (std::is_same_v<T, float>) {
      numbers[static_cast<size_t>(i)] = value;
    } else {
      uint32_t bits;
      __builtin_memcpy(&bits, &value, sizeof bits);
      numbers[static_cast<size_t>(i)] = static_cast<T>(bits >> 16);
    }
  }
  return numbers;
}

void Expect(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "%s\n", what);
  std::exit(1);
}

template <typename T>
void ExpectFinite(const T* numbers, int64_t count, const char* what) {
  for (int64_t i = 0; i < count; ++i) Expect(std::isfinite(FloatOf(numbers[i])), what);
}

template <typename T>
void Rows(const VectorKernels<T>& kernels, int64_t tokens, int64_t channels) {
  constexpr int64_t samples = 2;
  const int64_t rows = samples * tokens, count = rows * channels;
  const auto x = Numbers<float>(count), weight = Numbers<float>(channels),
             bias = Numbers<float>(channels);
  const auto mean = Numbers<float>(rows), rstd = Numbers<float>(rows),
             scale = Numbers<float>(samples);
  const auto out = Numbers<T>(count);
  kernels.norm_rows(
      {x.get(), weight.get(), bias.get(), out.get(), mean.get(), rstd.get(), channels}, 0, rows);
  ExpectFinite(out.get(), count, "norm_rows");
  const auto dx = Numbers<float>(count), dweight = Numbers<float>(channels),
             dbias = Numbers<float>(channels);
  kernels.norm_rows_backward({out.get(), x.get(), mean.get(), rstd.get(), weight.get(), dx.get(),
                              dweight.get(), dbias.get(), channels},
                             0, rows);
  kernels.norm_rows_backward({out.get(), x.get(), mean.get(), rstd.get(), weight.get(), nullptr,
                              dweight.get(), dbias.get(), channels},
                             0, rows);
  ExpectFinite(dx.get(), count, "norm_rows_backward");
  kernels.scale_rows({x.get(), scale.get(), tokens, out.get(), dweight.get(), channels}, 0, rows);
  kernels.scale_rows({x.get(), nullptr, tokens, out.get(), dweight.get(), channels}, 0, rows);
  kernels.add_rows({x.get(), out.get(), scale.get(), tokens, dx.get(), channels}, 0, rows);
  kernels.add_rows({x.get(), out.get(), nullptr, tokens, dx.get(), channels}, 0, rows);
  ExpectFinite(dx.get(), count, "add_rows");
  const auto wide = Numbers<T>(count), gradient = Numbers<T>(count);
  kernels.gelu({wide.get(), out.get(), nullptr, nullptr, channels}, 0, rows);
  kernels.gelu_backward({wide.get(), out.get(), gradient.get(), dbias.get(), channels}, 0, rows);
  kernels.gelu_backward({wide.get(), nullptr, gradient.get(), dbias.get(), channels}, 0, rows);
  ExpectFinite(gradient.get(), count, "gelu_backward");
}

template <typename T>
void Attention(const VectorKernels<T>& kernels, int64_t tokens, int64_t heads, int64_t width,
               int64_t in_map, bool is_masked) {
  constexpr int64_t maps = 2;
  const int64_t windows = maps * in_map, channels = heads * width, padded = Padded(tokens);
  // Every token of a map once, from the last to the first.
  std::unique_ptr<int64_t[]> token(new int64_t[static_cast<size_t>(in_map * tokens)]);
  for (int64_t i = 0; i < in_map * tokens; ++i) {
    token[static_cast<size_t>(i)] = in_map * tokens - 1 - i;
  }
  const auto qkv = Numbers<T>(windows * tokens * 3 * channels);
  const auto bias = Numbers<float>(heads * tokens * padded);
  for (int64_t i = 0; i < heads * tokens; ++i) {
    for (int64_t j = tokens; j < padded; ++j) {
      bias[static_cast<size_t>(i * padded + j)] = -std::numeric_limits<float>::infinity();
    }
  }
  const auto mask = Numbers<float>(in_map * tokens * padded);
  const auto out = Numbers<T>(windows * tokens * channels),
             gradient = Numbers<T>(windows * tokens * channels);
  const auto attention = Numbers<T>(windows * heads * tokens * tokens);
  const auto dqkv = Numbers<T>(windows * tokens * 3 * channels);
  const auto sums = Numbers<float>(3 * channels), dbias = Numbers<float>(heads * tokens * padded);
  const auto scratch = Numbers<float>(AttentionScratch(tokens, width));
  for (const bool keeps : {true, false}) {
    AttentionArgs<T> args{};
    args.qkv = qkv.get();
    args.bias = bias.get();
    args.token = token.get();
    args.windows = in_map;
    args.mask = is_masked ? mask.get() : nullptr;
    args.tokens = tokens;
    args.padded = padded;
    args.heads = heads;
    args.channels = channels;
    args.scale = 0.3F;
    args.out = out.get();
    args.attention = keeps ? attention.get() : nullptr;
    for (int64_t head = 0; head < heads; ++head)
      kernels.attention(args, head, 0, windows, scratch.get());
    ExpectFinite(out.get(), windows * tokens * channels, "attention");
    args.gradient = gradient.get();
    args.dqkv = dqkv.get();
    args.dqkv_sums = sums.get();
    args.dbias = dbias.get();
    args.out = keeps ? nullptr : out.get();
    for (int64_t head = 0; head < heads; ++head) {
      kernels.attention_backward(args, head, 0, windows, scratch.get());
    }
    ExpectFinite(dqkv.get(), windows * tokens * 3 * channels, "attention_backward");
  }
}

template <typename T>
void All(const VectorKernels<T>& kernels) {
  for (const int64_t channels : {1, 3, 4, 15, 16, 17, 31, 32, 33, 96, 100}) {
    for (const int64_t tokens : {1, 2, 49}) Rows(kernels, tokens, channels);
  }
  for (const int64_t tokens : {1, 4, 9, 16, 25, 49, 144}) {
    for (const int64_t width : {1, 5, 8, 16, 20, 32}) {
      Attention(kernels, tokens, 3, width, 1, false);
      for (const bool is_masked : {false, true}) Attention(kernels, tokens, 3, width, 2, is_masked);
    }
  }
}

// What is stored as bfloat16 is the nearest, ties to even, whole vectors and the rest of a row
// alike.
void Rounding() {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  // Halfway between two, the even one below or above; just beside; the largest, which become
  // infinite; what is no number.
  const std::vector<std::pair<uint32_t, uint16_t>> cases = {
      {0x3f800000, 0x3f80}, {0x3f808000, 0x3f80}, {0x3f818000, 0x3f82}, {0x3f808001, 0x3f81},
      {0x3f817fff, 0x3f81}, {0xbf808000, 0xbf80}, {0xbf818000, 0xbf82}, {0x00000000, 0x0000},
      {0x80000000, 0x8000}, {0x7f7fffff, 0x7f80}, {0xff7fffff, 0xff80}, {0x7f7f7fff, 0x7f7f},
      {0x7f800000, 0x7f80}, {0xff800000, 0xff80}, {0x00800000, 0x0080}, {0x42c88000, 0x42c8},
      {0x7fc00000, 0x7fc0}, {0x7f800001, 0x7fc0}};
  constexpr int64_t kChannels = 39;  // Two vectors of the widest, and a rest that fills none.
  for (size_t first = 0; first < cases.size(); ++first) {
    std::vector<float> x(kChannels), sums(kChannels);
    std::vector<uint16_t> out(kChannels);
    const auto at = [&](int64_t i) -> const auto& {
      return cases[(first + static_cast<size_t>(i)) % cases.size()];
    };
    for (int64_t i = 0; i < kChannels; ++i) __builtin_memcpy(&x[i], &at(i).first, sizeof(float));
    kAll.of_bfloat16.scale_rows({x.data(), nullptr, 1, out.data(), sums.data(), kChannels}, 0, 1);
    for (int64_t i = 0; i < kChannels; ++i) {
      const bool is_right = x[i] != x[i] ? std::isnan(FloatOf(out[i])) : out[i] == at(i).second;
      Expect(is_right, "a number is rounded to bfloat16");
    }
  }
  // And GELU at the ends of the line.
  std::vector<float> ends(16, kInfinity), result(16);
  kAll.of_float.gelu({ends.data(), result.data(), nullptr, nullptr, 16}, 0, 1);
  for (const float value : result) Expect(value == kInfinity, "GELU of infinity");
  const std::vector<float> far = {-50.0F, -20.0F, -14.0F, -6.0F, 0.0F,  6.0F, 14.0F, 50.0F,
                                  1e20F,  3e38F,  -3e38F, 1.0F,  -1.0F, 2.5F, -2.5F, 0.3F};
  kAll.of_float.gelu({far.data(), result.data(), nullptr, nullptr, 16}, 0, 1);
  for (size_t i = 0; i < far.size(); ++i) {
    const double x = far[i], exact = 0.5 * x * std::erfc(-x / std::sqrt(2.0));
    Expect(std::abs(result[i] - exact) <= 3e-7 * std::max(1.0, std::abs(x)), "GELU");
  }
}

}  // namespace
}  // namespace localformer

int main() {
  localformer::Rounding();
  localformer::All(localformer::kAll.of_float);
  localformer::All(localformer::kAll.of_bfloat16);
  std::puts("ok");
}
