// Head `linear`: LayerNorm, mean over tokens, linear. [B, H, W, C] -> [B, classes].
// Parameters `norm.*`, `fc.*`.
#pragma once

#include "local/head.h"

namespace localformer {

class LinearHead : public Head {
 public:
  LinearHead(const HeadOptions& options, const AuxiliarySite& site, at::Generator& generator);
  LinearHead(int64_t channels, int64_t classes, at::Generator& generator);
  at::Tensor Forward(const at::Tensor& features, const ForwardContext& context) const override;
  // The same in one part, of features that are a part already.
  at::Tensor ForwardWhole(const at::Tensor& features, const ForwardContext& context) const;
  ParameterList Parameters() const override;
  bool pools_in_parts() const override { return true; }

 private:
  LayerNorm norm_;
  Linear fc_;
};

}  // namespace localformer
