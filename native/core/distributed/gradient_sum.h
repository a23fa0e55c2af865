// The gradients of a module, added up over the ranks that have the same one while something else is
// computed: as DistributedDataParallel does it (Li et al., VLDB 2020), but for a module at a time.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "distributed/communicator.h"
#include "swin/parameters.h"

namespace localformer {

class GradientSum {
 public:
  // Begins. `numbers`: a vector where the gradients are, added up too; every rank gives as many.
  // Nobody may touch the gradients until Finish. Small ones travel together, in copies of at most
  // kBucketBytes.
  GradientSum(Communicator& among, const ParameterList& parameters, at::Tensor numbers);

  // From here on every gradient is the sum over all ranks: on the CPU it is waited for, on a card
  // what the device is given next comes after it. Gives the sums of the numbers.
  at::Tensor Finish();

  static constexpr int64_t kBucketBytes = 4 << 20;

 private:
  struct Bucket {
    std::vector<at::Tensor> gradients;
    at::Tensor values;  // All of them in a row; of one that stands alone its own memory.
    Transfer transfer;
  };

  void Send(Communicator& among, std::vector<at::Tensor> gradients);

  std::vector<Bucket> buckets_;
  at::Tensor numbers_;
  Transfer numbers_transfer_;
};

}  // namespace localformer
