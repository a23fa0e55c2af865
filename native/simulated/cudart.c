// Stands for the CUDA runtime, libcudart.so.13.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "layouts.h"
#include "simulated.h"

enum { INVALID_DEVICE = 101, NO_KERNEL_IMAGE = 209, NOT_READY = 600 };
enum { LAUNCH_FAILURE = 719, NOT_SUPPORTED = 801 };
enum { CUDA_VERSION = 13000 };

static _Thread_local sim_status last_error;

static sim_status failed(sim_status status) {
  if (status != SIM_OK) last_error = status;
  return status;
}

// --- the device ----------------------------------------------------------------------------------
EXPORT sim_status cudaGetDeviceCount(int* count) {
  *count = 1;
  return SIM_OK;
}
EXPORT sim_status cudaGetDevice(int* index) {
  *index = 0;
  return SIM_OK;
}
EXPORT sim_status cudaSetDevice(int index) { return failed(index == 0 ? SIM_OK : INVALID_DEVICE); }
EXPORT sim_status cudaDriverGetVersion(int* version) {
  *version = CUDA_VERSION;
  return SIM_OK;
}
EXPORT sim_status cudaRuntimeGetVersion(int* version) {
  *version = CUDA_VERSION;
  return SIM_OK;
}
EXPORT sim_status cudaDeviceCanAccessPeer(int* can, int device, int peer) {
  (void)device, (void)peer;
  *can = 0;
  return SIM_OK;
}
EXPORT sim_status cudaDeviceGetPCIBusId(char* text, int room, int device) {
  (void)device;
  snprintf(text, (size_t)room, "0000:01:00.0");
  return SIM_OK;
}
EXPORT sim_status cudaDeviceGetStreamPriorityRange(int* least, int* greatest) {
  if (least != NULL) *least = 0;
  if (greatest != NULL) *greatest = -5;
  return SIM_OK;
}

static int blocks_per_multiprocessor(const sim_card* card) {
  switch (10 * card->major + card->minor) {
    case 80:
    case 90:
    case 100:
      return 32;
    case 89:
    case 120:
      return 24;
    default:
      return 16;
  }
}

EXPORT sim_status cudaGetDeviceProperties(sim_device_properties* out, int index) {
  if (index != 0) return failed(INVALID_DEVICE);
  const sim_card* card = sim_current();
  *out = (sim_device_properties){
      .total_global_memory = card->total_bytes,
      .shared_memory_per_block = 49152,
      .registers_per_block = 65536,
      .warp_size = 32,
      .memory_pitch = 2147483647,
      .max_threads_per_block = 1024,
      .max_threads_dim = {1024, 1024, 64},
      .max_grid_size = {2147483647, 65535, 65535},
      .total_constant_memory = 65536,
      .major = card->major,
      .minor = card->minor,
      .texture_alignment = 512,
      .texture_pitch_alignment = 32,
      .multi_processor_count = card->multiprocessors,
      .can_map_host_memory = 1,
      .surface_alignment = 512,
      .concurrent_kernels = 1,
      .pci_bus_id = 1,
      .async_engine_count = 2,
      .unified_addressing = 1,
      .memory_bus_width = 384,
      .l2_cache_size = (int)card->l2_bytes,
      .max_threads_per_multi_processor = card->threads_per_multiprocessor,
      .stream_priorities_supported = 1,
      .global_l1_cache_supported = 1,
      .local_l1_cache_supported = 1,
      .shared_memory_per_multiprocessor = card->shared_bytes_per_multiprocessor,
      .registers_per_multiprocessor = 65536,
      .managed_memory = 1,
      .compute_preemption_supported = 1,
      .cooperative_launch = 1,
      .shared_memory_per_block_optin = card->shared_bytes_per_block_optin,
      .max_blocks_per_multi_processor = blocks_per_multiprocessor(card),
      .reserved_shared_memory_per_block = 1024,
  };
  snprintf(out->name, sizeof out->name, "%s", card->name);
  memset(out->uuid, 0x51, sizeof out->uuid);
  return SIM_OK;
}

