// Stands for NVSHMEM, libnvshmem_host.so.3: nothing of it is simulated.
#include "simulated.h"

enum { NOT_SUPPORTED = 1 };

REFUSED(nvshmem_free, NOT_SUPPORTED)
REFUSED(nvshmem_info_get_version, NOT_SUPPORTED)
REFUSED(nvshmem_init, NOT_SUPPORTED)
REFUSED_POINTER(nvshmem_malloc)
REFUSED_POINTER(nvshmem_ptr)
REFUSED(nvshmem_team_n_pes, NOT_SUPPORTED)
REFUSED(nvshmem_team_split_strided, NOT_SUPPORTED)
REFUSED(nvshmemid_hostlib_finalize, NOT_SUPPORTED)
REFUSED(nvshmemid_hostlib_init_attr, NOT_SUPPORTED)
REFUSED(nvshmemid_init_status, NOT_SUPPORTED)
REFUSED(nvshmemx_alltoallmem_on_stream, NOT_SUPPORTED)
REFUSED(nvshmemx_broadcastmem_on_stream, NOT_SUPPORTED)
REFUSED(nvshmemx_cumodule_init, NOT_SUPPORTED)
REFUSED(nvshmemx_get_uniqueid, NOT_SUPPORTED)
REFUSED(nvshmemx_getmem_on_stream, NOT_SUPPORTED)
REFUSED_POINTER(nvshmemx_mc_ptr)
REFUSED(nvshmemx_putmem_on_stream, NOT_SUPPORTED)
REFUSED(nvshmemx_putmem_signal_on_stream, NOT_SUPPORTED)
REFUSED(nvshmemx_set_attr_uniqueid_args, NOT_SUPPORTED)
REFUSED(nvshmemx_signal_wait_until_on_stream, NOT_SUPPORTED)
