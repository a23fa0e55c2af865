// See device.h.
#include "train/device.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <array>
#include <mutex>

#include "math/tuning_clock.h"
#include "memory/memory_stats.h"
#include "train/backward.h"

namespace localformer {

void Synchronize(c10::Device device) {
  if (device.is_cpu()) return;
  c10::impl::VirtualGuardImpl(device.type()).synchronizeDevice(device.index());
}

void SynchronizeStream(c10::Device device) {
  if (device.is_cpu()) return;
  const c10::impl::VirtualGuardImpl guard(device.type());
  guard.synchronizeStream(guard.getStream(device));
}

int64_t AllocatedBytes(c10::Device device) { return ReadStats(device).allocated_bytes[0].current; }

namespace {

std::mutex workspace_mutex;
std::array<int64_t, 64> workspace_bytes{};  // By index of the device; guarded by workspace_mutex.

// A linear layer with a bias is the product with an epilogue, which has a workspace of its own; a
// block that is computed again takes it in the backward pass too.
struct LinearBothWays : torch::autograd::Function<LinearBothWays> {
  static at::Tensor forward(torch::autograd::AutogradContext* ctx, const at::Tensor& input,
                            const at::Tensor& weight, const at::Tensor& bias) {
    ctx->save_for_backward({weight, bias});
    return at::linear(input, weight, bias);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* ctx,
                                                 const torch::autograd::variable_list& gradients) {
    const torch::autograd::variable_list saved = ctx->get_saved_variables();
    return {at::linear(gradients[0].contiguous(), saved[0], saved[1]), {}, {}};
  }
};

// Forward and backward. Workspaces do not depend on the type of the numbers, and a card without
// native bfloat16 need not be asked for it.
void LearnALittle(c10::Device device) {
  const at::AutoGradMode with_gradients(true);
  const auto options = at::TensorOptions().device(device).dtype(at::kFloat);
  const at::Tensor input = at::zeros({32, 32}, options).requires_grad_(true);
  const at::Tensor weight = at::zeros({32, 32}, options), bias = at::zeros({32}, options);
  const at::Tensor linear = LinearBothWays::apply(input, weight, bias);
  Backward({at::bmm(linear.unsqueeze(0), weight.unsqueeze(0)).sum()});
}

}  // namespace

void WarmUp(c10::Device device) {
  thread_local std::array<bool, 64> is_warm{};
  const auto index = static_cast<size_t>(std::max<c10::DeviceIndex>(device.index(), 0));
  if (device.is_cpu() || is_warm.at(index)) return;
  const int64_t before = AllocatedBytes(device);
  // What was taken stays, and counts, where it fails half-way too.
  const auto book = [&] {
    const std::lock_guard<std::mutex> lock(workspace_mutex);
    workspace_bytes.at(index) += AllocatedBytes(device) - before;
  };
  try {
    LearnALittle(device);
    Synchronize(device);
  } catch (...) {
    book();
    throw;
  }
  book();
  is_warm.at(index) = true;
}

WithoutCache::WithoutCache(c10::Device device) : device_(device) {
  if (!device.is_cpu()) AllocatorFor(device)->emptyCache();
}

WithoutCache::~WithoutCache() {
  if (device_.is_cpu()) return;
  try {
    AllocatorFor(device_)->emptyCache();
  } catch (const std::exception&) {
    // Whoever uses the device next is told what is wrong with it.
  }
}

int64_t WorkspaceBytes(c10::Device device) {
  if (device.is_cpu()) return 0;
  const std::lock_guard<std::mutex> lock(workspace_mutex);
  return workspace_bytes.at(static_cast<size_t>(std::max<c10::DeviceIndex>(device.index(), 0)));
}

Stopwatch::Stopwatch(c10::Device device) : device_(device) {
  if (device.is_cpu()) {
    start_ = WorkNow();
    return;
  }
  // Unlike PyTorch's own default these carry a time.
  started_.emplace(device.type(), c10::EventFlag::BACKEND_DEFAULT);
  stopped_.emplace(device.type(), c10::EventFlag::BACKEND_DEFAULT);
  started_->record(c10::impl::VirtualGuardImpl(device.type()).getStream(device));
}

void Stopwatch::Stop() {
  if (stopped_) {
    stopped_->record(c10::impl::VirtualGuardImpl(device_.type()).getStream(device_));
  } else {
    stop_ = WorkNow();
  }
}

double Stopwatch::Seconds() const {
  return started_ ? started_->elapsedTime(*stopped_) / 1e3
                  : std::chrono::duration<double>(stop_ - start_).count();
}

PeakWindow OpenPeakWindow(c10::Device device) {
  // The CPU has no index.
  return PeakWindow(AllocatorFor(device), std::max<c10::DeviceIndex>(device.index(), 0));
}

}  // namespace localformer
