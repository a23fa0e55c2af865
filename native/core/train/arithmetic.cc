// See arithmetic.h.
#include "train/arithmetic.h"

#include <ATen/Context.h>

#include <condition_variable>
#include <mutex>

namespace localformer {
namespace {

// Who computes, in all environments of the process.
struct Users {
  std::mutex mutex;
  std::condition_variable wake;
  Precision precision = Precision::kIeee;  // Of those at work.
  int working = 0;
  int waiting = 0;
};
Users& TheUsers() {
  static auto* users = new Users;  // Threads may outlive statics.
  return *users;
}

Precision Of(bool tf32) { return tf32 ? Precision::kTf32 : Precision::kIeee; }

}  // namespace

ArithmeticInUse::ArithmeticInUse(Precision precision) {
  Users& users = TheUsers();
  std::unique_lock<std::mutex> lock(users.mutex);
  // Whoever waits has its turn before others go on with what is set.
  const auto is_free = [&] { return users.working == 0; };
  if (!is_free() && (users.precision != precision || users.waiting > 0)) {
    ++users.waiting;
    users.wake.wait(lock, is_free);
    --users.waiting;
  }
  // Those who come in beside others find it set: nobody may write while somebody reads.
  if (users.working++ > 0) return;
  users.precision = precision;
  at::Context& context = at::globalContext();
  // LibTorch's CUDA code still asks by the older of two interfaces for products, and throws where
  // they disagree; these set both.
  context.setAllowTF32CuBLAS(precision == Precision::kTf32);
  context.setAllowTF32CuDNN(precision == Precision::kTf32);
  context.setDeterministicCuDNN(true);
  context.setBenchmarkCuDNN(false);
}

ArithmeticInUse::~ArithmeticInUse() {
  Users& users = TheUsers();
  const std::lock_guard<std::mutex> lock(users.mutex);
  if (--users.working == 0) users.wake.notify_all();
}

Arithmetic CurrentArithmetic() {
  const at::Context& context = at::globalContext();
  Arithmetic now;
  now.products = Of(context.allowTF32CuBLAS());
  now.convolutions = Of(context.allowTF32CuDNN(at::Float32Op::CONV));
  now.deterministic_cudnn = context.deterministicCuDNN();
  now.benchmark_cudnn = context.benchmarkCuDNN();
  return now;
}

}  // namespace localformer
