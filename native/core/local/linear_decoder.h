// Decoder `linear`. Parameters `proj.weight` [r * r * C_in, C], `proj.bias`.
#pragma once

#include "local/decoder.h"

namespace localformer {

class LinearDecoder : public Decoder {
 public:
  LinearDecoder(const FeatureShape& output, const FeatureShape& target, at::Generator& generator);
  at::Tensor Forward(const at::Tensor& features) const override;
  ParameterList Parameters() const override;

 private:
  int64_t scale_;
  int64_t channels_;
  Linear proj_;
};

}  // namespace localformer
