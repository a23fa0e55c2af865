// See model.h.
#include "swin/model.h"

#include <ATen/CPUGeneratorImpl.h>

#include <algorithm>
#include <numeric>
#include <string>

#include "coded_error.h"
#include "swin/block.h"
#include "swin/embedding.h"

namespace localformer {
namespace {

void CheckStage(const SwinOptions& o, size_t stage, int64_t grid) {
  const std::string where = " in stage " + std::to_string(stage + 1);
  const int64_t channels = o.embed_dim << stage;
  if (channels % o.heads[stage] != 0) {
    throw CodedError("ERR_CONFIG",
                     "Expected a number of heads that divides the width for `heads`"
                     " but received " +
                         std::to_string(o.heads[stage]) + " heads for width " +
                         std::to_string(channels) + where);
  }
  const int64_t window = std::min(o.window_size, grid);
  if (grid % window != 0) {
    throw CodedError("ERR_CONFIG",
                     "Expected a window that divides the feature map for"
                     " `windowSize` but received window " +
                         std::to_string(o.window_size) + " for a map of " + std::to_string(grid) +
                         " x " + std::to_string(grid) + where,
                     "224 px goes with window 7, 96 px with 6, 32 px with 4, at patch 4.");
  }
}

// Every size that the constructor divides, checked before anything is allocated.
void CheckOptions(const SwinOptions& o) {
  if (o.depths.empty() || o.depths.size() != o.heads.size()) {
    throw CodedError("ERR_CONFIG",
                     "Expected one entry a stage for `depths` and `heads` but"
                     " received " +
                         std::to_string(o.depths.size()) + " depths and " +
                         std::to_string(o.heads.size()) + " heads");
  }
  if (o.image_size % o.patch_size != 0) {
    throw CodedError("ERR_CONFIG",
                     "Expected a multiple of the patch size " + std::to_string(o.patch_size) +
                         " for `imageSize` but received " + std::to_string(o.image_size));
  }
  int64_t grid = o.image_size / o.patch_size;
  for (size_t stage = 0; stage < o.depths.size(); ++stage) {
    if (stage > 0) {
      if (grid % 2 != 0) {
        throw CodedError("ERR_CONFIG", "Expected an image size that halves " +
                                           std::to_string(o.depths.size() - 1) +
                                           " times after the patch embedding"
                                           " for `imageSize` but received " +
                                           std::to_string(o.image_size) +
                                           ": the map before stage " + std::to_string(stage + 1) +
                                           " is " + std::to_string(grid) + " wide");
      }
      grid /= 2;
    }
    CheckStage(o, stage, grid);
  }
}

}  // namespace

SwinModel::SwinModel(const SwinOptions& options) : options_(options) {
  CheckOptions(options);
  at::Generator generator = at::detail::createCPUGenerator(options.seed);
  units_.push_back(std::make_unique<PatchEmbedding>(options.image_size, options.patch_size,
                                                    options.embed_dim, generator));
  const int64_t blocks = std::accumulate(options.depths.begin(), options.depths.end(), int64_t{0});
  int64_t block = 0;
  for (size_t stage = 0; stage < options.depths.size(); ++stage) {
    const std::string layer = "layers." + std::to_string(stage);
    if (stage > 0) {
      units_.push_back(std::make_unique<PatchMerging>(layer + ".downsample",
                                                      units_.back()->output(), generator));
    }
    for (int64_t depth = 0; depth < options.depths[stage]; ++depth, ++block) {
      BlockOptions b;
      b.heads = options.heads[stage];
      b.window = options.window_size;
      b.shifted = depth % 2 == 1;
      b.mlp_ratio = options.mlp_ratio;
      b.drop_path = blocks > 1 ? options.drop_path_rate * static_cast<double>(block) /
                                     static_cast<double>(blocks - 1)
                               : 0.0;
      units_.push_back(std::make_unique<SwinBlock>(layer + ".blocks." + std::to_string(depth),
                                                   units_.back()->output(), b, generator));
    }
    stage_ends_.push_back(units_.size());
  }
  units_.push_back(
      std::make_unique<Classifier>(units_.back()->output(), options.classes, generator));
  stage_ends_.back() = units_.size();
  for (const auto& unit : units_) {
    for (auto& parameter : unit->Parameters()) parameters_.push_back(std::move(parameter));
  }
}

void SwinModel::To(c10::Device device) {
  MoveTo(device, parameters_);
  for (const auto& unit : units_) unit->MoveBuffers(device);
}

Segment SwinModel::Slice(size_t begin, size_t end) const {
  Segment segment;
  for (size_t i = begin; i < end; ++i) segment.push_back(units_[i].get());
  return segment;
}

at::Tensor SwinModel::Forward(const at::Tensor& images, const ForwardContext& context) const {
  return ForwardSegment(Slice(0, units_.size()), images, context);
}

}  // namespace localformer
