// That native/nccl declares what NCCL's own header does: the numbers below came of compiling
// LibTorch 2.11's ProcessGroupNCCL.hpp with the headers of nvidia-nccl-cu13 2.28.9,
// nvidia-cublas 13.1.0.3, nvidia-cusolver 12.0.4.66 and nvidia-cusparse 12.6.3.3. A declaration
// that is wrong, or another LibTorch, fails to compile.
#pragma once

#include <cstddef>
#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>

namespace localformer {

static_assert(NCCL_VERSION_CODE == 22809 && HAS_NCCL_BF16_DATATYPE);
static_assert(sizeof(ncclUniqueId) == 128);
static_assert(sizeof(ncclResult_t) == 4 && sizeof(ncclDataType_t) == 4 && sizeof(ncclRedOp_t) == 4);
static_assert(ncclInProgress == 7 && ncclBfloat16 == 9 && ncclFloat8e5m2 == 11);

static_assert(sizeof(ncclConfig_t) == 80);
static_assert(offsetof(ncclConfig_t, blocking) == 16 && offsetof(ncclConfig_t, netName) == 32 &&
              offsetof(ncclConfig_t, commName) == 48 &&
              offsetof(ncclConfig_t, nvlinkCentricSched) == 76);

static_assert(sizeof(c10d::NCCLComm) == 216);
static_assert(sizeof(c10d::ProcessGroupNCCL) == 1112);
static_assert(sizeof(c10d::ProcessGroupNCCL::Options) == 248);
static_assert(sizeof(c10d::ProcessGroupNCCL::WorkNCCL) == 464);
static_assert(sizeof(c10d::ProcessGroupNCCL::Watchdog) == 200);
static_assert(sizeof(c10d::ProcessGroupNCCL::HeartbeatMonitor) == 160);

}  // namespace localformer
