// What a module takes of the device's memory in a training step, measured by training it alone on
// a batch of zeros: head, decoder and optimizer included. From these a split is balanced
// (lib/local/balance.ts).
#pragma once

#include <atomic>

#include "local/module_options.h"
#include "swin/model.h"

namespace localformer {

// Bytes, for the batch that was measured.
struct ModuleCost {
  // Between steps, of the head and the decoder with their optimizer state. Those of the network
  // are the same however it is cut.
  int64_t resident = 0;
  // Highest above what is resident: input, activations, gradients.
  int64_t peak = 0;

  template <typename Self, typename Visit>
  static void Fields(Self& self, Visit&& visit) {
    visit("residentBytes", self.resident);
    visit("peakBytes", self.peak);
  }
};

struct MeasureModuleOptions {
  int64_t begin = 0;  // Units [begin, end) of the network.
  int64_t end = 0;
  int64_t batch_size = 8;
  ModuleOptions module;

  template <typename Self, typename Visit>
  static void Fields(Self& self, Visit&& visit) {
    visit("begin", self.begin);
    visit("end", self.end);
    visit("batchSize", self.batch_size);
    visit("module", self.module);
  }
};

// Weights stay as they are, and no gradients are left behind.
ModuleCost MeasureModule(const SwinModel& model, c10::Device device,
                         const MeasureModuleOptions& options, const std::atomic<bool>* cancelled);

// Seconds of a step of the same module without its update: the less of two behind one that warms
// up. In a dry run and on a card, which may be a simulated one, in proportion to its products.
double TimeModule(const SwinModel& model, c10::Device device, const MeasureModuleOptions& options,
                  const std::atomic<bool>* cancelled);

}  // namespace localformer
