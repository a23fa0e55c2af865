// Stands for cuBLAS, libcublas.so.13: handles, and the matrix products that are counted.
#include <stdlib.h>

#include "simulated.h"

enum { EXECUTION_FAILED = 13, NOT_SUPPORTED = 15 };
// cublasMath_t and cublasComputeType_t: where inputs of float32 may be rounded to TF32.
enum { MATH_TF32 = 3, COMPUTE_FAST_TF32 = 77 };

typedef struct {
  void* stream;
  int math, pointers;
} handle;

EXPORT sim_status cublasCreate_v2(handle** out) {
  const sim_status asked = sim_enter("cublasCreate_v2");
  if (asked) return asked;
  *out = sim_handle();
  return *out != NULL ? SIM_OK : 3;
}
EXPORT sim_status cublasDestroy_v2(handle* self) {
  free(self);
  return SIM_OK;
}
EXPORT sim_status cublasSetStream_v2(handle* self, void* stream) {
  self->stream = stream;
  return SIM_OK;
}
EXPORT sim_status cublasSetMathMode(handle* self, int mode) {
  self->math = mode;
  return SIM_OK;
}
EXPORT sim_status cublasGetMathMode(handle* self, int* mode) {
  *mode = self->math;
  return SIM_OK;
}
EXPORT sim_status cublasSetPointerMode_v2(handle* self, int mode) {
  self->pointers = mode;
  return SIM_OK;
}
EXPORT sim_status cublasGetPointerMode_v2(handle* self, int* mode) {
  *mode = self->pointers;
  return SIM_OK;
}
NO_OUTPUTS(cublasSetWorkspace_v2, "cublasHandle_t handle, void *workspace, size_t bytes")
NO_OUTPUTS(cublasSetMatrixAsync,
           "int rows, int cols, int elemSize, const void *A, int lda, void *B, int ldb, stream")
NO_OUTPUTS(cublasSetVectorAsync,
           "int n, int elemSize, const void *hostPtr, int incx, void *devicePtr, int incy, stream")

// --- products ------------------------------------------------------------------------------------
static sim_status product(const char* name, const handle* self, const void* a, const void* b,
                          const void* c, bool is_tf32) {
  const sim_status asked = sim_enter(name);
  if (asked) return asked;
  SIM_COUNT(products, 1);
  if (is_tf32) SIM_COUNT(tf32_products, 1);
  return sim_product_in_order(a, b, c, self->stream) ? SIM_OK : EXECUTION_FAILED;
}

