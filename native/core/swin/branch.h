// What the two branches of a block have in common: how their backward passes are cut into chunks,
// and which tensors they may work in.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "swin/unit.h"

namespace localformer {

// What a branch gives: itself, or the residual sum.
enum class Result { kBranch, kSum };

// Is what is cheap to compute again kept? Not where there will be no backward pass.
bool KeepsCheap(const ForwardContext& context);

// Rows that a backward pass takes at a time of so many, where one takes `row_bytes` meanwhile.
int64_t ChunkRows(c10::Device device, int64_t rows, int64_t row_bytes);

// May its values be overwritten, because nothing else sees them?
bool IsOwn(const at::Tensor& t);

// The same in `type`; on a card in one launch for all of them.
std::vector<at::Tensor> CastAll(std::vector<at::Tensor> tensors, c10::ScalarType type);

// Where a branch's backward pass writes the gradient of its input: `gradient` itself, the
// residual's, where it is a sum's and nobody else's; else a copy of it, or zeros.
at::Tensor InputGradientFrom(const at::Tensor& gradient, const at::Tensor& x, Result result);

// What a residual branch is multiplied with, [samples] as the kernels take it; undefined: 1.
at::Tensor ScaleBySample(const at::Tensor& scale, const at::Tensor& x);

}  // namespace localformer
