// See nccl.h: what ATen/cuda/Exceptions.h names of cuSOLVER.
#pragma once

enum cusolverStatus_t : int;
