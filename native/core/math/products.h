// Matrix products of linear layers, without autograd's bookkeeping: what a layer computes forward
// and what its two gradients are. Which library computes them is decided here and nowhere else.
#pragma once

#include <ATen/core/Tensor.h>

namespace localformer {

// x weight^T + bias. x: [..., in], weight: [out, in], bias: [out] or undefined, all of one type ->
// [..., out].
at::Tensor LinearProduct(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias);

// The gradient of x: dy [rows, out], weight [out, in], of one type -> [rows, in].
at::Tensor InputGradient(const at::Tensor& dy, const at::Tensor& weight);

// The gradient of the weight: dy [rows, out], x [rows, in], of one type -> [out, in] of that type.
at::Tensor WeightGradient(const at::Tensor& dy, const at::Tensor& x);

// The same, added to a `sum` [out, in] of float32 (float64 for float64); an undefined one becomes
// it.
void AddWeightGradient(at::Tensor& sum, const at::Tensor& dy, const at::Tensor& x);

// The gradient of x, added to a `sum` [rows, in] of float32; by the default backend where it adds
// in place.
void AddInputGradient(at::Tensor& sum, const at::Tensor& dy, const at::Tensor& weight);

// LinearProduct for autograd: the gradients are InputGradient's and WeightGradient's, the bias's a
// sum over the rows. Keeps x and the weight, as at::linear does.
at::Tensor LinearMap(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias);

}  // namespace localformer
