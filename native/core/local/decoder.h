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
  // Can it say what Forward, a mean squared error and its gradients come to without autograd, in
  // less memory?
  virtual bool learns_squares() const { return false; }
  // Then: the Euclidean norm of what it gives for these samples less the target, whose square over
  // the number of values is the mean squared error; `weight` times that error's gradient is added
  // to the parameters' and to that of the features.
  virtual at::Tensor LearnSquares(const at::Tensor&, const at::Tensor& /*target*/,
                                  double /*weight*/, at::Tensor& /*gradient*/,
                                  const ForwardContext&) const {
    return {};
  }
  // Does it keep about as much for its backward pass as a Swin block? Finer chunks are then worth
  // their time.
  virtual bool is_heavy() const { return false; }
  // Is what it gives for a sample decided by the other samples too? The batch is then neither taken
  // in chunks nor in micro-batches.
  virtual bool needs_whole_batch() const { return false; }
};

struct DecoderOptions {
  std::string kind = "linear";  // The words of the table in decoder.cc.
  int64_t hidden = 48;          // Channels between the two convolutions of `conv`.
  int64_t depth = 1;            // Swin blocks of `transformer`.

  template <typename Self, typename Visit>
  static void Fields(Self& self, Visit&& visit) {
    visit("kind", self.kind);
    visit("hidden", self.hidden);
    visit("depth", self.depth);
  }
};

// Throws CodedError ERR_CONFIG for an unknown kind, and for options that this kind cannot have.
std::unique_ptr<Decoder> CreateDecoder(const DecoderOptions& options, const AuxiliarySite& site,
                                       at::Generator& generator);

}  // namespace localformer
