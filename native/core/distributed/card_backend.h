// How tensors on a card get from rank to rank: c10d's NCCL backend, which needs CUDA's headers and
// is therefore made by liblocalformer_cuda.so (native/cuda/nccl_backend.cc). What is asked of it is
// what every c10d::Backend has.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <torch/csrc/distributed/c10d/Backend.hpp>
#include <torch/csrc/distributed/c10d/Store.hpp>

namespace localformer {

// One end of a connection of some ranks.
struct CardPlace {
  c10::intrusive_ptr<c10d::Store> store;  // Keys of this connection alone.
  int rank = 0, size = 1;
  std::chrono::milliseconds longest_wait{0};
  // Called, on another thread, in place of ending the process.
  std::function<void(const std::string&)> fail;
};

using MakeCardBackend = c10::intrusive_ptr<c10d::Backend> (*)(const CardPlace& place);

// Visible for liblocalformer_cuda.so.
__attribute__((visibility("default"))) void RegisterCardBackend(MakeCardBackend make);

// Throws CodedError ERR_DEVICE_UNAVAILABLE where none was registered.
c10::intrusive_ptr<c10d::Backend> CardBackendAt(const CardPlace& place);

}  // namespace localformer
