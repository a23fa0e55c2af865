// A unit: the smallest piece of the network between which it can be cut (patch embedding, a block,
// a patch merging, the classifier). Features between units are [B, H, W, C].
#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>

#include <atomic>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "memory/offloaded_tensors.h"
#include "swin/kept_bytes.h"
#include "swin/parameters.h"

namespace localformer {

// Shape of the features between two units, without the batch.
struct FeatureShape {
  int64_t height = 0;
  int64_t width = 0;
  int64_t channels = 0;

  int64_t tokens() const { return height * width; }
  int64_t values() const { return tokens() * channels; }
};

class DepthCoins;
class PositionBiases;

// What a forward pass needs beside its input.
struct ForwardContext {
  // Only while training anything is drawn, from this generator.
  bool training = false;
  at::Generator* generator = nullptr;
  // What stochastic depth has drawn for the batch; null: it is off.
  const DepthCoins* coins = nullptr;
  // What matrix products and convolutions run in: float32, or bfloat16 with float32 weights,
  // residual stream, normalisation and losses (the rules of PyTorch's CUDA autocast).
  c10::ScalarType compute_type = c10::ScalarType::Float;
  // False: what is cheap to compute again inside a block (swin/branch.h) is not kept for the
  // backward pass.
  bool keep_cheap = true;
  // False: the gradients alone are wanted, as where a unit is computed again for its backward pass.
  // What none of them depends on may then be left out, and the result has its shape but no values.
  bool needs_result = true;
  // The blocks' position biases, where they were computed beforehand; null: each computes its own.
  const PositionBiases* position_biases = nullptr;
  // May a backward pass work in the gradient that it is given, though it is a part of another
  // tensor? Nobody else may then look at it, which a residual sum's branches know to be so.
  bool owns_gradient = false;
  // Where the branches book what they keep; null: their backward passes take their chunks by share.
  std::shared_ptr<KeptBytes> kept;
  // Set from another thread to abandon the work at the next unit; may be null.
  const std::atomic<bool>* cancelled = nullptr;
  // Where the input holds only some samples of a batch: the first one's index, and how many the
  // batch has (0: the input is the batch). Random numbers are drawn for the whole batch, so that a
  // sample meets the same ones whatever the chunks.
  int64_t first_sample = 0;
  int64_t batch_size = 0;
  // Where not null, every residual branch appends the mean square of what it adds to the features.
  std::vector<at::Tensor>* residual_energy = nullptr;

  void ThrowIfCancelled() const;
};

// Thrown where a unit of work was abandoned because its environment is going away.
struct Cancelled : std::runtime_error {
  Cancelled() : std::runtime_error("the work was cancelled") {}
};

class Unit {
 public:
  Unit(std::string name, FeatureShape input, FeatureShape output)
      : name_(std::move(name)), input_(input), output_(output) {}
  virtual ~Unit() = default;
  Unit(const Unit&) = delete;
  Unit& operator=(const Unit&) = delete;

  virtual at::Tensor Forward(const at::Tensor& x, const ForwardContext& context) const = 0;

  // Parameters with timm's full names, in timm's order.
  virtual ParameterList Parameters() const = 0;

  // Probability with which training drops each of its residual branches for a sample.
  static constexpr int64_t kBranches = 2;
  virtual double drop_path() const { return 0.0; }

  // Of a block, what its attention adds by relative position, [heads, tokens, tokens]: the same for
  // all samples. Undefined for others.
  virtual at::Tensor PositionBias() const { return {}; }

  // Moves what is no parameter (indices, masks) to a device.
  virtual void MoveBuffers(c10::Device) {}

  const std::string& name() const { return name_; }
  const FeatureShape& input() const { return input_; }
  // The classifier's output is [B, classes]: height and width are then 0.
  const FeatureShape& output() const { return output_; }

  // Its parameters, where they wait on the host while nobody uses them; else none.
  const std::shared_ptr<OffloadedTensors>& offloaded() const { return offloaded_; }
  // While the claim is kept they do.
  std::shared_ptr<void> OffloadParameters(const std::shared_ptr<CopyStream>& copies);

  // Has another rank its weights (memory/absent_tensors.h)?
  bool is_absent() const { return is_absent_; }
  void SetAbsent(bool is_absent) { is_absent_ = is_absent; }

 private:
  std::string name_;
  FeatureShape input_;
  FeatureShape output_;
  std::shared_ptr<OffloadedTensors> offloaded_;
  bool is_absent_ = false;
};

// What a unit is.
struct UnitDescription {
  std::string name;
  int64_t parameter_count = 0;
  std::vector<int64_t> output_shape;  // Without the batch: height, width, channels; or classes.

  template <typename Self, typename Visit>
  static void Fields(Self& self, Visit&& visit) {
    visit("name", self.name);
    visit("parameterCount", self.parameter_count);
    visit("outputShape", self.output_shape);
  }
};

UnitDescription Describe(const Unit& unit);

using Segment = std::vector<const Unit*>;

// Begins to bring the segment's parameters to the device, where they stay in use. Throws CodedError
// ERR_DISTRIBUTED where another rank has them.
TensorsInUse UseParameters(const Segment& segment);

// Runs the units of a segment one after the other. Where gradients are recorded, cancellation is
// looked at between the units of the backward pass too.
at::Tensor ForwardSegment(const Segment& segment, at::Tensor x, const ForwardContext& context);

}  // namespace localformer
