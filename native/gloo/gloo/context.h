// What LibTorch's ProcessGroupGloo.hpp names of Gloo, whose code is in libtorch_cpu.so and whose
// headers no LibTorch brings. Declarations alone: nothing of Gloo is made, called or derived from
// here, so that no layout and no virtual table of ours can differ from the one that LibTorch was
// built with (test/process/distributed-symbols).
#pragma once

#include <chrono>

namespace gloo {

class Context {
 public:
  void setTimeout(std::chrono::milliseconds timeout);
};

}  // namespace gloo
