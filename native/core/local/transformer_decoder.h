// Decoder `transformer`: Swin blocks on the output grid, LayerNorm, then the expansion of `linear`.
// [B, H, W, C] -> [B, H * r, W * r, C_target]. Parameters `blocks.{i}.*`, `norm.*`, `proj.*`.
#pragma once

#include "local/auxiliary_units.h"
#include "local/linear_decoder.h"

namespace localformer {

class TransformerDecoder : public Decoder {
 public:
  // The target's side is a multiple of the output's.
  TransformerDecoder(const AuxiliarySite& site, int64_t depth, at::Generator& generator);
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
