// Stands for NVRTC, libnvrtc.so.13: nothing of it is simulated.
#include "simulated.h"

enum { NOT_SUPPORTED = 5 };

REFUSED(nvrtcAddNameExpression, NOT_SUPPORTED)
REFUSED(nvrtcCompileProgram, NOT_SUPPORTED)
REFUSED(nvrtcCreateProgram, NOT_SUPPORTED)
REFUSED(nvrtcDestroyProgram, NOT_SUPPORTED)
REFUSED(nvrtcGetCUBIN, NOT_SUPPORTED)
REFUSED(nvrtcGetCUBINSize, NOT_SUPPORTED)
REFUSED_TEXT(nvrtcGetErrorString)
REFUSED(nvrtcGetLoweredName, NOT_SUPPORTED)
REFUSED(nvrtcGetPTX, NOT_SUPPORTED)
REFUSED(nvrtcGetPTXSize, NOT_SUPPORTED)
REFUSED(nvrtcGetProgramLog, NOT_SUPPORTED)
REFUSED(nvrtcGetProgramLogSize, NOT_SUPPORTED)
REFUSED(nvrtcVersion, NOT_SUPPORTED)
