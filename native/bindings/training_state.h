// What training needs beside the weights, out of a trainer and back into it: optimizers, averages,
// random numbers, backends of products.
#pragma once

#include <napi.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "local/strategy.h"
#include "tensors.h"

namespace localformer {

struct TrainingState {
  std::vector<PlainTensor> tensors;  // `optimizer.{k}.*` and `average.*`.
  std::vector<uint8_t> generator;
  // Which backends compute its products; none in a state of another making.
  std::optional<std::vector<ProductChoice>> products;

  template <typename Self, typename Visit>
  static void Fields(Self& self, Visit&& visit) {
    visit("tensors", self.tensors);
    visit("generator", self.generator);
    visit("products", self.products);
  }
};

TrainingState ReadState(Strategy& strategy);
// Modules that `tensors` does not name are left without an optimizer. Throws CodedError
// ERR_CHECKPOINT where it is not the state of such a strategy; all is written or nothing.
void WriteState(const TrainingState& state, Strategy* strategy);

// { tensors, generator, products? }. Throws CodedError ERR_CHECKPOINT.
TrainingState ReadTrainingState(const Napi::Value& value);

}  // namespace localformer
