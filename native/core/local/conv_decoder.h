// Decoder `conv`: bilinear to the input grid, Conv3x3 to `hidden`, norm, ReLU, Conv3x3 to C_in.
// Parameters `conv1.*`, `norm.*`, `conv2.*`.
#pragma once

#include "local/decoder.h"

namespace localformer {

class ConvDecoder : public Decoder {
 public:
  // The norm is a group norm of this many groups: it has no batch statistics, so that a batch taken
  // in chunks gives what the whole batch gives.
  static constexpr int64_t kGroups = 8;

  ConvDecoder(const FeatureShape& output, const FeatureShape& target, int64_t hidden,
              at::Generator& generator);
  at::Tensor Forward(const at::Tensor& features) const override;
  ParameterList Parameters() const override;

 private:
  int64_t height_;
  int64_t width_;
  Linear conv1_;  // weight: [hidden, C, 3, 3]
  LayerNorm norm_;
  Linear conv2_;  // weight: [C_in, hidden, 3, 3]
};

}  // namespace localformer
