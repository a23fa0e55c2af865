// See nccl.h: what ATen/cuda/CUDAContext.h names of cuSOLVER.
#pragma once

#include "cusolver_common.h"

using cusolverDnHandle_t = struct cusolverDnContext*;
