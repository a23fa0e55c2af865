// See backward.h.
#include "train/backward.h"

#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/engine.h>

#include <memory>

namespace localformer {
namespace {

// The engine queues what is ready to run, with the gradients that it runs on, in a list of the
// calling thread. A pass that fails leaves its entries there until a later one on the same thread
// meets them. Only subclasses may put another list in its place.
struct EngineAccess : torch::autograd::Engine {
  static void ForgetQueued() {
    const auto replace = &EngineAccess::init_local_ready_queue;
    (get_default_engine().*replace)(std::make_shared<torch::autograd::ReadyQueue>());
  }
};

}  // namespace

void Backward(const std::vector<at::Tensor>& roots, const std::vector<at::Tensor>& gradients) {
  try {
    torch::autograd::backward(roots, gradients);
  } catch (...) {
    EngineAccess::ForgetQueued();
    throw;
  }
}

}  // namespace localformer
