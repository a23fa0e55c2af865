// Decoder `infopro`: bilinear to the image's size, Conv3x3 to 12 channels, BatchNorm, ReLU, Conv3x3
// to the logits of the pixels (Wang et al., ICLR 2021; their code, networks/auxiliary_nets.py).
// [B, H, W, C] -> [B, side, side, 3]. Parameters `conv1.*`, `norm.*`, `conv2.*`.
#pragma once

#include "local/convolution.h"
#include "local/decoder.h"
#include "local/interpolation.h"

namespace localformer {

class InfoProDecoder : public Decoder {
 public:
  static constexpr int64_t kHidden = 12;

  // Throws CodedError ERR_CONFIG where the target is no image.
  InfoProDecoder(const DecoderOptions& options, const AuxiliarySite& site,
                 at::Generator& generator);
  // The norm takes the statistics of the samples that it is given and keeps none.
  bool needs_whole_batch() const override { return true; }
  at::Tensor Forward(const at::Tensor& features, const ForwardContext& context) const override;
  ParameterList Parameters() const override { return convolutions_.Parameters(); }
  void MoveBuffers(c10::Device device) override { interpolation_.MoveBuffers(device); }

 private:
  Interpolation interpolation_;
  ConvolutionPair convolutions_;
};

}  // namespace localformer
