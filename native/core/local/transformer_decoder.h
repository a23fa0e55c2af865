// Decoder `transformer`: Swin blocks on the output grid, LayerNorm, then the expansion of `linear`.
// [B, H, W, C] -> [B, H * r, W * r, C_target]. Parameters `blocks.{i}.*`, `norm.*`, `proj.*`.
#pragma once

#include "local/auxiliary_units.h"
#include "local/linear_decoder.h"

namespace localformer {

class TransformerDecoder : public Decoder {
 public:
  // Throws CodedError ERR_CONFIG where the target's side is no multiple of the output's, or there
  // is no block.
  TransformerDecoder(const DecoderOptions& options, const AuxiliarySite& site,
                     at::Generator& generator);
  at::Tensor Forward(const at::Tensor& features, const ForwardContext& context) const override;
  ParameterList Parameters() const override;
  void MoveBuffers(c10::Device device) override { blocks_.MoveBuffers(device); }
  bool is_heavy() const override { return true; }

 private:
  AuxiliaryUnits blocks_;
  LayerNorm norm_;
  LinearDecoder expansion_;
};

}  // namespace localformer
