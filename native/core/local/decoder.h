// Decoders: from a module's output back to the features that came into it, or to the image.
// [B, H, W, C] -> [B, H * r, W * r, C_target], r = side of the target / side of the output.
#pragma once

#include <memory>
#include <string>

#include "local/auxiliary_site.h"
#include "swin/parameters.h"

namespace localformer {

class Decoder {
 public:
  virtual ~Decoder() = default;
  // For an image the logits of its pixels, whose sigmoid lies in [0, 1].
  virtual at::Tensor Forward(const at::Tensor& features, const ForwardContext& context) const = 0;
  virtual ParameterList Parameters() const = 0;
  // Moves what is no parameter (indices, masks) to a device.
  virtual void MoveBuffers(c10::Device) {}
  // Does it keep about as much for its backward pass as a Swin block? Finer chunks are then worth
  // their time.
  virtual bool is_heavy() const { return false; }
};

struct DecoderOptions {
  std::string kind = "linear";  // linear | conv | transformer | infopro
  int64_t hidden = 48;          // Channels between the two convolutions of `conv`.
  int64_t depth = 1;            // Swin blocks of `transformer`.
};

// Throws CodedError ERR_CONFIG for an unknown kind or a `hidden` that the norm cannot divide.
std::unique_ptr<Decoder> CreateDecoder(const DecoderOptions& options, const AuxiliarySite& site,
                                       at::Generator& generator);

}  // namespace localformer
