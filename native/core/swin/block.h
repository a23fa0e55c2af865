// The Swin block: x + drop_path(attention(norm(x))), then x + drop_path(mlp(norm(x))).
#pragma once

#include <optional>

#include "swin/attention.h"
#include "swin/mlp.h"
#include "swin/unit.h"

namespace localformer {

struct BlockOptions {
  int64_t heads = 1;
  int64_t window = 7;    // Side of a window; shrinks to the map where the map is smaller.
  bool shifted = false;  // Ignored where one window covers the map.
  double mlp_ratio = 4.0;
  double drop_path = 0.0;  // Probability that a sample skips a residual branch, in [0, 1).
};

class SwinBlock : public Unit {
 public:
  SwinBlock(std::string name, FeatureShape shape, const BlockOptions& options,
            at::Generator& generator);

  at::Tensor Forward(const at::Tensor& x, const ForwardContext& context) const override;
  ParameterList Parameters() const override;
  double drop_path() const override { return drop_path_; }
  at::Tensor PositionBias() const override { return attention_.PositionBias(); }
  void MoveBuffers(c10::Device device) override { attention_.MoveBuffers(device); }
  int64_t position_bias_values() const { return attention_.weights_per_window(); }
  // Attention weights for each value of the block's input.
  double WeightsPerValue() const;

 private:
  // What stochastic depth multiplies the n-th residual branch with, [B, 1, 1, 1]; none: 1.
  std::optional<at::Tensor> DrawScale(const at::Tensor& x, const ForwardContext& context,
                                      int64_t branch) const;
  // x + scale * branch, where what the branch adds is measured.
  at::Tensor AddMeasured(const at::Tensor& x, const at::Tensor& branch,
                         const std::optional<at::Tensor>& scale,
                         const ForwardContext& context) const;

  double drop_path_;
  AttentionBranch attention_;
  MlpBranch mlp_;
};

}  // namespace localformer
