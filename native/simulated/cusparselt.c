// Stands for cuSPARSELt, libcusparseLt.so.0: nothing of it is simulated.
#include "simulated.h"

enum { NOT_SUPPORTED = 10 };

REFUSED(cusparseLtDenseDescriptorInit, NOT_SUPPORTED)
REFUSED(cusparseLtInit, NOT_SUPPORTED)
REFUSED(cusparseLtMatDescriptorDestroy, NOT_SUPPORTED)
REFUSED(cusparseLtMatmul, NOT_SUPPORTED)
REFUSED(cusparseLtMatmulAlgGetAttribute, NOT_SUPPORTED)
REFUSED(cusparseLtMatmulAlgSelectionInit, NOT_SUPPORTED)
REFUSED(cusparseLtMatmulAlgSetAttribute, NOT_SUPPORTED)
REFUSED(cusparseLtMatmulDescSetAttribute, NOT_SUPPORTED)
REFUSED(cusparseLtMatmulDescriptorInit, NOT_SUPPORTED)
REFUSED(cusparseLtMatmulGetWorkspace, NOT_SUPPORTED)
REFUSED(cusparseLtMatmulPlanDestroy, NOT_SUPPORTED)
REFUSED(cusparseLtMatmulPlanInit, NOT_SUPPORTED)
REFUSED(cusparseLtMatmulSearch, NOT_SUPPORTED)
REFUSED(cusparseLtSpMMACompress2, NOT_SUPPORTED)
REFUSED(cusparseLtSpMMACompressedSize2, NOT_SUPPORTED)
REFUSED(cusparseLtStructuredDescriptorInit, NOT_SUPPORTED)
