// See segment_pass.h.
#include "local/segment_pass.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <utility>

#include "train/backward.h"
#include "train/chunk_budget.h"

namespace localformer {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Stands at the head of a backward pass and hands it the gradient. The engine holds the gradient
// that it is called with to the end; this one is let go by the first operation that has used it.
struct GradientSource : torch::autograd::Function<GradientSource> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& output, at::Tensor* gradient) {
    ctx->saved_data["gradient"] = std::move(*gradient);
    return at::zeros({}, output.options());
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
    Backward({source});
    return;
  }
  const at::Tensor energy = at::stack(energies).sum();
  Backward({source, energy}, {at::ones_like(source), at::full_like(energy, weight)});
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
// holds inside is small beside the inputs.
class RecomputedPass final : public SegmentPass {
 public:
  RecomputedPass(const Segment& segment, at::Tensor input, const ForwardContext& context,
                 const SegmentPassOptions& options)
      : SegmentPass(segment, input, context), options_(options) {
    c10::NoGradGuard no_grad;
    for (const Unit* unit : segment) {
      steps_.push_back({unit, input});
      input = Forward(steps_.back());
    }
    output_ = input;
  }

  void Backward(at::Tensor gradient, double energy_weight) override {
    for (; !steps_.empty(); steps_.pop_back()) {
      // Nobody asks for the gradient of what came into the segment.
      gradient = Backward(steps_.back(), gradient, energy_weight, /*is_first=*/steps_.size() == 1);
    }
  }

 private:
  struct Step {
    const Unit* unit;
    at::Tensor input;
  };

  // Samples [begin, end) of a step's input with the context in which the unit runs on them.
  struct Chunk {
    at::Tensor input;
    std::vector<at::Tensor> energies;
    ForwardContext context;
    double share;  // Of the batch.
  };

  // Samples that are taken at a time, on the way back or, where nothing is kept, there. A card pays
  // for each chunk in launches. There a chunk may hold besides what a gradient that takes its
  // input's place saves, where that is worth it, and on the way there, where it holds less than
  // half of that, twice as much.
  int64_t ChunkSize(const at::Tensor& input, bool is_forward) const {
    const int64_t batch = input.size(0);
    if (options_.chunk_values <= 0) return batch;
    int64_t values = options_.chunk_values;
    if (!input.is_cpu()) {
      constexpr int64_t kHeldInside = 32;  // Values inside a block for one of its input, measured.
      const int64_t saved = input.numel() / kHeldInside;
      values = (values + (saved >= values / 2 ? saved : 0)) * (is_forward ? 2 : 1);
    }
    return std::clamp<int64_t>(values * batch / input.numel(), 1, batch);
  }

  std::unique_ptr<Chunk> Take(const Step& step, int64_t begin, int64_t end) const {
    context_.ThrowIfCancelled();
    const int64_t batch = step.input.size(0);
    auto chunk = std::make_unique<Chunk>();
    chunk->input = step.input.slice(0, begin, end).detach();
    chunk->share = static_cast<double>(end - begin) / static_cast<double>(batch);
    chunk->context = context_;
    chunk->context.keep_cheap = false;
    chunk->context.kept = KeptBytes::OfChunk();
    chunk->context.first_sample = context_.first_sample + begin;
    chunk->context.batch_size = context_.batch_size > 0 ? context_.batch_size : batch;
    if (options_.measure_energy) chunk->context.residual_energy = &chunk->energies;
    return chunk;
  }

  at::Tensor Forward(const Step& step) {
    const int64_t batch = step.input.size(0), size = ChunkSize(step.input, /*is_forward=*/true);
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

  // Returns the gradient of the step's input; it takes that input's place chunk by chunk.
  at::Tensor Backward(const Step& step, const at::Tensor& gradient, double energy_weight,
                      bool is_first) const {
    const int64_t batch = step.input.size(0), size = ChunkSize(step.input, /*is_forward=*/false);
    for (int64_t begin = 0; begin < batch; begin += size) {
      const int64_t end = std::min(begin + size, batch);
      const std::unique_ptr<Chunk> chunk = Take(step, begin, end);
      chunk->input.requires_grad_(!is_first);
      BackwardWithEnergy(step.unit->Forward(chunk->input, chunk->context),
                         gradient.slice(0, begin, end), chunk->energies,
                         energy_weight * chunk->share);
      if (!is_first) step.input.slice(0, begin, end).copy_(chunk->input.grad());
    }
    return is_first ? at::Tensor() : step.input;
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

int64_t DefaultChunk(int64_t batch, int64_t tokens, int64_t chunks) {
  constexpr int64_t kMinRows = 512;
  return std::min(batch, std::max((batch + chunks - 1) / chunks, (kMinRows + tokens - 1) / tokens));
}

int64_t RecomputedValues(int64_t batch, const FeatureShape& largest_map, c10::Device device) {
  const int64_t samples = DefaultChunk(batch, largest_map.tokens(), kFineChunks);
  const int64_t values = samples * largest_map.values();
  const std::optional<int64_t> budget = ChunkBudgetBytes(device);
  return budget ? std::min<int64_t>(values, *budget / 4) : values;
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
