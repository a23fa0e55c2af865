// What the stand-ins promise, from C: memory of a full card, the order of streams, counts, faults.
// Built with their sources under sanitizers (stand-ins.test.ts); aborts at the first broken
// promise.
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "simulated.h"

#define CHECK(condition)                                              \
  do {                                                                \
    if (!(condition)) {                                               \
      fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
      exit(1);                                                        \
    }                                                                 \
  } while (0)

// As the CUDA runtime, the driver and cuBLAS declare them.
typedef struct {
  unsigned x, y, z;
} dim3;
int localformer_simulated_configure(const char* text);
void localformer_simulated_counts(sim_counts* out);
void localformer_simulated_fail(const char* name, int64_t after, int status);
void localformer_simulated_kernels(void (*visit)(void*, const char*, int64_t), void* data);
int cudaMalloc(void** out, size_t bytes);
int cudaFree(void* pointer);
int cudaMemGetInfo(size_t* free_bytes, size_t* total_bytes);
int cudaHostAlloc(void** out, size_t bytes, unsigned flags);
int cudaFreeHost(void* pointer);
int cudaMemcpy(void* to, const void* from, size_t bytes, int kind);
int cudaMemcpyAsync(void* to, const void* from, size_t bytes, int kind, void* stream);
int cudaMemcpy2DAsync(void* to, size_t to_pitch, const void* from, size_t from_pitch, size_t width,
                      size_t height, int kind, void* stream);
int cudaMemsetAsync(void* to, int value, size_t bytes, void* stream);
int cudaStreamCreateWithPriority(void** out, unsigned flags, int priority);
int cudaStreamDestroy(void* stream);
int cudaStreamSynchronize(void* stream);
int cudaDeviceSynchronize(void);
int cudaStreamWaitEvent(void* stream, void* event, unsigned flags);
int cudaEventCreateWithFlags(void** out, unsigned flags);
int cudaEventRecord(void* event, void* stream);
int cudaEventDestroy(void* event);
int cudaLaunchKernel(const void* function, dim3 grid, dim3 block, void** args, size_t shared_bytes,
                     void* stream);
int cudaGetLastError(void);
int cudaGraphLaunch(void);
void __cudaRegisterFunction(void** binary, const char* host_function, char* device_function,
                            const char* name);
int cuMemAddressReserve(void** out, size_t bytes, size_t alignment, void* wanted,
                        unsigned long long flags);
int cuMemAddressFree(void* pointer, size_t bytes);
int cuMemCreate(void** out, size_t bytes, const void* properties, unsigned long long flags);
int cuMemRelease(void* memory);
int cublasCreate_v2(void** out);
int cublasDestroy_v2(void* handle);
int cublasSetStream_v2(void* handle, void* stream);
int cublasSgemm_v2(void* handle, int ta, int tb, int m, int n, int k, const void* alpha,
                   const void* a, int lda, const void* b, int ldb, const void* beta, void* c,
                   int ldc);

enum { OK = 0, NO_MEMORY = 2, LAUNCH_FAILURE = 719, NOT_SUPPORTED = 801, EXECUTION_FAILED = 13 };
#define MIB ((size_t)1 << 20)
#define CARD                                                                               \
  "name=Card,major=8,minor=6,kernels=86,multiprocessors=28,threadsPerMultiprocessor=1536," \
  "totalBytes=1073741824,contextBytes=104857600,sharedBytesPerBlockOptin=101376,"          \
  "sharedBytesPerMultiprocessor=102400,l2Bytes=2359296"

static sim_counts counts(void) {
  sim_counts now;
  localformer_simulated_counts(&now);
  return now;
}

static void* stream_of_its_own(void) {
  void* stream;
  CHECK(cudaStreamCreateWithPriority(&stream, 1, 0) == OK);
  return stream;
}

static void* memory(size_t bytes) {
  void* out;
  CHECK(cudaMalloc(&out, bytes) == OK);
  return out;
}

