// Decoders: from a module's output back to the features that came into it.
// [B, H, W, C] -> [B, H * r, W * r, C_in], r = side of the input grid / side of the output grid.
#pragma once

#include <memory>
#include <string>

#include "swin/parameters.h"
#include "swin/unit.h"

namespace localformer {

class Decoder {
 public:
  virtual ~Decoder() = default;
  virtual at::Tensor Forward(const at::Tensor& features) const = 0;
  virtual ParameterList Parameters() const = 0;
};

struct DecoderOptions {
  std::string kind = "linear";  // linear | conv
  int64_t hidden = 48;          // Channels between the two convolutions of `conv`.
};

// `output` is what the module gives, `target` the shape of the features to reconstruct.
// Throws CodedError ERR_CONFIG for an unknown kind or a `hidden` that the norm cannot divide.
std::unique_ptr<Decoder> CreateDecoder(const DecoderOptions& options, const FeatureShape& output,
                                       const FeatureShape& target, at::Generator& generator);

}  // namespace localformer
