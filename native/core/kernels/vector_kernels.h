// Inner loops of the network on the CPU, compiled once for every instruction set (CMakeLists.txt)
// and chosen when the library is loaded. Plain pointers in and out: what belongs to a loop, and how
// it is spread over threads, stands in the files that call them.
#pragma once

#include <cstdint>

namespace localformer {

// Numbers of a product are float, or the upper halves of floats (bfloat16).
template <typename T>
struct NormRowsArgs {
  const float* x;  // [rows, channels]
  const float* weight;
  const float* bias;
  T* out;  // [rows, channels]
  float* mean;
  float* rstd;  // Both [rows]; written.
  int64_t channels;
};

template <typename T>
struct NormRowsBackwardArgs {
  const T* gradient;  // Of out.
  const float* x;
  const float* mean;
  const float* rstd;
  const float* weight;
  float* dx;       // Added to; none: not wanted.
  float* dweight;  // [channels], added to
  float* dbias;    // [channels], added to
  int64_t channels;
};

template <typename T>
struct ScaleRowsArgs {
  const float* x;
  const float* scale;  // By sample, or none.
  int64_t tokens;      // Of a sample.
  T* out;
  float* sums;  // [channels], added to
  int64_t channels;
};

template <typename T>
struct AddRowsArgs {
  const float* x;
  const T* branch;
  const float* scale;  // By sample, or none.
  int64_t tokens;      // Of a sample.
  float* out;
  int64_t channels;
};

// Attention of one head of one window after the other. Rows are the maps' tokens in their own
// order, of which those of a window are told by `token`.
template <typename T>
struct AttentionArgs {
  const T* qkv;          // [rows, 3 * channels]
  const int64_t* token;  // [windows, tokens]: of a map, the token at each place
  int64_t windows;       // Of a map.
  const float* bias;     // [heads, tokens, padded], padding -inf
  const float* mask;     // [windows, tokens, padded], padding 0, or none
  int64_t tokens;
  int64_t padded;  // tokens rounded up to kLanes
  int64_t heads;
  int64_t channels;
  float scale;
  T* out;        // [rows, channels]: written; backward none where it is not wanted
  T* attention;  // [all windows, heads, tokens, tokens]: written forward, read backward; or none
  // Backward.
  const T* gradient;  // Of out.
  T* dqkv;            // Written.
  float* dqkv_sums;   // [3 * channels], added to
  float* dbias;       // [heads, tokens, padded], added to
};

template <typename T>
struct GeluArgs {
  const T* x;   // [rows, channels]
  T* out;       // gelu(x); none: not wanted
  T* gradient;  // Backward: of gelu(x) in, of x out.
  float* sums;  // [channels]: of the gradients of x, added to
  int64_t channels;
};

// One instruction set's loops for one type of numbers. `begin` and `end` are rows.
template <typename T>
struct VectorKernels {
  void (*norm_rows)(const NormRowsArgs<T>&, int64_t begin, int64_t end);
  void (*norm_rows_backward)(const NormRowsBackwardArgs<T>&, int64_t begin, int64_t end);
  void (*scale_rows)(const ScaleRowsArgs<T>&, int64_t begin, int64_t end);
  void (*add_rows)(const AddRowsArgs<T>&, int64_t begin, int64_t end);
  // Windows [begin, end) of all maps, one head; `scratch` holds AttentionScratch floats.
  void (*attention)(const AttentionArgs<T>&, int64_t head, int64_t begin, int64_t end,
                    float* scratch);
  void (*attention_backward)(const AttentionArgs<T>&, int64_t head, int64_t begin, int64_t end,
                             float* scratch);
  void (*gelu)(const GeluArgs<T>&, int64_t begin, int64_t end);
  void (*gelu_backward)(const GeluArgs<T>&, int64_t begin, int64_t end);
};

struct AllVectorKernels {
  VectorKernels<float> of_float;
  VectorKernels<uint16_t> of_bfloat16;
};

// Rows of scratch and of padded tables are multiples of so many floats.
constexpr int64_t kLanes = 16;
constexpr int64_t Padded(int64_t count) { return (count + kLanes - 1) / kLanes * kLanes; }

// Floats that attention of windows of `tokens` with heads of `width` works in.
constexpr int64_t AttentionScratch(int64_t tokens, int64_t width) {
  return 2 * tokens * Padded(tokens) + 2 * width * Padded(tokens) + 5 * tokens * Padded(width);
}

namespace vector_plain {
extern const AllVectorKernels kKernels;
}
namespace vector_avx2 {
extern const AllVectorKernels kKernels;
}
namespace vector_avx512 {
extern const AllVectorKernels kKernels;
}
namespace vector_avx512_bf16 {
extern const AllVectorKernels kKernels;
}

}  // namespace localformer
