// What the two branches of a block have in common: what they keep for their backward passes, how
// much of what is free again a chunk of these may take, and which tensors they may work in.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/ivalue.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "swin/unit.h"

namespace torch::autograd {
struct AutogradContext;
}

namespace localformer {

// What a branch gives: itself, the residual sum, or in its place no values (NoValues).
enum class Result { kBranch, kSum, kNone };

// A result that nobody looks at: of that shape, in the room of one number.
at::Tensor NoValues(at::IntArrayRef shape, const at::TensorOptions& options);

// [B, H, W, C] -> [B, H * W, C], contiguous.
at::Tensor Maps(const at::Tensor& x);
// [..., C] -> [all rows, C], of a contiguous tensor.
at::Tensor Rows(const at::Tensor& t);

// What a branch keeps for its backward pass, beside its input and the norm's statistics; nothing
// where there will be none.
struct Keep {
  bool rows = false;   // What norms and GELU give.
  bool heads = false;  // Attention weights, and what the heads give.
  bool wide = false;   // What the branch's first product gives, three or four times the input.
};

Keep KeepOf(const ForwardContext& context, c10::Device device, int64_t channels);

int64_t BytesOf(const std::vector<at::Tensor>& tensors);

// Tensors inside a branch that its backward pass can let go of one by one, which it cannot with
// what save_for_backward keeps until the pass is over. Neither inputs nor results.
void KeepInside(torch::autograd::AutogradContext* ctx, std::vector<at::Tensor> tensors);
// What was kept, for the one backward pass; nobody else holds it then.
std::vector<at::Tensor> TakeInside(torch::autograd::AutogradContext* ctx);

// Books what a branch keeps, and its weights, for Room to tell in the backward pass.
c10::IValue Book(const std::shared_ptr<KeptBytes>& all, const std::vector<at::Tensor>& kept,
                 const std::vector<at::Tensor>& weights);
// Bytes that a chunk may take of those that the branches behind it have freed: a share of them,
// less the gradient of the map `x` itself.
int64_t Room(const c10::IValue& booked, const at::Tensor& x);

// May its values be overwritten, because nothing else sees them?
bool IsOwn(const at::Tensor& t);

// The same in `type`; on a card in one launch for all of them.
std::vector<at::Tensor> CastAll(std::vector<at::Tensor> tensors, c10::ScalarType type);

// Where a branch's backward pass writes the gradient of its input: `gradient` itself, the
// residual's, where it is a sum's and nobody else's, or may be taken (ForwardContext::
// owns_gradient); else a copy of it, or zeros.
at::Tensor InputGradientFrom(const at::Tensor& gradient, const at::Tensor& x, Result result,
                             bool owns_gradient);

// The same on its way out, in the sizes of `x`. On the CPU as no view, which would hold on to its
// base: nothing else has its memory then, and the branch before works in it (InputGradientFrom). On
// a card those long lives make holes between blocks (up to half as much more was reserved).
at::Tensor InputGradientTo(const at::Tensor& dx, const at::Tensor& x);

// What a residual branch is multiplied with, [samples] as the kernels take it; undefined: 1.
at::Tensor ScaleBySample(const at::Tensor& scale, const at::Tensor& x);

}  // namespace localformer
