// Auxiliary heads: class logits from a module's output. [B, H, W, C] -> [B, classes].
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "local/auxiliary_site.h"
#include "swin/parameters.h"

namespace localformer {

class Head {
 public:
  virtual ~Head() = default;
  virtual at::Tensor Forward(const at::Tensor& features, const ForwardContext& context) const = 0;
  virtual ParameterList Parameters() const = 0;
  // Moves what is no parameter (indices, masks) to a device.
  virtual void MoveBuffers(c10::Device) {}
  // Does it hold nothing as large as the features beside their gradient, where that is worth its
  // calls?
  virtual bool pools_in_parts() const { return false; }
  // Does it keep about as much for its backward pass as a Swin block? Finer chunks are then worth
  // their time.
  virtual bool is_heavy() const { return false; }
};

struct HeadOptions {
  std::string kind = "linear";    // The words of the table in head.cc.
  std::optional<int64_t> hidden;  // Width of `mlp`'s hidden layer; else that of the features.
  int64_t depth = 1;              // Swin blocks of `transformer`.

  template <typename Self, typename Visit>
  static void Fields(Self& self, Visit&& visit) {
    visit("kind", self.kind);
    visit("hidden", self.hidden);
    visit("depth", self.depth);
  }
};

// Throws CodedError ERR_CONFIG for an unknown kind, and for options that this kind cannot have.
std::unique_ptr<Head> CreateHead(const HeadOptions& options, const AuxiliarySite& site,
                                 at::Generator& generator);

}  // namespace localformer
