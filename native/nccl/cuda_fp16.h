// See nccl.h: in place of CUDA's own, which includes a header of yet another wheel. Nothing of it
// is needed.
#pragma once
