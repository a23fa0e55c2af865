// The auxiliary head of a module: class logits from the module's output (METHOD: head `linear`).
#pragma once

#include "swin/parameters.h"
#include "swin/unit.h"

namespace localformer {

// LayerNorm, mean over tokens, linear: [B, H, W, C] -> [B, classes].
class LinearHead {
 public:
  LinearHead(const FeatureShape& input, int64_t classes, at::Generator& generator);
  at::Tensor Forward(const at::Tensor& features) const;
  // Names `norm.*` and `fc.*`.
  ParameterList Parameters() const;

 private:
  LayerNorm norm_;
  Linear fc_;
};

}  // namespace localformer
