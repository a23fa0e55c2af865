// What the losses of a local step compare with: a batch's labels, mixed as its images are, and how
// its pixels were normalised.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>
#include <vector>

#include "data/batch_input.h"

namespace localformer {

struct Supervision {
  at::Tensor labels;  // int64 [B]; of a mixed sample what counts as the right answer
  // What mixed samples are besides, int64 [B], and the share of `labels`, float [B]; else
  // undefined.
  at::Tensor other_labels;
  at::Tensor label_shares;
  at::Tensor
      patches;  // The normalised images cut into patches, for target `image`; else undefined.
  std::array<double, 3> mean{};  // Of the normalisation, by channel; pixels in [0, 1].
  std::array<double, 3> std{};

  Supervision Slice(int64_t begin, int64_t end) const;
  // Normalised patches of `patch` pixels a side -> pixels [B, H, W, 3], 0 to 1 where nothing is
  // off.
  at::Tensor Pixels(const at::Tensor& normalised, int64_t patch) const;
};

// Of a batch, without patches.
Supervision SupervisionOf(const BatchInput& batch, c10::Device device);

// int64 [count] on the device.
at::Tensor LabelTensor(const std::vector<int64_t>& labels, c10::Device device);

}  // namespace localformer
