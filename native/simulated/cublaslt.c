// Stands for cuBLASLt, libcublasLt.so.13: products with an epilogue.
#include <stdlib.h>
#include <string.h>

#include "simulated.h"

enum { EXECUTION_FAILED = 13, NOT_INITIALISED = 1, COMPUTE_FAST_TF32 = 77 };

EXPORT size_t cublasLtGetVersion(void) { return 130100; }

// The one descriptor that matters: in what precision a product is computed.
EXPORT sim_status cublasLtMatmulDescCreate(int** out, int compute, int scale) {
  (void)scale;
  *out = sim_handle();
  if (*out == NULL) return NOT_INITIALISED;
  **out = compute;
  return SIM_OK;
}
EXPORT sim_status cublasLtMatmulDescDestroy(int* self) {
  free(self);
  return SIM_OK;
}
EXPORT sim_status cublasLtMatmulPreferenceCreate(void** out) {
  *out = sim_handle();
  return *out != NULL ? SIM_OK : NOT_INITIALISED;
}
EXPORT sim_status cublasLtMatmulPreferenceDestroy(void* self) {
  free(self);
  return SIM_OK;
}
EXPORT sim_status cublasLtMatrixLayoutCreate(void** out, int type, uint64_t rows, uint64_t columns,
                                             int64_t stride) {
  (void)type, (void)rows, (void)columns, (void)stride;
  *out = sim_handle();
  return *out != NULL ? SIM_OK : NOT_INITIALISED;
}
EXPORT sim_status cublasLtMatrixLayoutDestroy(void* self) {
  free(self);
  return SIM_OK;
}
NO_OUTPUTS(cublasLtMatmulDescSetAttribute, "matmulDesc, attr, const void *buf, size_t sizeInBytes")
NO_OUTPUTS(cublasLtMatmulPreferenceSetAttribute, "pref, attr, const void *buf, size_t sizeInBytes")
NO_OUTPUTS(cublasLtMatrixLayoutSetAttribute, "matLayout, attr, const void *buf, size_t sizeInBytes")

// cublasLtMatmulHeuristicResult_t. One algorithm, which needs no workspace: what torch hands over
// it takes beforehand, whatever the algorithm needs.
typedef struct {
  uint64_t algorithm[8];
  size_t workspace_bytes;
  int state;
  float waves;
  int reserved[4];
} heuristic_result;
EXPORT sim_status cublasLtMatmulAlgoGetHeuristic(void* self, void* operation, void* a, void* b,
                                                 void* c, void* d, void* preference, int wanted,
                                                 heuristic_result* results, int* found) {
  (void)self, (void)operation, (void)a, (void)b, (void)c, (void)d, (void)preference;
  *found = wanted > 0 ? 1 : 0;
  if (wanted > 0) memset(results, 0, sizeof *results);
  return SIM_OK;
}

EXPORT sim_status cublasLtMatmul(void* self, const int* operation, const void* alpha, const void* a,
                                 void* layout_a, const void* b, void* layout_b, const void* beta,
                                 const void* c, void* layout_c, void* d, void* layout_d,
                                 const void* algorithm, void* workspace, size_t workspace_bytes,
                                 void* stream) {
  (void)self, (void)alpha, (void)layout_a, (void)layout_b, (void)beta, (void)c, (void)layout_c,
      (void)layout_d, (void)algorithm, (void)workspace, (void)workspace_bytes;
  const sim_status asked = sim_enter("cublasLtMatmul");
  if (asked) return asked;
  SIM_COUNT(products, 1);
  if (*operation == COMPUTE_FAST_TF32) SIM_COUNT(tf32_products, 1);
  return sim_product_in_order(a, b, d, stream) ? SIM_OK : EXECUTION_FAILED;
}
