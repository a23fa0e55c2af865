// Stands for cuFile, libcufile.so.0: nothing of it is simulated.
#include "simulated.h"

enum { NOT_SUPPORTED = 1 };

REFUSED(cuFileBufDeregister, NOT_SUPPORTED)
REFUSED(cuFileBufRegister, NOT_SUPPORTED)
REFUSED(cuFileHandleDeregister, NOT_SUPPORTED)
REFUSED(cuFileHandleRegister, NOT_SUPPORTED)
REFUSED(cuFileRead, NOT_SUPPORTED)
REFUSED(cuFileWrite, NOT_SUPPORTED)
