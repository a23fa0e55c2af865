// The Swin blocks and patch mergings inside an auxiliary head or decoder, run one after the other.
// [B, H, W, C] -> the last unit's output, or the input where there is no unit.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "local/auxiliary_site.h"

namespace localformer {

class AuxiliaryUnits {
 public:
  explicit AuxiliaryUnits(const FeatureShape& input) : output_(input) {}
  // `blocks.0`, `blocks.1`, ... of the network's stage, alternately unshifted and shifted.
  static AuxiliaryUnits Blocks(const FeatureShape& input, const BlockOptions& stage, int64_t depth,
                               at::Generator& generator);

  void AddMerging(const std::string& name, at::Generator& generator);
  // A block as the network builds them in `stage`, but without stochastic depth.
  void AddBlock(const std::string& name, BlockOptions stage, bool shifted,
                at::Generator& generator);

  const FeatureShape& output() const { return output_; }

  // Draws no random numbers, and leaves the context's residual energy to the network's own blocks.
  at::Tensor Forward(const at::Tensor& x, const ForwardContext& context) const;
  // The units' parameters, each unit's name in front.
  ParameterList Parameters() const;
  void MoveBuffers(c10::Device device);

 private:
  void Add(std::unique_ptr<Unit> unit);

  FeatureShape output_;
  std::vector<std::unique_ptr<Unit>> units_;
};

}  // namespace localformer
