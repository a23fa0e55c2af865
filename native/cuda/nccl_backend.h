// c10d's NCCL backend for the core (native/core/distributed/card_backend.h).
#pragma once

namespace localformer {

// Once for a process.
void RegisterNccl();

}  // namespace localformer
