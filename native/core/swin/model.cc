// See model.h.
#include "swin/model.h"

#include <ATen/CPUGeneratorImpl.h>

#include <algorithm>
#include <numeric>
#include <string>

#include "coded_error.h"
#include "swin/embedding.h"

namespace localformer {
namespace {

// Every size, and every division that the constructor makes. The facade tells in detail what is
// wrong (lib/local/swin-transformer.ts, checkSizes); this keeps the core safe by itself.
bool SizesDivide(const SwinOptions& o) {
  if (o.depths.empty() || o.depths.size() != o.heads.size()) return false;
  // Far above any network, and small enough that no product of sizes overflows.
  constexpr size_t kMostStages = 16;
  constexpr int64_t kMost = int64_t{1} << 20;
  const auto positive = [](int64_t value) { return value > 0 && value <= kMost; };
  if (o.depths.size() > kMostStages || !(o.mlp_ratio > 0.0 && o.mlp_ratio <= 1024.0) ||
      !(o.drop_path_rate >= 0.0 && o.drop_path_rate < 1.0)) {
    return false;
  }
  for (const int64_t size : {o.image_size, o.patch_size, o.window_size, o.embed_dim, o.classes}) {
    if (!positive(size)) return false;
  }
  if (!std::all_of(o.depths.begin(), o.depths.end(), positive)) return false;
  if (!std::all_of(o.heads.begin(), o.heads.end(), positive)) return false;
  if (o.image_size % o.patch_size != 0) return false;
  int64_t map = o.image_size / o.patch_size;
  for (size_t stage = 0; stage < o.depths.size(); ++stage) {
    if (stage > 0 && map % 2 != 0) return false;
    if (stage > 0) map /= 2;
    if ((o.embed_dim << stage) % o.heads[stage] != 0) return false;
    if (map > o.window_size && map % o.window_size != 0) return false;
  }
  return true;
}

}  // namespace

SwinModel::SwinModel(const SwinOptions& options) : options_(options) {
  if (!SizesDivide(options)) {
    throw CodedError("ERR_CONFIG", "The sizes of the network are out of range or do not divide");
  }
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
      BlockOptions b = StageBlock(stage);
      b.shifted = depth % 2 == 1;
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

BlockOptions SwinModel::StageBlock(size_t stage) const {
  BlockOptions block;
  block.heads = options_.heads[stage];
  block.window = options_.window_size;
  block.mlp_ratio = options_.mlp_ratio;
  return block;
}

void SwinModel::To(c10::Device device) {
  MoveTo(device, parameters_);
  for (const auto& unit : units_) unit->MoveBuffers(device);
}

TensorsInUse SwinModel::UseParameters() const {
  return localformer::UseParameters(Slice(0, units_.size()));
}

Segment SwinModel::Slice(size_t begin, size_t end) const {
  Segment segment;
  for (size_t i = begin; i < end; ++i) segment.push_back(units_[i].get());
  return segment;
}

at::Tensor SwinModel::Forward(const at::Tensor& images, const ForwardContext& context) const {
  return ForwardSegment(Slice(0, units_.size()), CutIntoPatches(images, options_.patch_size),
                        context);
}

}  // namespace localformer
