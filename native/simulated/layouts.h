// Structures that the host reads from the CUDA runtime 13, laid out as its documentation lists
// their members. Only offsets matter: layout_check.c compares them with the public header where it
// is.
#pragma once
#include <stddef.h>

typedef struct {
  unsigned x, y, z;
} sim_dim3;

// cudaDeviceProp. Members that torch does not look at are only kept as room.
typedef struct {
  char name[256];
  char uuid[16], luid[8];
  unsigned luid_device_node_mask;
  size_t total_global_memory, shared_memory_per_block;
  int registers_per_block, warp_size;
  size_t memory_pitch;
  int max_threads_per_block, max_threads_dim[3], max_grid_size[3];
  size_t total_constant_memory;
  int major, minor;
  size_t texture_alignment, texture_pitch_alignment;
  int multi_processor_count, integrated, can_map_host_memory, textures[39];
  size_t surface_alignment;
  int concurrent_kernels, ecc_enabled, pci_bus_id, pci_device_id, pci_domain_id, tcc_driver;
  int async_engine_count, unified_addressing, memory_bus_width, l2_cache_size;
  int persisting_l2_cache_max_size, max_threads_per_multi_processor, stream_priorities_supported;
  int global_l1_cache_supported, local_l1_cache_supported;
  size_t shared_memory_per_multiprocessor;
  int registers_per_multiprocessor, managed_memory, is_multi_gpu_board, multi_gpu_board_group_id;
  int host_native_atomic_supported, pageable_memory_access, concurrent_managed_access;
  int compute_preemption_supported, can_use_host_pointer_for_registered_memory, cooperative_launch;
  size_t shared_memory_per_block_optin;
  int pageable_memory_access_uses_host_page_tables, direct_managed_memory_access_from_host;
  int max_blocks_per_multi_processor, access_policy_max_window_size;
  size_t reserved_shared_memory_per_block;
  int rest[76];
} sim_device_properties;

// cudaFuncAttributes.
typedef struct {
  size_t shared_bytes, constant_bytes, local_bytes;
  int max_threads_per_block, registers, ptx_version, binary_version, cache_mode;
  int max_dynamic_shared_bytes, rest[24];
} sim_function_attributes;

// cudaPointerAttributes.
typedef struct {
  int type;  // 0 unregistered, 1 host, 2 device.
  int device;
  void *device_pointer, *host_pointer;
  long reserved[8];
} sim_pointer_attributes;

// cudaLaunchConfig_t, as far as the stream.
typedef struct {
  sim_dim3 grid, block;
  size_t dynamic_shared_bytes;
  void* stream;
} sim_launch_configuration;
