// What training needs beside the weights, out of a trainer and back into it: optimizers, averages,
// random numbers.
#pragma once

#include <napi.h>

#include <cstdint>
#include <vector>

#include "local/strategy.h"
#include "tensors.h"

namespace localformer {

struct TrainingState {
  std::vector<PlainTensor> tensors;  // `optimizer.{k}.*` and `average.*`.
  std::vector<uint8_t> generator;

  template <typename Self, typename Visit>
  static void Fields(Self& self, Visit&& visit) {
    visit("tensors", self.tensors);
    visit("generator", self.generator);
  }
};

TrainingState ReadState(Strategy& strategy);
// Modules that `tensors` does not name are left without an optimizer. Throws CodedError
// ERR_CHECKPOINT where it is not the state of such a strategy; all is written or nothing.
void WriteState(const TrainingState& state, Strategy* strategy);

// { tensors, generator }. Throws CodedError ERR_CHECKPOINT.
TrainingState ReadTrainingState(const Napi::Value& value);

}  // namespace localformer