// Numbers as layout_check.c compares them. What torch asks beyond them is 0, "no".
EXPORT sim_status cudaDeviceGetAttribute(int* value, int attribute, int device) {
  (void)device;
  const sim_card* card = sim_current();
  const struct {
    int attribute, value;
  } known[] = {
      {1, 1024},  // Threads in a block, its x, y and z.
      {2, 1024},
      {3, 1024},
      {4, 64},
      {5, 2147483647},  // Blocks in a grid: its x, y and z.
      {6, 65535},
      {7, 65535},
      {8, 49152},   // Shared memory of a block.
      {9, 65536},   // Constant memory.
      {10, 32},     // Threads of a warp.
      {12, 65536},  // Registers of a block, and below of a multiprocessor.
      {82, 65536},
      {16, card->multiprocessors},
      {38, (int)card->l2_bytes},
      {39, card->threads_per_multiprocessor},
      {41, 1},  // Unified addresses, priorities of streams, launches that cooperate.
      {78, 1},
      {95, 1},
      {75, card->major},
      {76, card->minor},
      {81, (int)card->shared_bytes_per_multiprocessor},
      {97, (int)card->shared_bytes_per_block_optin},
      {106, blocks_per_multiprocessor(card)},
      {111, 1024},  // Shared memory that the system keeps for itself.
  };
  *value = 0;
  for (size_t i = 0; i < sizeof known / sizeof *known; ++i) {
    if (known[i].attribute == attribute) *value = known[i].value;
  }
  return SIM_OK;
}

// --- memory --------------------------------------------------------------------------------------
EXPORT sim_status cudaMalloc(void** out, size_t bytes) {
  const sim_status asked = sim_enter("cudaMalloc");
  return failed(asked ? asked : sim_allocate(out, bytes));
}
EXPORT sim_status cudaFree(void* pointer) {
  // It waits for the device.
  sim_host_waits_for_device();
  return failed(sim_release(pointer));
}
EXPORT sim_status cudaMemGetInfo(size_t* free_bytes, size_t* total_bytes) {
  sim_memory(free_bytes, total_bytes);
  return SIM_OK;
}
EXPORT sim_status cudaHostAlloc(void** out, size_t bytes, unsigned flags) {
  (void)flags;
  const sim_status asked = sim_enter("cudaHostAlloc");
  if (asked) return failed(asked);
  const size_t room = bytes ? bytes : 1;
  if (posix_memalign(out, 4096, room)) return failed(SIM_NO_MEMORY);
  const sim_status status = sim_pin(*out, room);
  if (status != SIM_OK) free(*out);
  return failed(status);
}
EXPORT sim_status cudaFreeHost(void* pointer) {
  sim_unpin(pointer);
  free(pointer);
  return SIM_OK;
}
EXPORT sim_status cudaHostRegister(void* pointer, size_t bytes, unsigned flags) {
  (void)flags;
  return failed(sim_pin(pointer, bytes));
}
EXPORT sim_status cudaHostUnregister(void* pointer) { return failed(sim_unpin(pointer)); }

EXPORT sim_status cudaPointerGetAttributes(sim_pointer_attributes* out, const void* pointer) {
  *out = (sim_pointer_attributes){.device = -2};
  if (sim_is_device(pointer)) {
    *out = (sim_pointer_attributes){2, 0, (void*)pointer, NULL, {0}};
  } else if (sim_is_pinned(pointer)) {
    *out = (sim_pointer_attributes){1, 0, (void*)pointer, (void*)pointer, {0}};
  }
  return SIM_OK;
}

// What comes back from the device is zeros; what stays on the host is copied.
static void move(void* to, const void* from, size_t bytes) {
  if (sim_is_device(to)) return;
  if (sim_is_device(from)) {
    memset(to, 0, bytes);
  } else {
    memmove(to, from, bytes);
  }
}

// Of a copy between host and device.
static void count_copy(const void* host, bool is_to_device, size_t bytes) {
  if (sim_is_pinned(host)) {
    SIM_COUNT(pinned_copies, 1);
  } else {
    SIM_COUNT(pageable_copies, 1);
  }
  if (is_to_device) {
    SIM_COUNT(bytes_to_device, (int64_t)bytes);
  } else {
    SIM_COUNT(bytes_to_host, (int64_t)bytes);
  }
}

