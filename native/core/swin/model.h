// The Swin Transformer as an ordered list of units. It knows nothing of how it is trained.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "swin/block.h"
#include "swin/unit.h"

namespace localformer {

struct SwinOptions {
  int64_t image_size = 224;  // Side of the square input, pixels.
  int64_t patch_size = 4;
  int64_t window_size = 7;
  int64_t embed_dim = 96;
  std::vector<int64_t> depths = {2, 2, 6, 2};
  std::vector<int64_t> heads = {3, 6, 12, 24};
  double mlp_ratio = 4.0;
  double drop_path_rate = 0.0;  // Of the last block; grows linearly from 0 over the blocks.
  int64_t classes = 1000;
  uint64_t seed = 0;

  template <typename Self, typename Visit>
  static void Fields(Self& self, Visit&& visit) {
    visit("imageSize", self.image_size);
    visit("patchSize", self.patch_size);
    visit("windowSize", self.window_size);
    visit("embedDim", self.embed_dim);
    visit("depths", self.depths);
    visit("heads", self.heads);
    visit("mlpRatio", self.mlp_ratio);
    visit("dropPath", self.drop_path_rate);
    visit("classes", self.classes);
    visit("seed", self.seed);
  }
};

class SwinModel {
 public:
  // Throws CodedError ERR_CONFIG where sizes do not divide.
  explicit SwinModel(const SwinOptions& options);

  const SwinOptions& options() const { return options_; }
  const std::vector<std::unique_ptr<Unit>>& units() const { return units_; }
  // Units of a half-open range of indices.
  Segment Slice(size_t begin, size_t end) const;
  // Index behind the last unit of each stage; the last stage includes the classifier.
  const std::vector<size_t>& stage_ends() const { return stage_ends_; }

  // How blocks of a stage are built, without shift and stochastic depth.
  BlockOptions StageBlock(size_t stage) const;

  // All parameters with timm's names, in timm's order.
  const ParameterList& parameters() const { return parameters_; }

  void To(c10::Device device);

  // Begins to bring what parameters are offloaded to the device, where they stay in use.
  TensorsInUse UseParameters() const;

  // Logits [B, classes] of normalised images [B, 3, H, W].
  at::Tensor Forward(const at::Tensor& images, const ForwardContext& context) const;

 private:
  SwinOptions options_;
  std::vector<std::unique_ptr<Unit>> units_;
  std::vector<size_t> stage_ends_;
  ParameterList parameters_;
};

}  // namespace localformer
