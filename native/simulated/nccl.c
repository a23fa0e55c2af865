// Stands for NCCL, libnccl.so.2: communicators come about and operations are counted, and nothing
// travels. No rank waits for another here. Of collectives sums are simulated, and what one rank
// sends to another.
#include <stdlib.h>
#include <string.h>

#include "simulated.h"

// ncclResult_t: 3 is an internal error, which PyTorch tells as it is.
enum { SYSTEM_ERROR = 2, NOT_SUPPORTED = 3, INVALID_ARGUMENT = 4 };
enum { NCCL_VERSION = 22809, UNIQUE_ID_BYTES = 128 };

typedef struct {
  char bytes[UNIQUE_ID_BYTES];
} unique_id;

typedef struct {
  int ranks, rank;
} communicator;

EXPORT sim_status ncclGetVersion(int* version) {
  *version = NCCL_VERSION;
  return SIM_OK;
}
EXPORT const char* ncclGetErrorString(sim_status status) {
  return status == SIM_OK ? "no error" : "simulated error";
}
EXPORT const char* ncclGetLastError(void* comm) {
  (void)comm;
  return "";
}
EXPORT sim_status ncclGetUniqueId(unique_id* out) {
  memset(out, 0, sizeof *out);
  return sim_enter("ncclGetUniqueId");
}

// --- communicators -------------------------------------------------------------------------------
static sim_status make(communicator** out, int ranks, int rank, const char* name) {
  *out = NULL;
  const sim_status asked = sim_enter(name);
  if (asked != SIM_OK) return asked;
  if (rank < 0 || rank >= ranks) return INVALID_ARGUMENT;
  communicator* made = malloc(sizeof *made);
  if (made == NULL) return SYSTEM_ERROR;
  *made = (communicator){ranks, rank};
  *out = made;
  return SIM_OK;
}
EXPORT sim_status ncclCommInitRank(communicator** out, int ranks, unique_id id, int rank) {
  (void)id;
  return make(out, ranks, rank, "ncclCommInitRank");
}
EXPORT sim_status ncclCommInitRankConfig(communicator** out, int ranks, unique_id id, int rank,
                                         void* config) {
  (void)id, (void)config;
  return make(out, ranks, rank, "ncclCommInitRankConfig");
}
EXPORT sim_status ncclCommCount(const communicator* comm, int* count) {
  *count = comm->ranks;
  return SIM_OK;
}
EXPORT sim_status ncclCommUserRank(const communicator* comm, int* rank) {
  *rank = comm->rank;
  return SIM_OK;
}
EXPORT sim_status ncclCommGetAsyncError(communicator* comm, sim_status* error) {
  (void)comm;
  *error = sim_enter("ncclCommGetAsyncError");
  return SIM_OK;
}
NO_OUTPUTS(ncclCommFinalize, "ncclComm_t comm")
EXPORT sim_status ncclCommDestroy(communicator* comm) {
  free(comm);
  return SIM_OK;
}
// What its operations held up goes on.
EXPORT sim_status ncclCommAbort(communicator* comm) {
  free(comm);
  sim_stall(false);
  return SIM_OK;
}

// --- operations ----------------------------------------------------------------------------------
NO_OUTPUTS(ncclGroupStart, "void")
NO_OUTPUTS(ncclGroupEnd, "void")

static size_t bytes_of(size_t count, int type) {
  // int8, uint8, int32, uint32, int64, uint64, half, float, double, bfloat16, two of float8.
  static const size_t sizes[] = {1, 1, 4, 4, 8, 8, 2, 4, 8, 2, 1, 1};
  return count * (type >= 0 && type < 12 ? sizes[type] : 0);
}

// NULL: nothing is read, or nothing written. Asked to give SIM_STALLS it is never done, as where
// the other rank is gone.
static sim_status travel(const void* from, void* to, size_t bytes, void* stream, const char* name) {
  const sim_status asked = sim_enter(name);
  if (asked == SIM_STALLS) {
    sim_stall(true);
  } else if (asked != SIM_OK) {
    return asked;
  }
  SIM_COUNT(collectives, 1);
  const bool reads_well = from == NULL || sim_copy_in_order(NULL, 0, from, bytes, stream);
  const bool writes_well = to == NULL || sim_copy_in_order(to, bytes, NULL, 0, stream);
  return reads_well && writes_well ? SIM_OK : INVALID_ARGUMENT;
}
EXPORT sim_status ncclAllReduce(const void* from, void* to, size_t count, int type, int operation,
                                communicator* comm, void* stream) {
  (void)operation, (void)comm;
  return travel(from, to, bytes_of(count, type), stream, "ncclAllReduce");
}
EXPORT sim_status ncclSend(const void* from, size_t count, int type, int peer, communicator* comm,
                           void* stream) {
  (void)peer, (void)comm;
  return travel(from, NULL, bytes_of(count, type), stream, "ncclSend");
}
EXPORT sim_status ncclRecv(void* to, size_t count, int type, int peer, communicator* comm,
                           void* stream) {
  (void)peer, (void)comm;
  return travel(NULL, to, bytes_of(count, type), stream, "ncclRecv");
}

// --- not simulated -------------------------------------------------------------------------------
REFUSED(ncclAllGather, NOT_SUPPORTED)
REFUSED(ncclAlltoAll, NOT_SUPPORTED)
REFUSED(ncclBcast, NOT_SUPPORTED)
REFUSED(ncclBroadcast, NOT_SUPPORTED)
REFUSED(ncclCommDeregister, NOT_SUPPORTED)
REFUSED(ncclCommInitAll, NOT_SUPPORTED)
REFUSED(ncclCommInitRankScalable, NOT_SUPPORTED)
REFUSED(ncclCommRegister, NOT_SUPPORTED)
REFUSED(ncclCommShrink, NOT_SUPPORTED)
REFUSED(ncclCommSplit, NOT_SUPPORTED)
REFUSED(ncclCommWindowDeregister, NOT_SUPPORTED)
REFUSED(ncclCommWindowRegister, NOT_SUPPORTED)
REFUSED(ncclDevCommCreate, NOT_SUPPORTED)
REFUSED(ncclDevCommDestroy, NOT_SUPPORTED)
REFUSED(ncclGroupSimulateEnd, NOT_SUPPORTED)
REFUSED(ncclMemAlloc, NOT_SUPPORTED)
REFUSED(ncclMemFree, NOT_SUPPORTED)
REFUSED(ncclRedOpCreatePreMulSum, NOT_SUPPORTED)
REFUSED(ncclRedOpDestroy, NOT_SUPPORTED)
REFUSED(ncclReduce, NOT_SUPPORTED)
REFUSED(ncclReduceScatter, NOT_SUPPORTED)
