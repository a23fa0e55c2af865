// See embedding.h.
#include "swin/embedding.h"

#include <ATen/ATen.h>

#include <cmath>

#include "swin/compute_type.h"
#include "swin/norm_linear.h"

namespace localformer {

at::Tensor CutIntoPatches(const at::Tensor& images, int64_t patch) {
  const int64_t b = images.size(0), c = images.size(1), h = images.size(2) / patch,
                w = images.size(3) / patch;
  return images.view({b, c, h, patch, w, patch})
      .permute({0, 2, 4, 1, 3, 5})
      .reshape({b, h, w, c * patch * patch});
}

at::Tensor JoinPatches(const at::Tensor& patches, int64_t patch) {
  const int64_t b = patches.size(0), h = patches.size(1), w = patches.size(2);
  return patches.reshape({b, h, w, 3, patch, patch})
      .permute({0, 1, 4, 2, 5, 3})
      .reshape({b, h * patch, w * patch, 3});
}

PatchEmbedding::PatchEmbedding(int64_t image_size, int64_t patch, int64_t channels,
                               at::Generator& generator)
    : Unit("patch_embed", {image_size / patch, image_size / patch, 3 * patch * patch},
           {image_size / patch, image_size / patch, channels}),
      norm_(LayerNorm::Create(channels)) {
  // PyTorch's default for a convolution: uniform within 1 / sqrt(fan_in), weight and bias.
  const double bound = 1.0 / std::sqrt(static_cast<double>(3 * patch * patch));
  proj_.weight = UniformParameter({channels, 3, patch, patch}, bound, generator);
  proj_.bias = UniformParameter({channels}, bound, generator);
}

at::Tensor PatchEmbedding::Forward(const at::Tensor& patches, const ForwardContext& context) const {
  return NormOfLinear(patches, {proj_.weight.flatten(1), proj_.bias}, norm_, context);
}

ParameterList PatchEmbedding::Parameters() const {
  ParameterList list;
  proj_.Collect("patch_embed.proj", &list);
  norm_.Collect("patch_embed.norm", &list);
  return list;
}

PatchMerging::PatchMerging(std::string name, FeatureShape input, at::Generator& generator)
    : Unit(std::move(name), input, {input.height / 2, input.width / 2, 2 * input.channels}),
      norm_(LayerNorm::Create(4 * input.channels)),
      reduction_(Linear::Create(4 * input.channels, 2 * input.channels, false, generator)) {}

at::Tensor PatchMerging::Forward(const at::Tensor& x, const ForwardContext& context) const {
  const int64_t b = x.size(0), h = x.size(1) / 2, w = x.size(2) / 2, c = x.size(3);
  // The order of the four neighbours is (0,0), (1,0), (0,1), (1,1): column parity before row
  // parity.
  const at::Tensor merged =
      x.view({b, h, 2, w, 2, c}).permute({0, 1, 3, 4, 2, 5}).reshape({b, h, w, 4 * c});
  return LinearOfNorm(merged, norm_, reduction_, context);
}

ParameterList PatchMerging::Parameters() const {
  ParameterList list;
  norm_.Collect(name() + ".norm", &list);
  reduction_.Collect(name() + ".reduction", &list);
  return list;
}

Classifier::Classifier(FeatureShape input, int64_t classes, at::Generator& generator)
    : Unit("classifier", input, {0, 0, classes}),
      norm_(LayerNorm::Create(input.channels)),
      fc_(Linear::Create(input.channels, classes, true, generator)) {}

at::Tensor Classifier::Forward(const at::Tensor& x, const ForwardContext& context) const {
  return fc_.Forward(norm_.Forward(x).mean({1, 2}), context.compute_type)
      .to(StreamType(context.compute_type));
}

ParameterList Classifier::Parameters() const {
  ParameterList list;
  norm_.Collect("norm", &list);
  fc_.Collect("head.fc", &list);
  return list;
}

}  // namespace localformer