// float32 by its own function rounds where the handle's mode allows it.
#define GEMM(name, may_be_tf32)                                                                   \
  EXPORT sim_status name(handle* self, int ta, int tb, int m, int n, int k, const void* alpha,    \
                         const void* a, int lda, const void* b, int ldb, const void* beta,        \
                         void* c, int ldc) {                                                      \
    (void)ta, (void)tb, (void)m, (void)n, (void)k, (void)alpha, (void)lda, (void)ldb, (void)beta, \
        (void)ldc;                                                                                \
    return product(#name, self, a, b, c, (may_be_tf32) && self->math == MATH_TF32);               \
  }
#define GEMM_STRIDED(name, may_be_tf32)                                                           \
  EXPORT sim_status name(handle* self, int ta, int tb, int m, int n, int k, const void* alpha,    \
                         const void* a, int lda, long long stride_a, const void* b, int ldb,      \
                         long long stride_b, const void* beta, void* c, int ldc,                  \
                         long long stride_c, int count) {                                         \
    (void)ta, (void)tb, (void)m, (void)n, (void)k, (void)alpha, (void)lda, (void)ldb, (void)beta, \
        (void)ldc, (void)stride_a, (void)stride_b, (void)stride_c, (void)count;                   \
    return product(#name, self, a, b, c, (may_be_tf32) && self->math == MATH_TF32);               \
  }
GEMM(cublasSgemm_v2, true)
GEMM(cublasDgemm_v2, false)
GEMM(cublasCgemm_v2, false)
GEMM(cublasZgemm_v2, false)
GEMM_STRIDED(cublasSgemmStridedBatched, true)
GEMM_STRIDED(cublasDgemmStridedBatched, false)
GEMM_STRIDED(cublasCgemmStridedBatched, false)
GEMM_STRIDED(cublasZgemmStridedBatched, false)

EXPORT sim_status cublasSgemmEx(handle* self, int ta, int tb, int m, int n, int k,
                                const void* alpha, const void* a, int type_a, int lda,
                                const void* b, int type_b, int ldb, const void* beta, void* c,
                                int type_c, int ldc) {
  (void)ta, (void)tb, (void)m, (void)n, (void)k, (void)alpha, (void)type_a, (void)lda, (void)type_b,
      (void)ldb, (void)beta, (void)type_c, (void)ldc;
  return product("cublasSgemmEx", self, a, b, c, self->math == MATH_TF32 && type_a == 0);
}
EXPORT sim_status cublasGemmEx(handle* self, int ta, int tb, int m, int n, int k, const void* alpha,
                               const void* a, int type_a, int lda, const void* b, int type_b,
                               int ldb, const void* beta, void* c, int type_c, int ldc, int compute,
                               int algorithm) {
  (void)ta, (void)tb, (void)m, (void)n, (void)k, (void)alpha, (void)type_a, (void)lda, (void)type_b,
      (void)ldb, (void)beta, (void)type_c, (void)ldc, (void)algorithm;
  return product("cublasGemmEx", self, a, b, c, compute == COMPUTE_FAST_TF32);
}
EXPORT sim_status cublasGemmStridedBatchedEx(handle* self, int ta, int tb, int m, int n, int k,
                                             const void* alpha, const void* a, int type_a, int lda,
                                             long long stride_a, const void* b, int type_b, int ldb,
                                             long long stride_b, const void* beta, void* c,
                                             int type_c, int ldc, long long stride_c, int count,
                                             int compute, int algorithm) {
  (void)ta, (void)tb, (void)m, (void)n, (void)k, (void)alpha, (void)type_a, (void)lda,
      (void)stride_a, (void)type_b, (void)ldb, (void)stride_b, (void)beta, (void)type_c, (void)ldc,
      (void)stride_c, (void)count, (void)algorithm;
  return product("cublasGemmStridedBatchedEx", self, a, b, c, compute == COMPUTE_FAST_TF32);
}

// Of a matrix and a vector; counted as a product.
#define GEMV(name)                                                                                \
  EXPORT sim_status name(handle* self, int trans, int m, int n, const void* alpha, const void* a, \
                         int lda, const void* x, int incx, const void* beta, void* y, int incy) { \
    (void)trans, (void)m, (void)n, (void)alpha, (void)lda, (void)incx, (void)beta, (void)incy;    \
    return product(#name, self, a, x, y, false);                                                  \
  }
GEMV(cublasSgemv_v2)
GEMV(cublasDgemv_v2)

// --- what training of a Swin Transformer does not call; many would give results to the host
// ---------
REFUSED(cublasCaxpy_v2, NOT_SUPPORTED)
REFUSED(cublasCcopy_v2, NOT_SUPPORTED)
REFUSED(cublasCdotc_v2, NOT_SUPPORTED)
REFUSED(cublasCdotu_v2, NOT_SUPPORTED)
REFUSED(cublasCgelsBatched, NOT_SUPPORTED)
REFUSED(cublasCgemmBatched, NOT_SUPPORTED)
REFUSED(cublasCgemv_v2, NOT_SUPPORTED)
REFUSED(cublasCgeqrfBatched, NOT_SUPPORTED)
REFUSED(cublasCgerc_v2, NOT_SUPPORTED)
REFUSED(cublasCgeru_v2, NOT_SUPPORTED)
REFUSED(cublasCgetrfBatched, NOT_SUPPORTED)
REFUSED(cublasCgetrsBatched, NOT_SUPPORTED)
REFUSED(cublasChemm_v2, NOT_SUPPORTED)
REFUSED(cublasChemv_v2, NOT_SUPPORTED)
REFUSED(cublasCher2_v2, NOT_SUPPORTED)
REFUSED(cublasCher2k_v2, NOT_SUPPORTED)
REFUSED(cublasCher_v2, NOT_SUPPORTED)
REFUSED(cublasCherk_v2, NOT_SUPPORTED)
REFUSED(cublasCrot_v2, NOT_SUPPORTED)
REFUSED(cublasCrotg_v2, NOT_SUPPORTED)
REFUSED(cublasCscal_v2, NOT_SUPPORTED)
REFUSED(cublasCsrot_v2, NOT_SUPPORTED)
REFUSED(cublasCsscal_v2, NOT_SUPPORTED)
REFUSED(cublasCswap_v2, NOT_SUPPORTED)
REFUSED(cublasCsymm_v2, NOT_SUPPORTED)
REFUSED(cublasCsymv_v2, NOT_SUPPORTED)
REFUSED(cublasCsyr2_v2, NOT_SUPPORTED)
REFUSED(cublasCsyr2k_v2, NOT_SUPPORTED)
REFUSED(cublasCsyr_v2, NOT_SUPPORTED)
REFUSED(cublasCsyrk_v2, NOT_SUPPORTED)
REFUSED(cublasCtrmm_v2, NOT_SUPPORTED)
REFUSED(cublasCtrmv_v2, NOT_SUPPORTED)
REFUSED(cublasCtrsmBatched, NOT_SUPPORTED)
REFUSED(cublasCtrsm_v2, NOT_SUPPORTED)
REFUSED(cublasCtrsv_v2, NOT_SUPPORTED)
REFUSED(cublasDasum_v2, NOT_SUPPORTED)
REFUSED(cublasDaxpy_v2, NOT_SUPPORTED)
REFUSED(cublasDcopy_v2, NOT_SUPPORTED)
REFUSED(cublasDdot_v2, NOT_SUPPORTED)
REFUSED(cublasDgelsBatched, NOT_SUPPORTED)
REFUSED(cublasDgemmBatched, NOT_SUPPORTED)
REFUSED(cublasDgeqrfBatched, NOT_SUPPORTED)
REFUSED(cublasDger_v2, NOT_SUPPORTED)
REFUSED(cublasDgetrfBatched, NOT_SUPPORTED)
REFUSED(cublasDgetrsBatched, NOT_SUPPORTED)
REFUSED(cublasDnrm2_v2, NOT_SUPPORTED)
REFUSED(cublasDotEx, NOT_SUPPORTED)
REFUSED(cublasDrot_v2, NOT_SUPPORTED)
REFUSED(cublasDrotg_v2, NOT_SUPPORTED)
REFUSED(cublasDrotm_v2, NOT_SUPPORTED)
REFUSED(cublasDrotmg_v2, NOT_SUPPORTED)
REFUSED(cublasDscal_v2, NOT_SUPPORTED)
REFUSED(cublasDswap_v2, NOT_SUPPORTED)
REFUSED(cublasDsymm_v2, NOT_SUPPORTED)
REFUSED(cublasDsymv_v2, NOT_SUPPORTED)
REFUSED(cublasDsyr2_v2, NOT_SUPPORTED)
REFUSED(cublasDsyr2k_v2, NOT_SUPPORTED)
REFUSED(cublasDsyr_v2, NOT_SUPPORTED)
REFUSED(cublasDsyrk_v2, NOT_SUPPORTED)
REFUSED(cublasDtrmm_v2, NOT_SUPPORTED)
REFUSED(cublasDtrmv_v2, NOT_SUPPORTED)
REFUSED(cublasDtrsmBatched, NOT_SUPPORTED)
REFUSED(cublasDtrsm_v2, NOT_SUPPORTED)
REFUSED(cublasDtrsv_v2, NOT_SUPPORTED)
REFUSED(cublasDzasum_v2, NOT_SUPPORTED)
REFUSED(cublasDznrm2_v2, NOT_SUPPORTED)
REFUSED(cublasGetMatrixAsync, NOT_SUPPORTED)
REFUSED(cublasGetVectorAsync, NOT_SUPPORTED)
REFUSED(cublasIcamax_v2, NOT_SUPPORTED)
REFUSED(cublasIcamin_v2, NOT_SUPPORTED)
REFUSED(cublasIdamax_v2, NOT_SUPPORTED)
REFUSED(cublasIdamin_v2, NOT_SUPPORTED)
REFUSED(cublasIsamax_v2, NOT_SUPPORTED)
REFUSED(cublasIsamin_v2, NOT_SUPPORTED)
REFUSED(cublasIzamax_v2, NOT_SUPPORTED)
REFUSED(cublasIzamin_v2, NOT_SUPPORTED)
REFUSED(cublasSasum_v2, NOT_SUPPORTED)
REFUSED(cublasSaxpy_v2, NOT_SUPPORTED)
REFUSED(cublasScasum_v2, NOT_SUPPORTED)
REFUSED(cublasScnrm2_v2, NOT_SUPPORTED)
REFUSED(cublasScopy_v2, NOT_SUPPORTED)
REFUSED(cublasSdot_v2, NOT_SUPPORTED)
REFUSED(cublasSgelsBatched, NOT_SUPPORTED)
REFUSED(cublasSgemmBatched, NOT_SUPPORTED)
REFUSED(cublasSgeqrfBatched, NOT_SUPPORTED)
REFUSED(cublasSger_v2, NOT_SUPPORTED)
REFUSED(cublasSgetrfBatched, NOT_SUPPORTED)
REFUSED(cublasSgetrsBatched, NOT_SUPPORTED)
REFUSED(cublasSnrm2_v2, NOT_SUPPORTED)
REFUSED(cublasSrot_v2, NOT_SUPPORTED)
REFUSED(cublasSrotg_v2, NOT_SUPPORTED)
REFUSED(cublasSrotm_v2, NOT_SUPPORTED)
REFUSED(cublasSrotmg_v2, NOT_SUPPORTED)
REFUSED(cublasSscal_v2, NOT_SUPPORTED)
REFUSED(cublasSswap_v2, NOT_SUPPORTED)
REFUSED(cublasSsymm_v2, NOT_SUPPORTED)
REFUSED(cublasSsymv_v2, NOT_SUPPORTED)
REFUSED(cublasSsyr2_v2, NOT_SUPPORTED)
REFUSED(cublasSsyr2k_v2, NOT_SUPPORTED)
REFUSED(cublasSsyr_v2, NOT_SUPPORTED)
REFUSED(cublasSsyrk_v2, NOT_SUPPORTED)
REFUSED(cublasStrmm_v2, NOT_SUPPORTED)
REFUSED(cublasStrmv_v2, NOT_SUPPORTED)
REFUSED(cublasStrsmBatched, NOT_SUPPORTED)
REFUSED(cublasStrsm_v2, NOT_SUPPORTED)
REFUSED(cublasStrsv_v2, NOT_SUPPORTED)
REFUSED(cublasZaxpy_v2, NOT_SUPPORTED)
REFUSED(cublasZcopy_v2, NOT_SUPPORTED)
REFUSED(cublasZdotc_v2, NOT_SUPPORTED)
REFUSED(cublasZdotu_v2, NOT_SUPPORTED)
REFUSED(cublasZdrot_v2, NOT_SUPPORTED)
REFUSED(cublasZdscal_v2, NOT_SUPPORTED)
REFUSED(cublasZgelsBatched, NOT_SUPPORTED)
REFUSED(cublasZgemmBatched, NOT_SUPPORTED)
REFUSED(cublasZgemv_v2, NOT_SUPPORTED)
REFUSED(cublasZgeqrfBatched, NOT_SUPPORTED)
REFUSED(cublasZgerc_v2, NOT_SUPPORTED)
REFUSED(cublasZgeru_v2, NOT_SUPPORTED)
REFUSED(cublasZgetrfBatched, NOT_SUPPORTED)
REFUSED(cublasZgetrsBatched, NOT_SUPPORTED)
REFUSED(cublasZhemm_v2, NOT_SUPPORTED)
REFUSED(cublasZhemv_v2, NOT_SUPPORTED)
REFUSED(cublasZher2_v2, NOT_SUPPORTED)
REFUSED(cublasZher2k_v2, NOT_SUPPORTED)
REFUSED(cublasZher_v2, NOT_SUPPORTED)
REFUSED(cublasZherk_v2, NOT_SUPPORTED)
REFUSED(cublasZrot_v2, NOT_SUPPORTED)
REFUSED(cublasZrotg_v2, NOT_SUPPORTED)
REFUSED(cublasZscal_v2, NOT_SUPPORTED)
REFUSED(cublasZswap_v2, NOT_SUPPORTED)
REFUSED(cublasZsymm_v2, NOT_SUPPORTED)
REFUSED(cublasZsymv_v2, NOT_SUPPORTED)
REFUSED(cublasZsyr2_v2, NOT_SUPPORTED)
REFUSED(cublasZsyr2k_v2, NOT_SUPPORTED)
REFUSED(cublasZsyr_v2, NOT_SUPPORTED)
REFUSED(cublasZsyrk_v2, NOT_SUPPORTED)
REFUSED(cublasZtrmm_v2, NOT_SUPPORTED)
REFUSED(cublasZtrmv_v2, NOT_SUPPORTED)
REFUSED(cublasZtrsmBatched, NOT_SUPPORTED)
REFUSED(cublasZtrsm_v2, NOT_SUPPORTED)
REFUSED(cublasZtrsv_v2, NOT_SUPPORTED)
