// Stands for cuRAND, libcurand.so.10: torch needs the library and names nothing of it.
#include "simulated.h"
