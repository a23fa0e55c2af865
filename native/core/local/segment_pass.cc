// See segment_pass.h.
#include "local/segment_pass.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <c10/util/Exception.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <utility>

#include "swin/branch.h"
#include "swin/position_biases.h"
#include "train/added_together.h"
#include "train/backward.h"

namespace localformer {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Stands at the head of a backward pass and hands it the gradient. The engine holds the gradient
// that it is called with to the end; this one is let go by the first operation that has used it.
struct GradientSource : torch::autograd::Function<GradientSource> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& output, at::Tensor* gradient) {
    ctx->saved_data["gradient"] = std::move(*gradient);
    return at::empty({}, output.options());  // Nobody looks at it, nor at its gradient.
  }

  static variable_list backward(AutogradContext* ctx, const variable_list&) {
    at::Tensor gradient = std::move(ctx->saved_data["gradient"]).toTensor();
    ctx->saved_data.clear();
    return {std::move(gradient), at::Tensor()};
  }
};

// Gradients of <gradient, output> + weight * the sum of `energies`.
void BackwardWithEnergy(at::Tensor output, at::Tensor gradient,
                        const std::vector<at::Tensor>& energies, double weight) {
  const at::Tensor source = GradientSource::apply(std::exchange(output, {}), &gradient);
  if (energies.empty() || weight == 0.0) {
    Backward({source}, {at::empty_like(source)});
    return;
  }
  const at::Tensor energy = at::stack(energies).sum();
  Backward({source, energy}, {at::empty_like(source), at::full_like(energy, weight)});
}

// Autograd keeps what every operation needs.
class WholePass final : public SegmentPass {
 public:
  WholePass(const Segment& segment, at::Tensor input, const ForwardContext& context,
            const SegmentPassOptions& options)
      : SegmentPass(segment, input, context) {
    ForwardContext own = context_;
    own.keep_cheap = options.recompute == Recompute::kNone;
    own.kept = std::make_shared<KeptBytes>();
    if (options.measure_energy) own.residual_energy = &energies_;
    graph_ = ForwardSegment(segment, std::move(input), own);
    output_ = graph_.detach();
    if (!energies_.empty()) energy_.Add(1.0, at::stack(energies_).sum());
  }

  void Backward(at::Tensor gradient, double energy_weight) override {
    BackwardWithEnergy(std::exchange(graph_, {}), std::move(gradient), std::exchange(energies_, {}),
                       energy_weight);
  }

 private:
  at::Tensor graph_;
  std::vector<at::Tensor> energies_;  // One a residual branch.
};

// Keeps the input of each unit. Both ways a unit takes some samples at a time, so that what it
// holds inside is small beside the inputs. The last one, whose backward pass comes at once, is
// computed once where it takes all samples.
class RecomputedPass final : public SegmentPass {
 public:
  RecomputedPass(const Segment& segment, at::Tensor input, const ForwardContext& context,
                 const SegmentPassOptions& options)
      : SegmentPass(segment, input, context), options_(options) {
    c10::NoGradGuard no_grad;
    for (const Unit* unit : segment) {
      steps_.push_back(StepOf(*unit, std::move(input), steps_.size()));
      Step& step = steps_.back();
      const bool stays =
          steps_.size() == segment.size() && options.plan && step.backward == step.input.size(0);
      input = stays ? ForwardWithGraph(&step, /*is_first=*/segment.size() == 1) : Forward(step);
    }
    output_ = input;
  }

  void Backward(at::Tensor gradient, double energy_weight) override {
    for (; !steps_.empty(); steps_.pop_back()) {
      // Nobody asks for the gradient of what came into the segment.
      gradient = Backward(&steps_.back(), std::move(gradient), energy_weight,
                          /*is_first=*/steps_.size() == 1);
    }
  }

 private:
  // Samples [begin, end) of a step's input with the context in which the unit runs on them.
  struct Chunk {
    at::Tensor input;
    std::vector<at::Tensor> energies;
    ForwardContext context;
    double share;  // Of the batch.
  };

  struct Step {
    const Unit* unit;
    at::Tensor input;
    int64_t forward, backward;  // Samples at a time.
    // Where the unit is not computed again.
    std::unique_ptr<Chunk> chunk;
    at::Tensor graph;
  };

  Step StepOf(const Unit& unit, at::Tensor input, size_t index) const {
    const int64_t batch = input.size(0), values = input.numel();
    int64_t forward = batch, backward = batch;
    if (options_.plan) {
      forward = std::min(options_.plan->forward[index], batch);
      backward = std::min(options_.plan->backward[index], batch);
    } else if (options_.chunk_values > 0) {
      forward = std::clamp<int64_t>(options_.chunk_values * batch / values, 1, batch);
      backward = forward;
    }
    return {&unit, std::move(input), forward, backward, nullptr, {}};
  }

  std::unique_ptr<Chunk> Take(const Step& step, int64_t begin, int64_t end) const {
    context_.ThrowIfCancelled();
    const int64_t batch = step.input.size(0);
    auto chunk = std::make_unique<Chunk>();
    chunk->input = step.input.slice(0, begin, end).detach();
    chunk->share = static_cast<double>(end - begin) / static_cast<double>(batch);
    chunk->context = context_;
    chunk->context.keep_cheap = true;
    chunk->context.kept = KeptBytes::OfChunk();
    chunk->context.first_sample = context_.first_sample + begin;
    chunk->context.batch_size = context_.batch_size > 0 ? context_.batch_size : batch;
    if (options_.measure_energy) chunk->context.residual_energy = &chunk->energies;
    return chunk;
  }

