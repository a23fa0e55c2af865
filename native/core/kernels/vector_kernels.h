// Inner loops of the network on the CPU, compiled once for every instruction set (CMakeLists.txt)
// and chosen when the library is loaded. Plain pointers in and out: what belongs to a loop, and how
// it is spread over threads, stands in the files that call them.
#pragma once

#include <cstdint>

namespace localformer {

// How the tokens of a map [batch, tokens] stand in memory: place p of a sample holds token
// order[p]; none: its own.
struct TokenOrder {
  const int32_t* order = nullptr;
  int64_t tokens = 1;
};

// Numbers of a product are float, or the upper halves of floats (bfloat16).
template <typename T>
struct NormRowsArgs {
  const float* x;  // [rows, channels]
  const float* weight;
  const float* bias;
  TokenOrder order;
  T* out;  // [rows, channels], by place
  float* mean;
  float* rstd;  // Both [rows], by row of x; written.
  int64_t channels;
};

template <typename T>
struct NormRowsBackwardArgs {
  const T* gradient;  // Of out, by place.
  const float* x;
  const float* mean;
  const float* rstd;
  const float* weight;
  TokenOrder order;
  float* dx;       // Added to; none: not wanted.
  float* dweight;  // [channels], added to
  float* dbias;    // [channels], added to
  int64_t channels;
};

template <typename T>
struct GatherRowsArgs {
  const float* x;
  TokenOrder order;
  const float* scale;  // By sample, or none.
  T* out;              // By place.
  float* sums;         // [channels], added to
  int64_t channels;
};

template <typename T>
struct AddRowsArgs {
  const float* x;
  const T* branch;  // By place.
  TokenOrder order;
  const float* scale;  // By sample, or none.
  float* out;
  int64_t channels;
};

// Attention of one head of one window after the other: rows of q, k and v are `3 * channels` apart.
template <typename T>
struct AttentionArgs {
  const T* qkv;       // [windows * tokens, 3 * channels]
  const float* bias;  // [heads, tokens, padded], padding -inf
  const float* mask;  // [masks, tokens, padded], padding 0, or none
  int64_t masks;      // Window w has mask w % masks.
  int64_t tokens;
  int64_t padded;  // tokens rounded up to kLanes
  int64_t heads;
  int64_t channels;
  float scale;
  T* out;        // [windows * tokens, channels]: written; backward none where it is not wanted
  T* attention;  // [windows, heads, tokens, tokens]: written forward, read backward; or none
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

// One instruction set's loops for one type of numbers. `begin` and `end` are places or rows.
template <typename T>
struct VectorKernels {
  void (*norm_rows)(const NormRowsArgs<T>&, int64_t begin, int64_t end);
  void (*norm_rows_backward)(const NormRowsBackwardArgs<T>&, int64_t begin, int64_t end);
  void (*gather_rows)(const GatherRowsArgs<T>&, int64_t begin, int64_t end);
  void (*add_rows)(const AddRowsArgs<T>&, int64_t begin, int64_t end);
  // Windows [begin, end) of one head; `scratch` holds AttentionScratch floats.
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

}  // namespace localformer