static size_t free_bytes(void) {
  size_t left, total;
  CHECK(cudaMemGetInfo(&left, &total) == OK);
  CHECK(total == 1024 * MIB);
  return left;
}

static void configuring(void) {
  CHECK(localformer_simulated_configure(NULL) == 1);
  CHECK(localformer_simulated_configure("nonsense") == 1);
  CHECK(localformer_simulated_configure("name=x,totalBytes=1") == 1);
  CHECK(localformer_simulated_configure(CARD ",colour=red") == 1);
  CHECK(localformer_simulated_configure(CARD) == OK);
  CHECK(localformer_simulated_configure(CARD) == OK);
  CHECK(localformer_simulated_configure(CARD ",minor=7") == 2);
}

static void a_full_card(void) {
  CHECK(free_bytes() == 924 * MIB);
  void* blocks[462];
  for (int i = 0; i < 462; ++i) blocks[i] = memory(i % 2 ? 1 : 2 * MIB);
  CHECK(free_bytes() == 0);
  void* one_more = (void*)1;
  CHECK(cudaMalloc(&one_more, 1) == NO_MEMORY && one_more == NULL);
  CHECK(cudaGetLastError() == NO_MEMORY && cudaGetLastError() == OK);
  CHECK(cudaMalloc(&one_more, SIZE_MAX) == NO_MEMORY);
  CHECK(cudaMalloc(&one_more, SIZE_MAX - MIB) == NO_MEMORY);
  CHECK(cudaGetLastError() == NO_MEMORY);
  CHECK(cudaFree(blocks[7]) == OK);
  CHECK(cudaFree(blocks[7]) != OK && cudaFree((char*)blocks[8] + 1) != OK);
  CHECK(free_bytes() == 2 * MIB);
  void* again = memory(2 * MIB);
  CHECK(again == blocks[7]);  // First fit.
  for (int i = 0; i < 462; ++i) CHECK(cudaFree(blocks[i]) == OK);
  CHECK(cudaFree(NULL) == OK && cudaMalloc(&again, 0) == OK && again == NULL);
  CHECK(free_bytes() == 924 * MIB);
  cudaGetLastError();
}

static void virtual_memory(void) {
  void *address, *handle;
  CHECK(cuMemAddressReserve(&address, 64 * MIB, 0, NULL, 0) == OK && free_bytes() == 924 * MIB);
  CHECK(cuMemCreate(&handle, 20 * MIB, NULL, 0) == OK && free_bytes() == 904 * MIB);
  void* too_much;
  CHECK(cuMemCreate(&too_much, 905 * MIB, NULL, 0) == NO_MEMORY);
  CHECK(cuMemRelease(handle) == OK && free_bytes() == 924 * MIB);
  CHECK(cuMemAddressFree(address, 64 * MIB) == OK && cuMemAddressFree(address, 64 * MIB) != OK);
}

