// What LibTorch makes of an allocation that failed. Where a batched product of bfloat16 fails in
// oneDNN, for whatever reason, LibTorch catches it, computes the product in another way and
// switches oneDNN off for the process (bmm_out_or_baddbmm_ in ATen/native/LinearAlgebra.cpp; no
// other of its switches is ever set by itself): the step would go on with other numbers, all later
// ones too.
#pragma once

#include <c10/util/Exception.h>

#include <cstdint>

namespace localformer {

// Watches the calling thread for as long as it lives; watches may nest.
class AllocationWatch {
 public:
  AllocationWatch();
  // Where an allocation failed, oneDNN is switched as it was before.
  ~AllocationWatch();
  AllocationWatch(const AllocationWatch&) = delete;
  AllocationWatch& operator=(const AllocationWatch&) = delete;

  // Throws c10::OutOfMemoryError where an allocation failed and LibTorch went on without it.
  void ThrowIfFailed() const;

 private:
  bool HasFailed() const;

  // Keeps back what LibTorch says of the way around it, with a page of stack: an error tells of it.
  class Warnings final : public c10::WarningHandler {
   public:
    Warnings(const AllocationWatch& watch, c10::WarningHandler* next)
        : watch_(watch), next_(next) {}
    void process(const c10::Warning& warning) override;

   private:
    const AllocationWatch& watch_;
    c10::WarningHandler* const next_;
  };

  const bool one_dnn_;
  const uint64_t failures_before_;
  Warnings warnings_;
  const c10::WarningUtils::WarningHandlerGuard warnings_guard_;
};

}  // namespace localformer
