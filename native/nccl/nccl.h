// What LibTorch's ProcessGroupNCCL.hpp names of NCCL, which no LibTorch brings and whose wheel is
// 187 MiB. Declarations alone, of version 2.28.9, with which LibTorch 2.11 was built: its feature
// macros decide what c10d's classes hold. Written anew; native/cuda/nccl_layout.h has what came of
// compiling with NCCL's own header.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>

// NCCL's header includes CUDA's bfloat16, and c10d sends that type where it sees it.
#define __CUDA_BF16_TYPES_EXIST__

#define NCCL_MAJOR 2
#define NCCL_MINOR 28
#define NCCL_PATCH 9
#define NCCL_VERSION(major, minor, patch) ((major)*10000 + (minor)*100 + (patch))
#define NCCL_VERSION_CODE NCCL_VERSION(NCCL_MAJOR, NCCL_MINOR, NCCL_PATCH)

#define NCCL_UNIQUE_ID_BYTES 128
#define NCCL_SPLIT_NOCOLOR (-1)

struct ncclComm;
using ncclComm_t = ncclComm*;

struct ncclUniqueId {
  char internal[NCCL_UNIQUE_ID_BYTES];
};

enum ncclResult_t {
  ncclSuccess,
  ncclUnhandledCudaError,
  ncclSystemError,
  ncclInternalError,
  ncclInvalidArgument,
  ncclInvalidUsage,
  ncclRemoteError,
  ncclInProgress,
};

enum ncclDataType_t {
  ncclInt8 = 0,
  ncclUint8,
  ncclInt32,
  ncclUint32,
  ncclInt64,
  ncclUint64,
  ncclHalf,
  ncclFloat,
  ncclDouble,
  ncclBfloat16,
  ncclFloat8e4m3,
  ncclFloat8e5m2,
};

enum ncclRedOp_t { ncclSum = 0 };

struct ncclConfig_t {
  size_t size;
  unsigned magic, version;
  int blocking, cgaClusterSize, minCTAs, maxCTAs;
  const char* netName;
  int splitShare, trafficClass;
  const char* commName;
  int collnetEnable, CTAPolicy, shrinkShare, nvlsCTAs, nChannelsPerNetPeer, nvlinkCentricSched;
};

// LibTorch fills the configuration of a group in itself; nothing here makes one.
#define NCCL_CONFIG_INITIALIZER \
  {}
// c10d asks whether it is there.
#define NCCL_SIM_INFO_INITIALIZER \
  {}

extern "C" ncclResult_t ncclRedOpDestroy(ncclRedOp_t operation, ncclComm_t communicator);
