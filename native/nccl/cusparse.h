// See nccl.h: what ATen/cuda/CUDAContext.h names of cuSPARSE.
#pragma once

using cusparseHandle_t = struct cusparseContext*;
enum cusparseStatus_t : int;
