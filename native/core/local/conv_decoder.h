// Decoder `conv`: bilinear to the target's grid, Conv3x3 to `hidden`, norm, ReLU, Conv3x3.
// [B, H, W, C] -> [B, H * r, W * r, C_target]. Parameters `conv1.*`, `norm.*`, `conv2.*`.
#pragma once

#include "local/convolution.h"
#include "local/decoder.h"
#include "local/interpolation.h"

namespace localformer {

class ConvDecoder : public Decoder {
 public:
  // The norm is a group norm of this many groups: it has no batch statistics, so that a batch taken
  // in chunks gives what the whole batch gives.
  static constexpr int64_t kGroups = 8;

  // Throws CodedError ERR_CONFIG for a `hidden` that the norm cannot divide.
  ConvDecoder(const DecoderOptions& options, const AuxiliarySite& site, at::Generator& generator);
  at::Tensor Forward(const at::Tensor& features, const ForwardContext& context) const override;
  ParameterList Parameters() const override { return convolutions_.Parameters(); }
  void MoveBuffers(c10::Device device) override { interpolation_.MoveBuffers(device); }

 private:
  Interpolation interpolation_;
  ConvolutionPair convolutions_;
};

}  // namespace localformer
