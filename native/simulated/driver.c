// Stands for the driver, libcuda.so.1: the device, and virtual memory for expandable segments.
#include <stdlib.h>
#include <string.h>

#include "simulated.h"

enum { INVALID_HANDLE = 400, NOT_SUPPORTED = 801 };

sim_status cudaDeviceGetAttribute(int* value, int attribute, int device);

NO_OUTPUTS(cuInit, "unsigned Flags")
EXPORT sim_status cuGetErrorString(int status, const char** text) {
  *text = status == SIM_NO_MEMORY ? "out of memory" : "error of the simulated device";
  return SIM_OK;
}
EXPORT sim_status cuGetErrorName(int status, const char** text) {
  *text = status == SIM_NO_MEMORY ? "CUDA_ERROR_OUT_OF_MEMORY" : "CUDA_ERROR_UNKNOWN";
  return SIM_OK;
}
EXPORT sim_status cuDeviceGet(int* device, int index) {
  *device = index;
  return SIM_OK;
}
EXPORT sim_status cuDeviceGetCount(int* count) {
  *count = 1;
  return SIM_OK;
}
EXPORT sim_status cuDeviceGetAttribute(int* value, int attribute, int device) {
  enum { VIRTUAL_MEMORY = 102 };
  if (attribute != VIRTUAL_MEMORY) return cudaDeviceGetAttribute(value, attribute, device);
  *value = 1;
  return SIM_OK;
}
EXPORT sim_status cuDevicePrimaryCtxGetState(int device, unsigned* flags, int* active) {
  (void)device;
  *flags = 0;
  *active = 1;
  return SIM_OK;
}
static void* context(void) {
  static char one[256];
  return one;
}
EXPORT sim_status cuDevicePrimaryCtxRetain(void** out, int device) {
  (void)device;
  *out = context();
  return SIM_OK;
}
EXPORT sim_status cuCtxGetCurrent(void** out) {
  *out = context();
  return SIM_OK;
}
NO_OUTPUTS(cuCtxSetCurrent, "CUcontext ctx")

// --- virtual memory: an address, memory, one mapped to the other
// ----------------------------------
EXPORT sim_status cuMemGetAllocationGranularity(size_t* bytes, const void* properties, int option) {
  (void)properties, (void)option;
  *bytes = (size_t)2 << 20;
  return SIM_OK;
}
EXPORT sim_status cuMemAddressReserve(void** out, size_t bytes, size_t alignment, void* wanted,
                                      unsigned long long flags) {
  (void)alignment, (void)wanted, (void)flags;
  *out = sim_reserve(bytes);
  return *out != NULL ? SIM_OK : SIM_NO_MEMORY;
}
EXPORT sim_status cuMemAddressFree(void* pointer, size_t bytes) {
  (void)bytes;
  return sim_unreserve(pointer);
}
EXPORT sim_status cuMemCreate(void** out, size_t bytes, const void* properties,
                              unsigned long long flags) {
  (void)properties, (void)flags;
  const sim_status asked = sim_enter("cuMemCreate");
  if (asked) return asked;
  if (!sim_charge(bytes)) return SIM_NO_MEMORY;
  *out = sim_handle();
  if (*out == NULL) return SIM_NO_MEMORY;
  memcpy(*out, &bytes, sizeof bytes);
  return SIM_OK;
}
EXPORT sim_status cuMemRelease(void* memory) {
  if (memory == NULL) return INVALID_HANDLE;
  size_t bytes;
  memcpy(&bytes, memory, sizeof bytes);
  sim_uncharge(bytes);
  free(memory);
  return SIM_OK;
}
NO_OUTPUTS(cuMemMap,
           "CUdeviceptr ptr, size_t size, size_t offset, handle, unsigned long long flags")
NO_OUTPUTS(cuMemSetAccess,
           "CUdeviceptr ptr, size_t size, const CUmemAccessDesc *desc, size_t count")
EXPORT sim_status cuMemUnmap(void* pointer, size_t bytes) {
  (void)pointer, (void)bytes;
  sim_host_waits_for_device();
  return SIM_OK;
}

// --- what nothing here needs: kernels compiled at run time, sharing, green contexts, multicast
// ------
REFUSED(cuCtxFromGreenCtx, NOT_SUPPORTED)
REFUSED(cuCtxPopCurrent, NOT_SUPPORTED)
REFUSED(cuCtxPushCurrent, NOT_SUPPORTED)
REFUSED(cuDevResourceGenerateDesc, NOT_SUPPORTED)
REFUSED(cuDevSmResourceSplitByCount, NOT_SUPPORTED)
REFUSED(cuDeviceGetDevResource, NOT_SUPPORTED)
REFUSED(cuFuncGetAttribute, NOT_SUPPORTED)
REFUSED(cuFuncSetAttribute, NOT_SUPPORTED)
REFUSED(cuFuncSetCacheConfig, NOT_SUPPORTED)
REFUSED(cuGreenCtxCreate, NOT_SUPPORTED)
REFUSED(cuGreenCtxDestroy, NOT_SUPPORTED)
REFUSED(cuGreenCtxStreamCreate, NOT_SUPPORTED)
REFUSED(cuLaunchCooperativeKernel, NOT_SUPPORTED)
REFUSED(cuLaunchKernel, NOT_SUPPORTED)
REFUSED(cuLinkAddData_v2, NOT_SUPPORTED)
REFUSED(cuLinkComplete, NOT_SUPPORTED)
REFUSED(cuLinkCreate_v2, NOT_SUPPORTED)
REFUSED(cuMemExportToShareableHandle, NOT_SUPPORTED)
REFUSED(cuMemGetAllocationPropertiesFromHandle, NOT_SUPPORTED)
REFUSED(cuMemImportFromShareableHandle, NOT_SUPPORTED)
REFUSED(cuMemRetainAllocationHandle, NOT_SUPPORTED)
REFUSED(cuMemsetD32Async, NOT_SUPPORTED)
REFUSED(cuModuleGetFunction, NOT_SUPPORTED)
REFUSED(cuModuleLoad, NOT_SUPPORTED)
REFUSED(cuModuleLoadData, NOT_SUPPORTED)
REFUSED(cuModuleLoadDataEx, NOT_SUPPORTED)
REFUSED(cuModuleUnload, NOT_SUPPORTED)
REFUSED(cuMulticastAddDevice, NOT_SUPPORTED)
REFUSED(cuMulticastBindMem, NOT_SUPPORTED)
REFUSED(cuMulticastCreate, NOT_SUPPORTED)
REFUSED(cuMulticastUnbind, NOT_SUPPORTED)
REFUSED(cuOccupancyMaxActiveBlocksPerMultiprocessor, NOT_SUPPORTED)
REFUSED(cuPointerGetAttribute, NOT_SUPPORTED)
REFUSED(cuStreamWriteValue32, NOT_SUPPORTED)
REFUSED(cuTensorMapEncodeTiled, NOT_SUPPORTED)
