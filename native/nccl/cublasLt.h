// See nccl.h: what ATen/cuda/CUDAContext.h names of cuBLASLt.
#pragma once

using cublasLtHandle_t = struct cublasLtContext*;
