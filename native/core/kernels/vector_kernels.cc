// See vector_kernels.h. Compiled once for every instruction set, in a namespace of its own: nothing
// from elsewhere may be inlined here that is also compiled without it, so no library is used but
// the processor's own instructions.
#include "kernels/vector_kernels.h"

#if defined(__AVX2__)
#include <immintrin.h>
#endif

namespace localformer::LOCALFORMER_VECTOR {
namespace {

#if defined(__AVX512F__)
constexpr int kWidth = 16;
#elif defined(__AVX2__)
constexpr int kWidth = 8;
#else
constexpr int kWidth = 4;
#endif
static_assert(kLanes % kWidth == 0);

// Vectors of the compiler: `a * b + c` is one instruction where there is one.
typedef float Floats __attribute__((vector_size(kWidth * 4)));
typedef int32_t Ints __attribute__((vector_size(kWidth * 4)));
typedef uint16_t Halves __attribute__((vector_size(kWidth * 2)));

template <typename To, typename From>
inline To Bits(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  __builtin_memcpy(&to, &from, sizeof to);
  return to;
}

inline Floats All(float value) { return value - Floats{}; }

inline Floats Load(const float* from) {
  Floats values;
  __builtin_memcpy(&values, from, sizeof values);
  return values;
}

// In one instruction, where the compiler takes halves of the vector.
inline Ints Widened(Halves halves) {
#if defined(__AVX512F__)
  return Bits<Ints>(_mm512_maskz_cvtepu16_epi32(0xffff, Bits<__m256i>(halves)));
#elif defined(__AVX2__)
  return Bits<Ints>(_mm256_cvtepu16_epi32(Bits<__m128i>(halves)));
#else
  return __builtin_convertvector(halves, Ints);
#endif
}

inline Floats Load(const uint16_t* from) {
  Halves halves;
  __builtin_memcpy(&halves, from, sizeof halves);
  return Bits<Floats>(Widened(halves) << 16);
}

inline void Store(float* to, Floats values) { __builtin_memcpy(to, &values, sizeof values); }

// To the nearest, ties to even; a NaN stays one. In one instruction, where there is one, which
// takes denormals for 0.
inline void Store(uint16_t* to, Floats values) {
#if defined(__AVX512BF16__)
  const __m256bh halves = _mm512_cvtneps_pbh(Bits<__m512>(values));
#else
  const Ints bits = Bits<Ints>(values);
  const Ints rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
#if defined(__AVX512F__)
  const __mmask16 is_nan =
      _mm512_cmp_ps_mask(Bits<__m512>(values), Bits<__m512>(values), _CMP_UNORD_Q);
  const __m256i halves = _mm512_maskz_cvtepi32_epi16(
      0xffff, _mm512_mask_mov_epi32(Bits<__m512i>(rounded), is_nan, _mm512_set1_epi32(0x7fc0)));
#else
  const Ints is_nan = values != values;
  const Halves halves = __builtin_convertvector((is_nan & 0x7fc0) | (~is_nan & rounded), Halves);
#endif
#endif
  __builtin_memcpy(to, &halves, sizeof halves);
}

inline float ToFloat(float value) { return value; }
inline float ToFloat(uint16_t half) { return Bits<float>(static_cast<uint32_t>(half) << 16); }

inline void Set(float* to, float value) { *to = value; }
inline void Set(uint16_t* to, float value) {
  if (value != value) {
    *to = 0x7fc0;
    return;
  }
  const auto bits = Bits<uint32_t>(value);
  *to = static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

// Of a NaN and a number the first or the second, whichever `b` is.
inline Floats Max(Floats a, Floats b) { return a > b ? a : b; }
inline Floats Min(Floats a, Floats b) { return a < b ? a : b; }

// All of a vector joined into one number, halves, quarters and so on onto each other.
template <int kApart = kWidth / 2, typename Join>
inline float Joined(Floats values, const Join& join) {
  Ints other = {};
  for (int i = 0; i < kWidth; ++i) other[i] = i ^ kApart;
  values = join(values, __builtin_shuffle(values, other));
  if constexpr (kApart == 1) {
    return values[0];
  } else {
    return Joined<kApart / 2>(values, join);
  }
}

inline float Sum(Floats values) {
  return Joined(values, [](Floats a, Floats b) { return a + b; });
}

inline float Largest(Floats values) { return Joined(values, &Max); }

// value * 2^power, `power` whole; 0 where x is so low that e^x is hardly a number.
inline Floats Scaled(Floats value, Floats power, Floats x) {
  const Floats low = All(-87.0F);
#if defined(__AVX512F__)
  const __mmask16 is_there = _mm512_cmp_ps_mask(Bits<__m512>(x), Bits<__m512>(low), _CMP_NLT_UQ);
  return Bits<Floats>(_mm512_maskz_scalef_ps(is_there, Bits<__m512>(value), Bits<__m512>(power)));
#else
  const Ints is_gone = x < low;
  const Ints exponent = __builtin_convertvector(is_gone ? Floats{} : power, Ints);
  const Floats scaled = value * Bits<Floats>((exponent + 127) << 23);
  return Bits<Floats>(Bits<Ints>(scaled) & ~is_gone);
#endif
}

// e^x to a unit or two in the last place; 0 far below 0, and where x is -inf; NaN where x is one. x
// may not be above 88.
inline Floats Exp(Floats x) {
  // Adding so large a number leaves no places behind the point: rounds to the nearest.
  constexpr float kRounds = 12582912.0F;
  const Floats n = (x * 1.44269504088896341F + kRounds) - kRounds;
  Floats r = x - n * 0.693359375F;
  r = r + n * 2.12194440e-4F;
  // Minimax over |r| <= ln(2) / 2, 1 at 0: at most 9.2e-8 of the value from it. Ours, by Remez.
  Floats p = All(8.2902720728e-3F);
  p = p * r + 4.18981596187e-2F;
  p = p * r + 1.66676381279e-1F;
  p = p * r + 4.99991478411e-1F;
  p = p * r + 9.99999706313e-1F;
  p = p * r + 1.0F;
  return Scaled(p, n, x);
}

// To a unit or two in the last place, of what is finite.
inline Floats Reciprocal(Floats x) {
#if defined(__AVX512F__)
  // 14 bits, and a step of Newton's: a third of a division's time.
  const Floats first = Bits<Floats>(_mm512_maskz_rcp14_ps(0xffff, Bits<__m512>(x)));
  return first + first * (1.0F - x * first);
#else
  return 1.0F / x;
#endif
}

// The normal distribution up to x and its density, from one exponential (Abramowitz and Stegun,
// 7.1.26: at most 1.5e-7 from erf).
struct Normal {
  Floats up_to;
  Floats density;
};
inline Normal NormalOf(Floats x) {
  const Floats e = Exp(x * x * -0.5F);
  // Nothing is left beyond 100.
  const Floats size = Min(Bits<Floats>(Bits<Ints>(x) & 0x7fffffff), All(100.0F));
  const Floats t = Reciprocal(1.0F + size * (0.3275911F * 0.70710678F));
  // Its coefficients halved: of the distribution, not of erf.
  Floats p = All(0.5F * 1.061405429F);
  p = p * t - 0.5F * 1.453152027F;
  p = p * t + 0.5F * 1.421413741F;
  p = p * t - 0.5F * 0.284496736F;
  p = p * t + 0.5F * 0.254829592F;
  const Floats tail = p * t * e;
  return {x < 0 ? tail : 1.0F - tail, e * 0.39894228F};
}

// --- rows ---------------------------------------------------------------------------------------

struct Moments {
  float mean;
  float rstd;
};

inline Moments MomentsOf(const float* x, int64_t count) {
  Floats sums = {};
  float sum = 0;
  int64_t i = 0;
  for (; i + kWidth <= count; i += kWidth) sums += Load(x + i);
  for (; i < count; ++i) sum += x[i];
  const float mean = (sum + Sum(sums)) / static_cast<float>(count);
  Floats squares = {};
  float square = 0;
  for (i = 0; i + kWidth <= count; i += kWidth) {
    const Floats d = Load(x + i) - mean;
    squares += d * d;
  }
  for (; i < count; ++i) square += (x[i] - mean) * (x[i] - mean);
  const float variance = (square + Sum(squares)) / static_cast<float>(count);
  return {mean, 1.0F / __builtin_sqrtf(variance + 1e-5F)};
}

template <typename T>
void NormRows(const NormRowsArgs<T>& args, int64_t begin, int64_t end) {
  for (int64_t row = begin; row < end; ++row) {
    const float* x = args.x + row * args.channels;
    T* out = args.out + row * args.channels;
    const Moments m = MomentsOf(x, args.channels);
    args.mean[row] = m.mean;
    args.rstd[row] = m.rstd;
    int64_t i = 0;
    for (; i + kWidth <= args.channels; i += kWidth) {
      Store(out + i, (Load(x + i) - m.mean) * m.rstd * Load(args.weight + i) + Load(args.bias + i));
    }
    for (; i < args.channels; ++i) {
      Set(out + i, (x[i] - m.mean) * m.rstd * args.weight[i] + args.bias[i]);
    }
  }
}

template <typename T>
void NormRowsBackward(const NormRowsBackwardArgs<T>& args, int64_t begin, int64_t end) {
  const int64_t channels = args.channels;
  const float share = 1.0F / static_cast<float>(channels);
  for (int64_t row = begin; row < end; ++row) {
    const T* gradient = args.gradient + row * channels;
    const float* x = args.x + row * channels;
    const float mean = args.mean[row], rstd = args.rstd[row];
    Floats sums = {}, dots = {};
    float sum = 0, dot = 0;
    int64_t i = 0;
    for (; i + kWidth <= channels; i += kWidth) {
      const Floats g = Load(gradient + i), normed = (Load(x + i) - mean) * rstd;
      const Floats weighted = g * Load(args.weight + i);
      Store(args.dweight + i, Load(args.dweight + i) + g * normed);
      Store(args.dbias + i, Load(args.dbias + i) + g);
      sums += weighted;
      dots += weighted * normed;
    }
    for (; i < channels; ++i) {
      const float g = ToFloat(gradient[i]), normed = (x[i] - mean) * rstd;
      args.dweight[i] += g * normed;
      args.dbias[i] += g;
      sum += g * args.weight[i];
      dot += g * args.weight[i] * normed;
    }
    if (args.dx == nullptr) continue;
    sum = (sum + Sum(sums)) * share;
    dot = (dot + Sum(dots)) * share;
    float* dx = args.dx + row * channels;
    for (i = 0; i + kWidth <= channels; i += kWidth) {
      const Floats normed = (Load(x + i) - mean) * rstd;
      const Floats own = (Load(gradient + i) * Load(args.weight + i) - sum - normed * dot) * rstd;
      Store(dx + i, Load(dx + i) + own);
    }
    for (; i < channels; ++i) {
      const float normed = (x[i] - mean) * rstd;
      dx[i] += (ToFloat(gradient[i]) * args.weight[i] - sum - normed * dot) * rstd;
    }
  }
}

template <typename T>
void ScaleRows(const ScaleRowsArgs<T>& args, int64_t begin, int64_t end) {
  for (int64_t row = begin; row < end; ++row) {
    const float* x = args.x + row * args.channels;
    T* out = args.out + row * args.channels;
    const float scale = args.scale == nullptr ? 1.0F : args.scale[row / args.tokens];
    int64_t i = 0;
    for (; i + kWidth <= args.channels; i += kWidth) {
      const Floats value = Load(x + i) * scale;
      Store(out + i, value);
      Store(args.sums + i, Load(args.sums + i) + value);
    }
    for (; i < args.channels; ++i) {
      Set(out + i, x[i] * scale);
      args.sums[i] += x[i] * scale;
    }
  }
}

template <typename T>
void AddRows(const AddRowsArgs<T>& args, int64_t begin, int64_t end) {
  for (int64_t row = begin; row < end; ++row) {
    const float* x = args.x + row * args.channels;
    const T* branch = args.branch + row * args.channels;
    float* out = args.out + row * args.channels;
    const float scale = args.scale == nullptr ? 1.0F : args.scale[row / args.tokens];
    int64_t i = 0;
    for (; i + kWidth <= args.channels; i += kWidth) {
      Store(out + i, Load(x + i) + Load(branch + i) * scale);
    }
    for (; i < args.channels; ++i) out[i] = x[i] + ToFloat(branch[i]) * scale;
  }
}

// --- products of a window ------------------------------------------------------------------------

// A matrix of floats whose entry (i, k) is data[i * row + k * column].
struct Matrix {
  const float* data;
  int64_t row;
  int64_t column;
};

// Rows [0, kRows) and kVectors vectors of columns of a b.
template <int kRows, int kVectors>
inline void Tile(Matrix a, const float* b, int64_t b_row, int64_t depth, float* c, int64_t c_row) {
  Floats sums[kRows][kVectors] = {};
  for (int64_t k = 0; k < depth; ++k) {
    Floats right[kVectors];
    for (int v = 0; v < kVectors; ++v) right[v] = Load(b + k * b_row + v * kWidth);
    for (int i = 0; i < kRows; ++i) {
      const float left = a.data[i * a.row + k * a.column];
      for (int v = 0; v < kVectors; ++v) sums[i][v] += right[v] * left;
    }
  }
  for (int i = 0; i < kRows; ++i) {
    for (int v = 0; v < kVectors; ++v) Store(c + i * c_row + v * kWidth, sums[i][v]);
  }
}

template <int kVectors>
inline void Columns(Matrix a, const float* b, int64_t b_row, int64_t depth, float* c, int64_t c_row,
                    int64_t rows) {
  // As many sums as stay in registers.
  constexpr int kSums = kWidth == 16 ? 24 : kWidth == 8 ? 12 : 8;
  constexpr int kRows = kSums / kVectors;
  int64_t i = 0;
  for (; i + kRows <= rows; i += kRows) {
    Tile<kRows, kVectors>({a.data + i * a.row, a.row, a.column}, b, b_row, depth, c + i * c_row,
                          c_row);
  }
  for (; i < rows; ++i) {
    Tile<1, kVectors>({a.data + i * a.row, a.row, a.column}, b, b_row, depth, c + i * c_row, c_row);
  }
}

// c = a b. a: [rows, depth], b: [depth, columns], rows of b and c so many floats apart; columns is
// a multiple of kWidth.
inline void Multiply(Matrix a, const float* b, int64_t b_row, int64_t depth, float* c,
                     int64_t c_row, int64_t rows, int64_t columns) {
  constexpr int kMost = kWidth == 16 ? 4 : 2;
  int64_t j = 0;
  for (; j + kMost * kWidth <= columns; j += kMost * kWidth) {
    Columns<kMost>(a, b + j, b_row, depth, c + j, c_row, rows);
  }
  for (; j + 2 * kWidth <= columns; j += 2 * kWidth) {
    Columns<2>(a, b + j, b_row, depth, c + j, c_row, rows);
  }
  for (; j < columns; j += kWidth) Columns<1>(a, b + j, b_row, depth, c + j, c_row, rows);
}

// --- attention -----------------------------------------------------------------------------------

// Rows of a matrix: the i-th begins at data + index[i] * row; without an index at data + i * row.
template <typename T>
struct RowsAt {
  T* data;
  int64_t row;
  const int64_t* index = nullptr;
  T* operator[](int64_t i) const { return data + (index == nullptr ? i : index[i]) * row; }
};

// to[i][0..width) = from row i, times `scale`; the rest of a row is 0.
template <typename T>
inline void Widen(RowsAt<const T> from, int64_t rows, int64_t width, float scale, float* to) {
  const int64_t padded = Padded(width);
  for (int64_t i = 0; i < rows; ++i, to += padded) {
    const T* row = from[i];
    int64_t c = 0;
    for (; c + kWidth <= width; c += kWidth) Store(to + c, Load(row + c) * scale);
    for (; c < width; ++c) to[c] = ToFloat(row[c]) * scale;
    for (; c < padded; ++c) to[c] = 0.0F;
  }
}

// A square of vectors: entry (i, j) goes where (j, i) was, by blocks whose sides are halved each
// time.
template <int kApart = kWidth / 2>
inline void Transpose(Floats (&square)[kWidth]) {
  Ints first = {}, second = {};
  for (int lane = 0; lane < kWidth; ++lane) {
    const bool is_low = (lane & kApart) == 0;
    first[lane] = is_low ? lane : kWidth + lane - kApart;
    second[lane] = is_low ? lane + kApart : kWidth + lane;
  }
  for (int i = 0; i < kWidth; ++i) {
    if ((i & kApart) != 0) continue;
    const Floats a = square[i], b = square[i + kApart];
    square[i] = __builtin_shuffle(a, b, first);
    square[i + kApart] = __builtin_shuffle(a, b, second);
  }
  if constexpr (kApart > 1) Transpose<kApart / 2>(square);
}

// [rows, width], rows `Padded(width)` apart -> [width, Padded(rows)], filled up with 0.
inline void Transpose(const float* from, int64_t rows, int64_t width, float* to) {
  const int64_t from_row = Padded(width), to_row = Padded(rows);
  for (int64_t i = 0; i < to_row; i += kWidth) {
    for (int64_t c = 0; c < width; c += kWidth) {
      Floats square[kWidth];
      for (int64_t k = 0; k < kWidth; ++k) {
        square[k] = i + k < rows ? Load(from + (i + k) * from_row + c) : Floats{};
      }
      Transpose(square);
      const int64_t columns = width - c < kWidth ? width - c : kWidth;
      for (int64_t k = 0; k < columns; ++k) Store(to + (c + k) * to_row + i, square[k]);
    }
  }
}

template <typename T>
inline void Narrow(const float* from, int64_t from_row, int64_t rows, int64_t width, RowsAt<T> to) {
  for (int64_t i = 0; i < rows; ++i, from += from_row) {
    T* row = to[i];
    int64_t c = 0;
    for (; c + kWidth <= width; c += kWidth) Store(row + c, Load(from + c));
    for (; c < width; ++c) Set(row + c, from[c]);
  }
}

// So many columns as whole vectors of this instruction set need for one of each token: of a row of
// `padded` logits those beyond are never looked at.
inline int64_t TokenColumns(int64_t tokens) { return (tokens + kWidth - 1) / kWidth * kWidth; }

// logits -> their softmax over the tokens, in place; the columns beyond them become 0.
template <typename T>
inline void Softmax(const AttentionArgs<T>& args, int64_t head, int64_t window, float* logits) {
  const int64_t padded = args.padded, columns = TokenColumns(args.tokens);
  const float* bias = args.bias + head * args.tokens * padded;
  const float* mask =
      args.mask == nullptr ? nullptr : args.mask + window % args.windows * args.tokens * padded;
  for (int64_t i = 0; i < args.tokens; ++i) {
    float* row = logits + i * padded;
    Floats most = All(-__builtin_inff());
    for (int64_t j = 0; j < columns; j += kWidth) {
      Floats value = Load(row + j) + Load(bias + i * padded + j);
      if (mask != nullptr) value += Load(mask + i * padded + j);
      Store(row + j, value);
      most = Max(most, value);
    }
    const float largest = Largest(most);
    Floats sums = {};
    for (int64_t j = 0; j < columns; j += kWidth) {
      const Floats value = Exp(Load(row + j) - largest);
      Store(row + j, value);
      sums += value;
    }
    const float factor = 1.0F / Sum(sums);
    for (int64_t j = 0; j < columns; j += kWidth) Store(row + j, Load(row + j) * factor);
  }
}

// One head's scratch, piece by piece.
struct Scratch {
  float* next;
  float* Take(int64_t count) {
    float* piece = next;
    next += count;
    return piece;
  }
};

// One head's columns in the tokens of a window, of a matrix [rows, columns] whose first column for
// that head is `column`.
template <typename T, typename Args>
inline RowsAt<T> OfWindow(const Args& args, int64_t window, T* data, int64_t columns,
                          int64_t column) {
  const int64_t map = window / args.windows * args.windows * args.tokens;
  return {data + map * columns + column, columns, args.token + window % args.windows * args.tokens};
}

// q, scaled, k and v of one head in a window, rows `Padded` to whole vectors.
template <typename T>
inline void ReadHead(const AttentionArgs<T>& args, int64_t head, int64_t window, float* q, float* k,
                     float* v) {
  const int64_t channels = args.channels, width = channels / args.heads;
  const auto read = [&](int64_t part, float scale, float* to) {
    Widen(OfWindow(args, window, args.qkv, 3 * channels, part * channels + head * width),
          args.tokens, width, scale, to);
  };
  read(0, args.scale, q);
  read(1, 1.0F, k);
  read(2, 1.0F, v);
}

template <typename T>
void Attention(const AttentionArgs<T>& args, int64_t head, int64_t begin, int64_t end,
               float* floats) {
  const int64_t n = args.tokens, width = args.channels / args.heads, padded = args.padded;
  const int64_t wide = Padded(width), channels = args.channels;
  Scratch scratch{floats};
  float* logits = scratch.Take(n * padded);
  float* keys = scratch.Take(width * padded);
  float *q = scratch.Take(n * wide), *k = scratch.Take(n * wide), *v = scratch.Take(n * wide);
  for (int64_t window = begin; window < end; ++window) {
    ReadHead(args, head, window, q, k, v);
    Transpose(k, n, width, keys);
    Multiply({q, wide, 1}, keys, padded, width, logits, padded, n, TokenColumns(n));
    Softmax(args, head, window, logits);
    if (args.attention != nullptr) {
      Narrow(logits, padded, n, n,
             RowsAt<T>{args.attention + (window * args.heads + head) * n * n, n});
    }
    float* out = q;
    Multiply({logits, padded, 1}, v, wide, n, out, wide, n, wide);
    Narrow(out, wide, n, width, OfWindow(args, window, args.out, channels, head * width));
  }
}

inline void AddSums(const float* from, int64_t rows, int64_t width, float* sums) {
  const int64_t row = Padded(width);
  for (int64_t c = 0; c < width; c += kWidth) {
    Floats sum = {};
    for (int64_t i = 0; i < rows; ++i) sum += Load(from + i * row + c);
    for (int64_t k = 0; k < kWidth && c + k < width; ++k) sums[c + k] += sum[k];
  }
}

template <typename T>
void AttentionBackward(const AttentionArgs<T>& args, int64_t head, int64_t begin, int64_t end,
                       float* floats) {
  const int64_t n = args.tokens, width = args.channels / args.heads, padded = args.padded;
  const int64_t wide = Padded(width), columns = TokenColumns(n), channels = args.channels;
  Scratch scratch{floats};
  float *weights = scratch.Take(n * padded), *dlogits = scratch.Take(n * padded);
  float *keys = scratch.Take(width * padded), *values = scratch.Take(width * padded);
  float *q = scratch.Take(n * wide), *k = scratch.Take(n * wide), *v = scratch.Take(n * wide);
  float *dout = scratch.Take(n * wide), *result = scratch.Take(n * wide);
  float* dbias = args.dbias + head * n * padded;
  for (int64_t window = begin; window < end; ++window) {
    ReadHead(args, head, window, q, k, v);
    Widen(OfWindow(args, window, args.gradient, channels, head * width), n, width, 1.0F, dout);
    if (args.attention != nullptr) {
      Widen(RowsAt<const T>{args.attention + (window * args.heads + head) * n * n, n}, n, n, 1.0F,
            weights);
    } else {
      Transpose(k, n, width, keys);
      Multiply({q, wide, 1}, keys, padded, width, weights, padded, n, columns);
      Softmax(args, head, window, weights);
    }
    if (args.out != nullptr) {
      Multiply({weights, padded, 1}, v, wide, n, result, wide, n, wide);
      Narrow(result, wide, n, width, OfWindow(args, window, args.out, channels, head * width));
    }
    const auto give = [&](int64_t part) {
      const int64_t column = part * channels + head * width;
      Narrow(result, wide, n, width, OfWindow(args, window, args.dqkv, 3 * channels, column));
      AddSums(result, n, width, args.dqkv_sums + column);
    };
    Multiply({weights, 1, padded}, dout, wide, n, result, wide, n, wide);
    give(2);
    Transpose(v, n, width, values);
    Multiply({dout, wide, 1}, values, padded, width, dlogits, padded, n, columns);
    for (int64_t i = 0; i < n; ++i) {
      const float* weight = weights + i * padded;
      float* row = dlogits + i * padded;
      Floats dots = {};
      for (int64_t j = 0; j < columns; j += kWidth) dots += Load(weight + j) * Load(row + j);
      const float dot = Sum(dots);
      for (int64_t j = 0; j < columns; j += kWidth) {
        const Floats value = Load(weight + j) * (Load(row + j) - dot);
        Store(row + j, value);
        Store(dbias + i * padded + j, Load(dbias + i * padded + j) + value);
      }
    }
    Multiply({dlogits, 1, padded}, q, wide, n, result, wide, n, wide);
    give(1);
    Multiply({dlogits, padded, 1}, k, wide, n, result, wide, n, wide);
    for (int64_t i = 0; i < n * wide; i += kWidth) Store(result + i, Load(result + i) * args.scale);
    give(0);
  }
}

// --- GELU ----------------------------------------------------------------------------------------

// Exact GELU, x times the normal distribution up to x (Hendrycks and Gimpel, arXiv 1606.08415).
template <typename T>
void Gelu(const GeluArgs<T>& args, int64_t begin, int64_t end) {
  const int64_t last = end * args.channels;
  int64_t i = begin * args.channels;
  for (; i + kWidth <= last; i += kWidth) {
    const Floats x = Load(args.x + i);
    Store(args.out + i, x * NormalOf(x).up_to);
  }
  for (; i < last; ++i) {
    const float x = ToFloat(args.x[i]);
    Set(args.out + i, x * NormalOf(All(x)).up_to[0]);
  }
}

template <typename T>
void GeluBackward(const GeluArgs<T>& args, int64_t begin, int64_t end) {
  for (int64_t row = begin; row < end; ++row) {
    const int64_t at = row * args.channels;
    int64_t i = 0;
    for (; i + kWidth <= args.channels; i += kWidth) {
      const Floats x = Load(args.x + at + i);
      const Normal normal = NormalOf(x);
      if (args.out != nullptr) Store(args.out + at + i, x * normal.up_to);
      const Floats dx = Load(args.gradient + at + i) * (normal.up_to + x * normal.density);
      Store(args.gradient + at + i, dx);
      Store(args.sums + i, Load(args.sums + i) + dx);
    }
    for (; i < args.channels; ++i) {
      const float x = ToFloat(args.x[at + i]);
      const Normal normal = NormalOf(All(x));
      if (args.out != nullptr) Set(args.out + at + i, x * normal.up_to[0]);
      const float dx = ToFloat(args.gradient[at + i]) * (normal.up_to[0] + x * normal.density[0]);
      Set(args.gradient + at + i, dx);
      args.sums[i] += dx;
    }
  }
}

template <typename T>
constexpr VectorKernels<T> KernelsOf() {
  return {&NormRows<T>,  &NormRowsBackward<T>,  &ScaleRows<T>, &AddRows<T>,
          &Attention<T>, &AttentionBackward<T>, &Gelu<T>,      &GeluBackward<T>};
}

}  // namespace

const AllVectorKernels kKernels = {KernelsOf<float>(), KernelsOf<uint16_t>()};

}  // namespace localformer::LOCALFORMER_VECTOR