// One copy of `height` rows of `width` bytes, `to_pitch` and `from_pitch` bytes apart.
static sim_status copy_rows(char* to, size_t to_pitch, const char* from, size_t from_pitch,
                            size_t width, size_t height, void* stream) {
  if (width == 0 || height == 0) return SIM_OK;
  const bool is_to_device = sim_is_device(to), is_from_device = sim_is_device(from);
  if (is_to_device && is_from_device) {
    SIM_COUNT(device_copies, 1);
  } else if (is_to_device || is_from_device) {
    count_copy(is_to_device ? from : to, is_to_device, width * height);
  }
  for (size_t row = 0; row < height; ++row) {
    move(to + row * to_pitch, from + row * from_pitch, width);
  }
  // What lies between the rows is taken for a part of them.
  const size_t to_bytes = (height - 1) * to_pitch + width;
  const size_t from_bytes = (height - 1) * from_pitch + width;
  const bool is_good = sim_copy_in_order(to, to_bytes, from, from_bytes, stream);
  // A copy to memory that is not pinned has ended when the call does.
  if (!is_to_device && is_from_device && !sim_is_pinned(to)) sim_host_waits_for_stream(stream);
  return failed(is_good ? SIM_OK : LAUNCH_FAILURE);
}

static sim_status copy(void* to, const void* from, size_t bytes, void* stream) {
  return copy_rows(to, bytes, from, bytes, bytes, 1, stream);
}

EXPORT sim_status cudaMemcpy(void* to, const void* from, size_t bytes, int kind) {
  (void)kind;
  SIM_COUNT(synchronisations, 1);
  const sim_status status = copy(to, from, bytes, NULL);
  sim_host_waits_for_stream(NULL);
  return status;
}
EXPORT sim_status cudaMemcpyAsync(void* to, const void* from, size_t bytes, int kind,
                                  void* stream) {
  (void)kind;
  const sim_status asked = sim_enter("cudaMemcpyAsync");
  return failed(asked ? asked : copy(to, from, bytes, stream));
}
EXPORT sim_status cudaMemcpy2DAsync(char* to, size_t to_pitch, const char* from, size_t from_pitch,
                                    size_t width, size_t height, int kind, void* stream) {
  (void)kind;
  return copy_rows(to, to_pitch, from, from_pitch, width, height, stream);
}
EXPORT sim_status cudaMemcpyPeerAsync(void* to, int to_device, const void* from, int from_device,
                                      size_t bytes, void* stream) {
  (void)to_device, (void)from_device;
  return copy(to, from, bytes, stream);
}
EXPORT sim_status cudaMemcpyToSymbol(const void* symbol, const void* from, size_t bytes,
                                     size_t offset, int kind) {
  (void)symbol, (void)from, (void)offset, (void)kind;
  SIM_COUNT(synchronisations, 1);
  SIM_COUNT(pageable_copies, 1);
  SIM_COUNT(bytes_to_device, (int64_t)bytes);
  return SIM_OK;
}
EXPORT sim_status cudaGetSymbolAddress(void** out, const void* symbol) {
  (void)symbol;
  *out = sim_reserve(1);  // Variables of kernels are a part of the context.
  return failed(*out != NULL ? SIM_OK : SIM_NO_MEMORY);
}

static sim_status fill(void* to, size_t bytes, void* stream) {
  if (bytes == 0) return SIM_OK;
  SIM_COUNT(fills, 1);
  return failed(sim_copy_in_order(to, bytes, NULL, 0, stream) ? SIM_OK : LAUNCH_FAILURE);
}
EXPORT sim_status cudaMemset(void* to, int value, size_t bytes) {
  (void)value;
  return fill(to, bytes, NULL);
}
EXPORT sim_status cudaMemsetAsync(void* to, int value, size_t bytes, void* stream) {
  (void)value;
  return fill(to, bytes, stream);
}

