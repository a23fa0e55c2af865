// Stands for cuFFT, libcufft.so.12: nothing of it is simulated.
#include "simulated.h"

enum { NOT_SUPPORTED = 16 };

REFUSED(cufftCreate, NOT_SUPPORTED)
REFUSED(cufftDestroy, NOT_SUPPORTED)
REFUSED(cufftSetAutoAllocation, NOT_SUPPORTED)
REFUSED(cufftSetStream, NOT_SUPPORTED)
REFUSED(cufftSetWorkArea, NOT_SUPPORTED)
REFUSED(cufftXtExec, NOT_SUPPORTED)
REFUSED(cufftXtMakePlanMany, NOT_SUPPORTED)
