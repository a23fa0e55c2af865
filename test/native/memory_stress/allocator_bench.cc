// Times a training step of a Swin MLP (batch 16, 3136 tokens, 96 -> 384 -> 96: outputs of 77 MB)
// on LibTorch's own CPU allocator or on the caching one. In: ALLOCATOR [STEPS]. Out: one table row.
// Compare fresh processes: an allocator cannot be taken out again.
#include <sys/prctl.h>
#include <sys/resource.h>
#include <torch/torch.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "native/core/memory/caching_cpu_allocator.h"

namespace {

struct Mlp {
  torch::Tensor up = torch::randn({384, 96}).mul_(0.05).requires_grad_();
  torch::Tensor down = torch::randn({96, 384}).mul_(0.05).requires_grad_();

  void Step(const torch::Tensor& input) {
    torch::Tensor hidden = torch::gelu(torch::linear(input, up));
    (torch::linear(hidden, down) + input).square().mean().backward();
    up.mutable_grad().reset();
    down.mutable_grad().reset();
  }
};

// Sorted; without the first two steps.
std::vector<double> StepSeconds(int steps) {
  Mlp mlp;
  const torch::Tensor input = torch::randn({16, 3136, 96});
  std::vector<double> seconds;
  for (int i = 0; i < steps + 2; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    mlp.Step(input);
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
    if (i >= 2) seconds.push_back(took.count());
  }
  std::sort(seconds.begin(), seconds.end());
  return seconds;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string allocator = argc > 1 ? argv[1] : "";
  const int steps = std::max(argc > 2 ? std::atoi(argv[2]) : 15, 1);
  const bool caching = allocator == "caching" || allocator == "caching-4k";
  if (!caching && allocator != "default") {
    std::fprintf(stderr, "Expected default, caching or caching-4k (no huge pages)\n");
    return 2;
  }
  if (allocator == "caching-4k") prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
  torch::manual_seed(0);
  if (caching) localformer::InstallCachingCpuAllocator();
  const std::vector<double> seconds = StepSeconds(steps);
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  std::printf("%-11s step median %.3f s, min %.3f s, page faults %ld, peak resident %ld MiB",
              allocator.c_str(), seconds[seconds.size() / 2], seconds.front(), usage.ru_minflt,
              usage.ru_maxrss / 1024);
  if (caching) {
    const auto stats = localformer::InstallCachingCpuAllocator()->getDeviceStats(0);
    std::printf(", reserved/peak allocated %.3f",
                static_cast<double>(stats.reserved_bytes[0].peak) /
                    static_cast<double>(stats.allocated_bytes[0].peak));
  }
  std::printf("\n");
  return 0;
}