// What one stream does with memory, another may not without an event between.
static void order_of_streams(void) {
  void *a = stream_of_its_own(), *b = stream_of_its_own(), *event, *pinned;
  CHECK(cudaEventCreateWithFlags(&event, 2) == OK);
  CHECK(cudaHostAlloc(&pinned, MIB, 0) == OK);
  char *x = memory(MIB), *y = memory(MIB);
  CHECK(counts().unordered_uses == 0);

  CHECK(cudaMemcpyAsync(x, pinned, MIB, 1, a) == OK);
  CHECK(cudaMemcpyAsync(y, x, 100, 3, b) == LAUNCH_FAILURE);  // Reads what a writes.
  CHECK(cudaGetLastError() == LAUNCH_FAILURE);
  CHECK(counts().unordered_uses == 1);
  CHECK(cudaMemsetAsync(x + 100, 0, 1, b) == LAUNCH_FAILURE);  // Writes there, too.
  CHECK(cudaStreamSynchronize(b) == OK);                       // The wrong stream.
  CHECK(cudaMemcpyAsync(pinned, x, 100, 2, b) == LAUNCH_FAILURE);

  CHECK(cudaEventRecord(event, a) == OK && cudaStreamWaitEvent(b, event, 0) == OK);
  CHECK(cudaMemcpyAsync(y, x, 100, 3, b) == OK);
  CHECK(cudaMemcpyAsync(y, x, 100, 3, a) == LAUNCH_FAILURE);  // b writes to y.
  CHECK(cudaStreamSynchronize(b) == OK);
  CHECK(cudaMemcpyAsync(y, x, 100, 3, a) == OK);
  CHECK(cudaDeviceSynchronize() == OK);
  // Both only read.
  CHECK(cudaMemcpyAsync(pinned, x, 100, 2, a) == OK && cudaMemcpyAsync(pinned, x, 100, 2, b) == OK);
  CHECK(cudaDeviceSynchronize() == OK);

  // An event that was recorded before the use says nothing of it.
  CHECK(cudaEventRecord(event, a) == OK);
  CHECK(cudaMemcpyAsync(x, pinned, 100, 1, a) == OK);
  CHECK(cudaStreamWaitEvent(b, event, 0) == OK);
  CHECK(cudaMemcpyAsync(y, x, 100, 3, b) == LAUNCH_FAILURE);
  CHECK(cudaDeviceSynchronize() == OK);

  // What kernels write cannot be seen: a read that leaves the device comes after them.
  const dim3 one = {1, 1, 1};
  CHECK(cudaLaunchKernel((void*)x, one, one, NULL, 0, a) == OK);
  CHECK(cudaMemcpyAsync(pinned, y, 100, 2, b) == LAUNCH_FAILURE);
  CHECK(cudaEventRecord(event, a) == OK && cudaStreamWaitEvent(b, event, 0) == OK);
  CHECK(cudaMemcpyAsync(pinned, y, 100, 2, b) == OK);
  // Copies can: those of other memory do not matter.
  CHECK(cudaMemcpyAsync(x, pinned, 100, 1, a) == OK);
  CHECK(cudaMemcpyAsync(pinned, y, 100, 2, b) == OK);
  CHECK(cudaDeviceSynchronize() == OK);

  void* handle;
  CHECK(cublasCreate_v2(&handle) == OK && cublasSetStream_v2(handle, a) == OK);
  const float alpha = 1;
  CHECK(cudaMemsetAsync(x, 0, 100, b) == OK);
  CHECK(cublasSgemm_v2(handle, 0, 0, 1, 1, 1, &alpha, x, 1, y, 1, &alpha, y + 8, 1) ==
        EXECUTION_FAILED);
  CHECK(cudaStreamSynchronize(b) == OK);
  CHECK(cublasSgemm_v2(handle, 0, 0, 1, 1, 1, &alpha, x, 1, y, 1, &alpha, y + 8, 1) == OK);
  CHECK(cudaMemsetAsync(y + 8, 0, 4, b) == LAUNCH_FAILURE);
  CHECK(cublasDestroy_v2(handle) == OK);
  // Freeing waits for the device.
  CHECK(cudaFree(x) == OK && cudaFree(y) == OK);
  CHECK(memory(MIB) == x && cudaMemsetAsync(x, 0, MIB, b) == OK);
  CHECK(cudaFree(x) == OK && cudaFreeHost(pinned) == OK && cudaEventDestroy(event) == OK);
  CHECK(cudaStreamDestroy(a) == OK && cudaStreamDestroy(b) == OK);
  cudaGetLastError();
}