  at::Tensor Forward(const Step& step) {
    const int64_t batch = step.input.size(0), size = step.forward;
    at::Tensor output;
    for (int64_t begin = 0; begin < batch; begin += size) {
      const int64_t end = std::min(begin + size, batch);
      const std::unique_ptr<Chunk> chunk = Take(step, begin, end);
      const at::Tensor part = step.unit->Forward(chunk->input, chunk->context);
      if (begin == 0) output = end == batch ? part : EmptyBatch(part, batch);
      if (size < batch) output.slice(0, begin, end).copy_(part);
      for (const at::Tensor& e : chunk->energies) energy_.Add(chunk->share, e);
    }
    return output;
  }

  // The same of all samples, with what the backward pass needs.
  at::Tensor ForwardWithGraph(Step* step, bool is_first) {
    step->chunk = Take(*step, 0, step->input.size(0));
    step->chunk->input.requires_grad_(!is_first);
    const at::AutoGradMode with_gradients(true);
    step->graph = step->unit->Forward(step->chunk->input, step->chunk->context);
    for (const at::Tensor& e : step->chunk->energies) energy_.Add(1.0, e.detach());
    return step->graph.detach();
  }

  // The leaves whose gradients a unit's backward pass adds to.
  std::vector<at::Tensor> AddedTo(const Unit& unit) const {
    std::vector<at::Tensor> leaves = TensorsOf(unit.Parameters());
    if (context_.position_biases != nullptr) leaves.push_back(context_.position_biases->Of(unit));
    return leaves;
  }

  // Returns the gradient of the step's input; chunk by chunk it takes the place of the output's, or
  // that of the input where a unit does not work in what it is given.
  at::Tensor Backward(Step* step, at::Tensor gradient, double energy_weight, bool is_first) const {
    const int64_t batch = step->input.size(0), size = step->backward;
    if (size == batch && options_.plan) {
      std::unique_ptr<Chunk> chunk = std::move(step->chunk);
      at::Tensor graph = std::move(step->graph);
      if (chunk == nullptr) {
        chunk = Take(*step, 0, batch);
        chunk->input.requires_grad_(!is_first);
        chunk->context.needs_result = false;
        graph = step->unit->Forward(chunk->input, chunk->context);
      }
      step->input.reset();
      AddedTogether sums(AddedTo(*step->unit));
      BackwardWithEnergy(std::move(graph), std::move(gradient), chunk->energies, energy_weight);
      sums.Add();
      return chunk->input.grad();
    }
    const std::vector<at::Tensor> added_to = AddedTo(*step->unit);
    const bool owns_gradient = IsOwn(gradient);
    bool is_in_place = false;
    for (int64_t begin = 0; begin < batch; begin += size) {
      const int64_t end = std::min(begin + size, batch);
      const std::unique_ptr<Chunk> chunk = Take(*step, begin, end);
      chunk->input.requires_grad_(!is_first);
      chunk->context.owns_gradient = owns_gradient;
      std::optional<AddedTogether> sums;
      if (options_.plan) sums.emplace(added_to);
      chunk->context.needs_result = false;
      BackwardWithEnergy(step->unit->Forward(chunk->input, chunk->context),
                         gradient.slice(0, begin, end), chunk->energies,
                         energy_weight * chunk->share);
      if (sums) sums->Add();
      if (is_first) continue;
      const bool is_own_place = chunk->input.grad().is_alias_of(gradient);
      TORCH_INTERNAL_ASSERT(begin == 0 || is_own_place == is_in_place);
      is_in_place = is_own_place;
      if (!is_in_place) step->input.slice(0, begin, end).copy_(chunk->input.grad());
    }
    if (is_first) return {};
    return is_in_place ? gradient : step->input;
  }

  SegmentPassOptions options_;
  std::vector<Step> steps_;
};

}  // namespace

SegmentPass::SegmentPass(const Segment& segment, const at::Tensor& input,
                         const ForwardContext& context)
    : context_(context) {
  if (!context.training) return;
  const int64_t batch = context.batch_size > 0 ? context.batch_size : input.size(0);
  coins_.emplace(segment, batch, *context.generator, input.device(), context.compute_type);
  context_.coins = &*coins_;
}

void SegmentPass::MoveOutput(at::Tensor to) {
  to.copy_(output_);
  output_ = std::move(to);
}

int64_t DefaultChunk(int64_t batch, int64_t tokens, int64_t chunks) {
  constexpr int64_t kMinRows = 2048;
  return std::min(batch, std::max((batch + chunks - 1) / chunks, (kMinRows + tokens - 1) / tokens));
}

int64_t RecomputedValues(int64_t batch, const FeatureShape& largest_map) {
  const int64_t samples = DefaultChunk(batch, largest_map.tokens(), kFineChunks);
  return samples * largest_map.values();
}

at::Tensor EmptyBatch(const at::Tensor& part, int64_t batch) {
  std::vector<int64_t> shape = part.sizes().vec();
  shape[0] = batch;
  return at::empty(shape, part.options());
}

std::unique_ptr<SegmentPass> SegmentPass::Run(const Segment& segment, at::Tensor input,
                                              const ForwardContext& context,
                                              const SegmentPassOptions& options) {
  if (options.recompute == Recompute::kBlock) {
    return std::make_unique<RecomputedPass>(segment, std::move(input), context, options);
  }
  return std::make_unique<WholePass>(segment, std::move(input), context, options);
}

}  // namespace localformer
