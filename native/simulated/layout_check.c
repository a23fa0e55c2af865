// Compiled, never run, where the CUDA runtime's public header is: what layouts.h says must be what
// the header says.
#include <cuda_runtime_api.h>

#include "layouts.h"

#define SAME(ours, our_member, theirs, their_member)                           \
  _Static_assert(offsetof(ours, our_member) == offsetof(theirs, their_member), \
                 #their_member " stands elsewhere")
#define PROPERTY(our_member, their_member) \
  SAME(sim_device_properties, our_member, struct cudaDeviceProp, their_member)

PROPERTY(uuid, uuid);
PROPERTY(total_global_memory, totalGlobalMem);
PROPERTY(shared_memory_per_block, sharedMemPerBlock);
PROPERTY(registers_per_block, regsPerBlock);
PROPERTY(warp_size, warpSize);
PROPERTY(max_threads_per_block, maxThreadsPerBlock);
PROPERTY(max_threads_dim, maxThreadsDim);
PROPERTY(max_grid_size, maxGridSize);
PROPERTY(major, major);
PROPERTY(minor, minor);
PROPERTY(multi_processor_count, multiProcessorCount);
PROPERTY(can_map_host_memory, canMapHostMemory);
PROPERTY(surface_alignment, surfaceAlignment);
PROPERTY(concurrent_kernels, concurrentKernels);
PROPERTY(pci_bus_id, pciBusID);
PROPERTY(async_engine_count, asyncEngineCount);
PROPERTY(unified_addressing, unifiedAddressing);
PROPERTY(memory_bus_width, memoryBusWidth);
PROPERTY(l2_cache_size, l2CacheSize);
PROPERTY(max_threads_per_multi_processor, maxThreadsPerMultiProcessor);
PROPERTY(shared_memory_per_multiprocessor, sharedMemPerMultiprocessor);
PROPERTY(registers_per_multiprocessor, regsPerMultiprocessor);
PROPERTY(managed_memory, managedMemory);
PROPERTY(cooperative_launch, cooperativeLaunch);
PROPERTY(shared_memory_per_block_optin, sharedMemPerBlockOptin);
PROPERTY(max_blocks_per_multi_processor, maxBlocksPerMultiProcessor);
PROPERTY(reserved_shared_memory_per_block, reservedSharedMemPerBlock);
_Static_assert(sizeof(sim_device_properties) == sizeof(struct cudaDeviceProp), "cudaDeviceProp");

#define FUNCTION(our_member, their_member) \
  SAME(sim_function_attributes, our_member, struct cudaFuncAttributes, their_member)
FUNCTION(max_threads_per_block, maxThreadsPerBlock);
FUNCTION(registers, numRegs);
FUNCTION(ptx_version, ptxVersion);
FUNCTION(binary_version, binaryVersion);
FUNCTION(max_dynamic_shared_bytes, maxDynamicSharedSizeBytes);
_Static_assert(sizeof(sim_function_attributes) == sizeof(struct cudaFuncAttributes),
               "cudaFuncAttributes");

#define POINTER(our_member, their_member) \
  SAME(sim_pointer_attributes, our_member, struct cudaPointerAttributes, their_member)
POINTER(type, type);
POINTER(device, device);
POINTER(device_pointer, devicePointer);
POINTER(host_pointer, hostPointer);
_Static_assert(sizeof(sim_pointer_attributes) == sizeof(struct cudaPointerAttributes),
               "cudaPointerAttributes");

SAME(sim_launch_configuration, stream, cudaLaunchConfig_t, stream);
_Static_assert(cudaErrorMemoryAllocation == 2 && cudaErrorInvalidValue == 1 &&
                   cudaErrorNotSupported == 801 && cudaErrorNoKernelImageForDevice == 209 &&
                   cudaErrorInvalidDevice == 101 && cudaErrorLaunchFailure == 719,
               "error codes");
_Static_assert(cudaDevAttrMultiProcessorCount == 16 && cudaDevAttrComputeCapabilityMajor == 75 &&
                   cudaDevAttrComputeCapabilityMinor == 76 &&
                   cudaDevAttrMaxSharedMemoryPerBlockOptin == 97 &&
                   cudaDevAttrMaxSharedMemoryPerMultiprocessor == 81 &&
                   cudaDevAttrL2CacheSize == 38 && cudaDevAttrMaxThreadsPerMultiProcessor == 39 &&
                   cudaDevAttrWarpSize == 10 && cudaDevAttrMaxBlocksPerMultiprocessor == 106 &&
                   cudaDevAttrReservedSharedMemoryPerBlock == 111 &&
                   cudaDevAttrMaxRegistersPerBlock == 12 &&
                   cudaDevAttrMaxRegistersPerMultiprocessor == 82 &&
                   cudaDevAttrUnifiedAddressing == 41 &&
                   cudaDevAttrStreamPrioritiesSupported == 78 &&
                   cudaDevAttrCooperativeLaunch == 95 && cudaDevAttrMemoryPoolsSupported == 115,
               "device attributes");
