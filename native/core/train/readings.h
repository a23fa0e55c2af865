// Numbers of a step that the host wants to know: on the CPU they are known as they are computed, a
// device computes them behind the host's back. There they stay until the step is done and come in
// one copy, so that the host waits once.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <optional>
#include <utility>
#include <vector>

namespace localformer {

// A sum of shares of scalars.
class Reading {
 public:
  // Adds share * value. `value`: a scalar; on the CPU it is read at once.
  void Add(double share, const at::Tensor& value);
  // Adds share * root^2.
  void AddSquare(double share, const at::Tensor& root);
  void Add(double share, const Reading& other);

  // Was anything added?
  bool is_there() const { return value_.has_value() || !waiting_.empty(); }
  // What was added, as a scalar there: a double on the CPU, a float on a device.
  at::Tensor Total() const;
  // In place of what was added: what it came to elsewhere too.
  void Replace(const at::Tensor& total);

  // None where nothing was added, and, on a device, until it was settled.
  const std::optional<double>& value() const { return value_; }

  // The scalars that it still waits for are put behind `scalars`.
  void AppendWaiting(std::vector<at::Tensor>* scalars) const;
  // Takes the values of these from `*next` on, which is moved behind them.
  void Settle(const float** next);

 private:
  struct Waiting {
    double share;
    at::Tensor scalar;
    bool is_root;  // Of what is added.
  };

  std::optional<double> value_;
  std::vector<Waiting> waiting_;
};

// What the modules of a step leave on their device, one after the other. From the first number on
// that is not finite the device itself holds back every update; the host learns of it at the end.
class StepReadings {
 public:
  explicit StepReadings(c10::Device device);

  // Float scalar on the device, 1 once anything that was kept is not finite; undefined on the CPU,
  // where whoever reads a number looks at it first.
  const at::Tensor& found() const { return found_; }

  // Keeps float scalars of a module and looks at them.
  void Keep(const std::vector<at::Tensor>& scalars);

  // What each call of Keep kept, in one copy; waits until all work on the device is done, or, for
  // `own` work alone, what this thread gave to it: not what other ranks still have to send or take.
  std::vector<std::vector<float>> Read(bool own = false) const;

 private:
  c10::Device device_;
  at::Tensor found_, one_;
  std::vector<at::Tensor> kept_;  // One vector a call.
};

}  // namespace localformer