// --- streams and events --------------------------------------------------------------------------
static sim_status make_stream(void** out, const char* name) {
  const sim_status asked = sim_enter(name);
  *out = asked ? NULL : sim_stream_create();
  return failed(asked ? asked : *out != NULL ? SIM_OK : SIM_NO_MEMORY);
}
EXPORT sim_status cudaStreamCreate(void** out) { return make_stream(out, "cudaStreamCreate"); }
EXPORT sim_status cudaStreamCreateWithPriority(void** out, unsigned flags, int priority) {
  (void)flags, (void)priority;
  return make_stream(out, "cudaStreamCreateWithPriority");
}
EXPORT sim_status cudaStreamDestroy(void* stream) {
  sim_stream_destroy(stream);
  return SIM_OK;
}
EXPORT sim_status cudaStreamGetPriority(void* stream, int* priority) {
  (void)stream;
  *priority = 0;
  return SIM_OK;
}
EXPORT sim_status cudaStreamIsCapturing(void* stream, int* status) {
  (void)stream;
  *status = 0;
  return SIM_OK;
}
// Of its outputs those behind `id` are only set while a graph is captured.
EXPORT sim_status cudaStreamGetCaptureInfo(void* stream, int* status, unsigned long long* id) {
  (void)stream;
  *status = 0;
  if (id != NULL) *id = 0;
  return SIM_OK;
}
EXPORT sim_status cudaThreadExchangeStreamCaptureMode(int* mode) {
  static _Thread_local int current;
  const int before = current;
  current = *mode;
  *mode = before;
  return SIM_OK;
}
EXPORT sim_status cudaStreamQuery(void* stream) {
  if (sim_is_stalled()) return NOT_READY;
  sim_host_waits_for_stream(stream);
  return SIM_OK;
}
EXPORT sim_status cudaStreamSynchronize(void* stream) {
  SIM_COUNT(synchronisations, 1);
  sim_host_waits_for_stream(stream);
  return failed(sim_enter("cudaStreamSynchronize"));
}
EXPORT sim_status cudaDeviceSynchronize(void) {
  SIM_COUNT(synchronisations, 1);
  sim_host_waits_for_device();
  return failed(sim_enter("cudaDeviceSynchronize"));
}
EXPORT sim_status cudaStreamWaitEvent(void* stream, void* event, unsigned flags) {
  (void)flags;
  sim_wait(stream, event);
  return SIM_OK;
}
EXPORT sim_status cudaStreamAddCallback(void* stream, void (*call)(void*, int, void*), void* data,
                                        unsigned flags) {
  (void)flags;
  sim_worked(stream);
  call(stream, SIM_OK, data);
  return SIM_OK;
}
EXPORT sim_status cudaLaunchHostFunc(void* stream, void (*call)(void*), void* data) {
  sim_worked(stream);
  call(data);
  return SIM_OK;
}

static sim_status make_event(void** out, const char* name) {
  const sim_status asked = sim_enter(name);
  *out = asked ? NULL : sim_event_create();
  return failed(asked ? asked : *out != NULL ? SIM_OK : SIM_NO_MEMORY);
}
EXPORT sim_status cudaEventCreate(void** out) { return make_event(out, "cudaEventCreate"); }
EXPORT sim_status cudaEventCreateWithFlags(void** out, unsigned flags) {
  (void)flags;
  return make_event(out, "cudaEventCreateWithFlags");
}
EXPORT sim_status cudaEventDestroy(void* event) {
  sim_event_destroy(event);
  return SIM_OK;
}
EXPORT sim_status cudaEventRecord(void* event, void* stream) {
  sim_record(event, stream);
  return SIM_OK;
}
EXPORT sim_status cudaEventRecordWithFlags(void* event, void* stream, unsigned flags) {
  (void)flags;
  sim_record(event, stream);
  return SIM_OK;
}
EXPORT sim_status cudaEventQuery(void* event) {
  if (sim_is_stalled()) return NOT_READY;
  sim_host_waits_for_event(event);
  return SIM_OK;
}
EXPORT sim_status cudaEventSynchronize(void* event) {
  SIM_COUNT(synchronisations, 1);
  sim_host_waits_for_event(event);
  return SIM_OK;
}
EXPORT sim_status cudaEventElapsedTime(float* milliseconds, void* from, void* to) {
  (void)from, (void)to;
  *milliseconds = 0;
  return SIM_OK;
}

// --- kernels -------------------------------------------------------------------------------------
EXPORT void** __cudaRegisterFatBinary(void* binary) {
  (void)binary;
  return sim_handle();
}
EXPORT void __cudaRegisterFunction(void** binary, const char* host_function, char* device_function,
                                   const char* name) {
  (void)binary, (void)device_function;
  sim_register_kernel(host_function, name);
}
NO_OUTPUTS(__cudaRegisterFatBinaryEnd, "void **fatCubinHandle")
NO_OUTPUTS(__cudaUnregisterFatBinary, "void **fatCubinHandle")
NO_OUTPUTS(__cudaInitModule, "void **fatCubinHandle")
NO_OUTPUTS(__cudaRegisterVar,
           "void **handle, char *hostVar, char *deviceAddress, const char *name, ...")

