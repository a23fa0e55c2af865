// Tensors whose values are with another rank: they have their shape and device, and no memory.
#pragma once

#include <ATen/core/Tensor.h>

namespace localformer {

// Frees its memory. Only ReadValues, WriteValues and the calls below may be given it then: the
// first two throw, nothing else looks.
void MakeAbsent(const at::Tensor& tensor);
bool IsAbsent(const at::Tensor& tensor);
// Gives it memory again, with no values in it. Throws c10::OutOfMemoryError.
void MakePresent(const at::Tensor& tensor);

// Throws CodedError ERR_DISTRIBUTED.
[[noreturn]] void ThrowAbsent();

}  // namespace localformer
