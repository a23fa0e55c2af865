// The units that change the grid: patch embedding, patch merging, and the classifier at the end.
#pragma once

#include "swin/unit.h"

namespace localformer {

// [B, 3, H, W] -> [B, H/patch, W/patch, 3 * patch * patch]; inside a patch channel-major, as a
// convolution's weight is laid out. This is what the first unit takes.
at::Tensor CutIntoPatches(const at::Tensor& images, int64_t patch);

// The reverse, channels last: [B, h, w, 3 * patch * patch] -> [B, h * patch, w * patch, 3].
at::Tensor JoinPatches(const at::Tensor& patches, int64_t patch);

// [B, h, w, 3 * patch * patch] -> [B, h, w, C]. The convolution with stride = kernel = patch is
// taken as a linear map of the cut patches; its weight keeps timm's shape [C, 3, patch, patch].
class PatchEmbedding : public Unit {
 public:
  PatchEmbedding(int64_t image_size, int64_t patch, int64_t channels, at::Generator& generator);
  at::Tensor Forward(const at::Tensor& patches, const ForwardContext& context) const override;
  ParameterList Parameters() const override;

 private:
  Linear proj_;  // weight: [C, 3, patch, patch]
  LayerNorm norm_;
};

// [B, H, W, C] -> [B, H/2, W/2, 2C]: four neighbours side by side, norm, linear without bias.
class PatchMerging : public Unit {
 public:
  PatchMerging(std::string name, FeatureShape input, at::Generator& generator);
  at::Tensor Forward(const at::Tensor& x, const ForwardContext& context) const override;
  ParameterList Parameters() const override;

 private:
  LayerNorm norm_;
  Linear reduction_;
};

// [B, H, W, C] -> [B, classes]: norm, mean over tokens, linear. Names `norm` and `head.fc`.
class Classifier : public Unit {
 public:
  Classifier(FeatureShape input, int64_t classes, at::Generator& generator);
  at::Tensor Forward(const at::Tensor& x, const ForwardContext& context) const override;
  ParameterList Parameters() const override;

 private:
  LayerNorm norm_;
  Linear fc_;
};

}  // namespace localformer