// A launch in angle brackets is these two and cudaLaunchKernel.
typedef struct {
  sim_dim3 grid, block;
  size_t shared_bytes;
  void* stream;
} pushed_launch;
static _Thread_local pushed_launch pushed[8];
static _Thread_local int pushed_count;

EXPORT unsigned __cudaPushCallConfiguration(sim_dim3 grid, sim_dim3 block, size_t shared_bytes,
                                            void* stream) {
  if (pushed_count == 8) return 1;
  pushed[pushed_count++] = (pushed_launch){grid, block, shared_bytes, stream};
  return 0;
}
EXPORT sim_status __cudaPopCallConfiguration(sim_dim3* grid, sim_dim3* block, size_t* shared_bytes,
                                             void* stream) {
  if (pushed_count == 0) return failed(SIM_INVALID_VALUE);
  const pushed_launch* last = &pushed[--pushed_count];
  *grid = last->grid;
  *block = last->block;
  *shared_bytes = last->shared_bytes;
  *(void**)stream = last->stream;
  return SIM_OK;
}

static sim_status launch(const void* function, void* stream) {
  const sim_status asked = sim_enter("cudaLaunchKernel");
  if (asked) return failed(asked);
  sim_launched(function);
  sim_worked(stream);
  return failed(sim_current()->kernels ? SIM_OK : NO_KERNEL_IMAGE);
}
EXPORT sim_status cudaLaunchKernel(const void* function, sim_dim3 grid, sim_dim3 block, void** args,
                                   size_t shared_bytes, void* stream) {
  (void)grid, (void)block, (void)args, (void)shared_bytes;
  return launch(function, stream);
}
EXPORT sim_status cudaLaunchCooperativeKernel(const void* function, sim_dim3 grid, sim_dim3 block,
                                              void** args, size_t shared_bytes, void* stream) {
  (void)grid, (void)block, (void)args, (void)shared_bytes;
  return launch(function, stream);
}
EXPORT sim_status cudaLaunchKernelExC(const sim_launch_configuration* configuration,
                                      const void* function, void** args) {
  (void)args;
  return launch(function, configuration->stream);
}
// A kernel's handle is the address that it was registered by.
EXPORT sim_status __cudaGetKernel(const void** kernel, const void* host_function) {
  *kernel = host_function;
  return SIM_OK;
}
EXPORT sim_status __cudaLaunchKernel(const void* kernel, sim_dim3 grid, sim_dim3 block, void** args,
                                     size_t shared_bytes, void* stream) {
  (void)grid, (void)block, (void)args, (void)shared_bytes;
  return launch(kernel, stream);
}
NO_OUTPUTS(cudaFuncSetAttribute, "const void *func, cudaFuncAttribute attr, int value")

EXPORT sim_status cudaFuncGetAttributes(sim_function_attributes* out, const void* function) {
  (void)function;
  const sim_card* card = sim_current();
  // CUB chooses by what the kernel was compiled for, not by what the device is.
  *out = (sim_function_attributes){
      .max_threads_per_block = 1024,
      .registers = 32,
      .ptx_version = card->kernels,
      .binary_version = card->kernels,
      .max_dynamic_shared_bytes = (int)card->shared_bytes_per_block_optin,
  };
  return failed(card->kernels ? SIM_OK : NO_KERNEL_IMAGE);
}
static sim_status blocks_that_fit(int* count, int block_size) {
  const int threads = sim_current()->threads_per_multiprocessor;
  *count = block_size > 0 && block_size < threads ? threads / block_size : 1;
  return SIM_OK;
}
EXPORT sim_status cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* count, const void* function,
                                                                int block_size,
                                                                size_t shared_bytes) {
  (void)function, (void)shared_bytes;
  return blocks_that_fit(count, block_size);
}
EXPORT sim_status cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(
    int* count, const void* function, int block_size, size_t shared_bytes, unsigned flags) {
  (void)function, (void)shared_bytes, (void)flags;
  return blocks_that_fit(count, block_size);
}