static void copies(void) {
  char* on_device = memory(MIB);
  char rows[64], *pinned;
  CHECK(cudaHostAlloc((void**)&pinned, 4096, 0) == OK);
  const sim_counts before = counts();
  memset(rows, 7, sizeof rows);
  CHECK(cudaMemcpy2DAsync(rows, 16, on_device, 256, 8, 4, 2, NULL) == OK);
  for (int i = 0; i < 64; ++i) CHECK(rows[i] == (i % 16 < 8 ? 0 : 7));
  CHECK(cudaMemcpyAsync(on_device, pinned + 100, 200, 1, NULL) == OK);
  CHECK(cudaMemcpy(rows, pinned, 64, 0) == OK);
  CHECK(cudaMemcpy2DAsync(rows, 16, on_device, 256, 0, 4, 2, NULL) == OK);
  CHECK(cudaMemcpyAsync(NULL, NULL, 0, 1, NULL) == OK);
  const sim_counts now = counts();
  CHECK(now.pageable_copies - before.pageable_copies == 1);
  CHECK(now.bytes_to_host - before.bytes_to_host == 32);
  CHECK(now.pinned_copies - before.pinned_copies == 1);
  CHECK(now.bytes_to_device - before.bytes_to_device == 200);
  CHECK(now.synchronisations - before.synchronisations == 1);
  CHECK(cudaFreeHost(pinned) == OK && cudaFree(on_device) == OK);
}

static void find_launches(void* data, const char* name, int64_t launches) {
  if (strcmp(name, "some_kernel") == 0) *(int64_t*)data = launches;
}

static void kernels_by_name(void) {
  static const char some;
  const dim3 one = {1, 1, 1};
  int64_t launches = 0;
  __cudaRegisterFunction(NULL, &some, NULL, "some_kernel");
  localformer_simulated_kernels(find_launches, &launches);
  CHECK(launches == 0);
  for (int i = 0; i < 3; ++i) CHECK(cudaLaunchKernel(&some, one, one, NULL, 0, NULL) == OK);
  localformer_simulated_kernels(find_launches, &launches);
  CHECK(launches == 3);
}

static void faults(void) {
  void* out;
  localformer_simulated_fail("cudaMalloc", 1, NO_MEMORY);
  void* first = memory(1);
  CHECK(cudaMalloc(&out, 1) == NO_MEMORY);
  CHECK(cudaMalloc(&out, 1) == OK && cudaFree(out) == OK && cudaFree(first) == OK);
  localformer_simulated_fail("cublasCreate_v2", 0, 3);
  CHECK(cublasCreate_v2(&out) == 3);
  CHECK(cudaGraphLaunch() == NOT_SUPPORTED && cudaGraphLaunch() == NOT_SUPPORTED);
  cudaGetLastError();
}

static void* work(void* unused) {
  void *stream = stream_of_its_own(), *event, *pinned;
  CHECK(cudaEventCreateWithFlags(&event, 2) == OK);
  CHECK(cudaHostAlloc(&pinned, 4096, 0) == OK);
  const dim3 one = {1, 1, 1};
  for (int i = 0; i < 300; ++i) {
    void* block;
    if (cudaMalloc(&block, (size_t)(i % 7 + 1) * MIB) != OK) continue;
    CHECK(cudaMemcpyAsync(block, pinned, 4096, 1, stream) == OK);
    CHECK(cudaLaunchKernel(block, one, one, NULL, 0, stream) == OK);
    CHECK(cudaEventRecord(event, stream) == OK && cudaStreamWaitEvent(NULL, event, 0) == OK);
    CHECK(cudaStreamSynchronize(stream) == OK);
    CHECK(cudaFree(block) == OK);
  }
  CHECK(cudaFreeHost(pinned) == OK && cudaEventDestroy(event) == OK);
  CHECK(cudaStreamDestroy(stream) == OK);
  return unused;
}

static void threads(void) {
  const sim_counts before = counts();
  pthread_t all[4];
  for (int i = 0; i < 4; ++i) CHECK(pthread_create(&all[i], NULL, work, NULL) == 0);
  for (int i = 0; i < 4; ++i) CHECK(pthread_join(all[i], NULL) == 0);
  CHECK(counts().launches - before.launches == 1200);
  CHECK(counts().mallocs - before.mallocs == 1200);
  CHECK(free_bytes() == 924 * MIB);
}

int main(void) {
  configuring();
  a_full_card();
  virtual_memory();
  order_of_streams();
  copies();
  kernels_by_name();
  faults();
  threads();
  return 0;
}
