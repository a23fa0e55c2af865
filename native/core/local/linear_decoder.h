// Decoder `linear`: one linear map per token, then a pixel shuffle to the target's grid.
// [B, H, W, C] -> [B, H * r, W * r, C_target]. Parameters `proj.weight` [r * r * C_target, C],
// `proj.bias`.
#pragma once

#include "local/decoder.h"

namespace localformer {

class LinearDecoder : public Decoder {
 public:
  // Throws CodedError ERR_CONFIG where the target's side is no multiple of the output's.
  LinearDecoder(const DecoderOptions& options, const AuxiliarySite& site, at::Generator& generator);
  at::Tensor Forward(const at::Tensor& features, const ForwardContext& context) const override;
  ParameterList Parameters() const override;

 private:
  int64_t scale_;
  int64_t channels_;
  Linear proj_;
};

}  // namespace localformer
