// Stands for CUPTI, libcupti.so.13: nothing of it is simulated.
#include "simulated.h"

enum { NOT_SUPPORTED = 15 };

REFUSED(cuptiActivityDisable, NOT_SUPPORTED)
REFUSED(cuptiActivityEnable, NOT_SUPPORTED)
REFUSED(cuptiActivityEnableCudaEventDeviceTimestamps, NOT_SUPPORTED)
REFUSED(cuptiActivityEnableDriverApi, NOT_SUPPORTED)
REFUSED(cuptiActivityEnableRuntimeApi, NOT_SUPPORTED)
REFUSED(cuptiActivityFlushAll, NOT_SUPPORTED)
REFUSED(cuptiActivityGetNextRecord, NOT_SUPPORTED)
REFUSED(cuptiActivityGetNumDroppedRecords, NOT_SUPPORTED)
REFUSED(cuptiActivityPopExternalCorrelationId, NOT_SUPPORTED)
REFUSED(cuptiActivityPushExternalCorrelationId, NOT_SUPPORTED)
REFUSED(cuptiActivityRegisterCallbacks, NOT_SUPPORTED)
REFUSED(cuptiActivityRegisterTimestampCallback, NOT_SUPPORTED)
REFUSED(cuptiActivitySetAttribute, NOT_SUPPORTED)
REFUSED(cuptiEnableCallback, NOT_SUPPORTED)
REFUSED(cuptiEnableDomain, NOT_SUPPORTED)
REFUSED(cuptiFinalize, NOT_SUPPORTED)
REFUSED(cuptiGetResultString, NOT_SUPPORTED)
REFUSED(cuptiGetVersion, NOT_SUPPORTED)
REFUSED(cuptiSubscribe, NOT_SUPPORTED)
REFUSED(cuptiUnsubscribe, NOT_SUPPORTED)
