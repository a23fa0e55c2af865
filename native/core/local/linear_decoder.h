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
  bool learns_squares() const override { return true; }
  at::Tensor LearnSquares(const at::Tensor& features, const at::Tensor& target, double weight,
                          at::Tensor& gradient, const ForwardContext& context) const override;

 private:
  // Of every token its target's tokens, channel-major as in PyTorch's pixel_shuffle: index = (c * r
  // + dy) * r + dx. [B, H, W, r * r * C_target] -> [B, H, r, W, r, C_target], a view.
  at::Tensor OnGrid(const at::Tensor& tokens) const;

  int64_t scale_;
  int64_t channels_;
  Linear proj_;
};

}  // namespace localformer