// --- errors --------------------------------------------------------------------------------------
EXPORT sim_status cudaGetLastError(void) {
  const sim_status status = last_error;
  last_error = SIM_OK;
  return status;
}
EXPORT sim_status cudaPeekAtLastError(void) { return last_error; }

static const struct {
  sim_status status;
  const char *name, *text;
} errors[] = {
    {SIM_OK, "cudaSuccess", "no error"},
    {SIM_INVALID_VALUE, "cudaErrorInvalidValue", "invalid argument"},
    {SIM_NO_MEMORY, "cudaErrorMemoryAllocation", "out of memory"},
    {INVALID_DEVICE, "cudaErrorInvalidDevice", "invalid device ordinal"},
    {NO_KERNEL_IMAGE, "cudaErrorNoKernelImageForDevice",
     "no kernel image is available for execution on the device"},
    {LAUNCH_FAILURE, "cudaErrorLaunchFailure", "unspecified launch failure"},
    {NOT_SUPPORTED, "cudaErrorNotSupported", "operation not supported"},
};
EXPORT const char* cudaGetErrorString(sim_status status) {
  for (size_t i = 0; i < sizeof errors / sizeof *errors; ++i) {
    if (errors[i].status == status) return errors[i].text;
  }
  return "error of the simulated device";
}
EXPORT const char* cudaGetErrorName(sim_status status) {
  for (size_t i = 0; i < sizeof errors / sizeof *errors; ++i) {
    if (errors[i].status == status) return errors[i].name;
  }
  return "cudaErrorUnknown";
}

// --- the driver's functions, by name -------------------------------------------------------------
EXPORT sim_status cudaGetDriverEntryPointByVersion(const char* name, void** out, unsigned version,
                                                   unsigned long long flags, int* status) {
  (void)version, (void)flags;
  // Open already, by its soname.
  void* driver = dlopen("libcuda.so.1", RTLD_NOW | RTLD_NOLOAD);
  *out = driver != NULL ? dlsym(driver, name) : NULL;
  if (*out == NULL) sim_refuse(name);
  if (status != NULL) *status = *out != NULL ? 0 : 1;
  return SIM_OK;
}

NO_OUTPUTS(cudaProfilerStart, "void")
NO_OUTPUTS(cudaProfilerStop, "void")

// --- what a process with one card and PyTorch's own allocator does without
// -------------------------
REFUSED(cudaDeviceEnablePeerAccess, NOT_SUPPORTED)
REFUSED(cudaDeviceGetDefaultMemPool, NOT_SUPPORTED)
REFUSED(cudaFreeAsync, NOT_SUPPORTED)
REFUSED(cudaGraphDebugDotPrint, NOT_SUPPORTED)
REFUSED(cudaGraphDestroy, NOT_SUPPORTED)
REFUSED(cudaGraphExecDestroy, NOT_SUPPORTED)
REFUSED(cudaGraphGetNodes, NOT_SUPPORTED)
REFUSED(cudaGraphInstantiateWithFlags, NOT_SUPPORTED)
REFUSED(cudaGraphLaunch, NOT_SUPPORTED)
REFUSED(cudaGraphNodeGetDependencies, NOT_SUPPORTED)
REFUSED(cudaIpcCloseMemHandle, NOT_SUPPORTED)
REFUSED(cudaIpcGetEventHandle, NOT_SUPPORTED)
REFUSED(cudaIpcGetMemHandle, NOT_SUPPORTED)
REFUSED(cudaIpcOpenEventHandle, NOT_SUPPORTED)
REFUSED(cudaIpcOpenMemHandle, NOT_SUPPORTED)
REFUSED(cudaMallocAsync, NOT_SUPPORTED)
REFUSED(cudaMemPoolGetAttribute, NOT_SUPPORTED)
REFUSED(cudaMemPoolSetAccess, NOT_SUPPORTED)
REFUSED(cudaMemPoolSetAttribute, NOT_SUPPORTED)
REFUSED(cudaMemPoolTrimTo, NOT_SUPPORTED)
REFUSED(cudaStreamBeginCapture, NOT_SUPPORTED)
REFUSED(cudaStreamEndCapture, NOT_SUPPORTED)
