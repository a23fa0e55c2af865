// Head `mlp`: LayerNorm, mean over tokens, linear to `hidden`, GELU, linear.
// [B, H, W, C] -> [B, classes]. Parameters `norm.*`, `hidden.*`, `fc.*`.
#pragma once

#include "local/head.h"

namespace localformer {

class MlpHead : public Head {
 public:
  // Throws CodedError ERR_CONFIG for a hidden layer without width.
  MlpHead(const HeadOptions& options, const AuxiliarySite& site, at::Generator& generator);
  at::Tensor Forward(const at::Tensor& features, const ForwardContext& context) const override;
  ParameterList Parameters() const override;
  bool pools_in_parts() const override { return true; }

 private:
  MlpHead(int64_t channels, int64_t hidden, int64_t classes, at::Generator& generator);

  LayerNorm norm_;
  Linear hidden_;
  Linear fc_;
};

}  // namespace localformer
