// What the simulated device counts, and how it is asked: plain C, shared with the addon, which
// finds the functions by name (native/core/train/device_calls.cc).
#pragma once
#include <stdint.h>

typedef struct {
  int64_t launches;          // Kernels.
  int64_t products;          // Matrix products of cuBLAS and cuBLASLt.
  int64_t tf32_products;     // Those that were allowed to round their inputs to TF32.
  int64_t collectives;       // Operations of NCCL: sums, and what ranks send and receive.
  int64_t cudnn_calls;       // Operations of cuDNN, whose workspaces are not known.
  int64_t synchronisations;  // The host waited for a stream, an event, the device, cudaMemcpy.
  int64_t pageable_copies, pinned_copies;  // Between host and device.
  int64_t bytes_to_device, bytes_to_host;  // Of both.
  int64_t device_copies, fills;            // Within the device.
  int64_t mallocs;                         // Memory taken from the device.
  int64_t unordered_uses;  // Memory used on another stream without an event between.
} sim_counts;

// localformer_simulated_counts, _kernels and _fail of the stand-in for the CUDA runtime.
typedef void (*sim_read_counts)(sim_counts* out);
typedef void (*sim_visit_kernels)(void (*visit)(void* data, const char* name, int64_t launches),
                                  void* data);
typedef void (*sim_fail_call)(const char* name, int64_t after, int status);
