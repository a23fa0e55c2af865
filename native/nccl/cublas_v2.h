// See nccl.h: what ATen/cuda/CUDAContext.h names of cuBLAS.
#pragma once

using cublasHandle_t = struct cublasContext*;
enum cublasStatus_t : int;
