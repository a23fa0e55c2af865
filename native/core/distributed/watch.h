// Who is still there: every rank gives a sign of life over the store and looks for the others'.
// Where one is silent, or has said that it failed, whoever waits for it is woken.
//
// Two threads of its own: one talks to the store, which may not answer; the other, which never
// blocks, wakes. Over the store, and not over the connections that tensors take: those stand still
// for as long as a rank computes.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <torch/csrc/distributed/c10d/Store.hpp>

namespace localformer {

class Watch {
 public:
  // `store`: used by nobody else, since a call that gets no answer holds it. All ranks have to have
  // called Announce before. `cancelled`: set where this process's environment goes away.
  Watch(c10::intrusive_ptr<c10d::Store> store, int rank, int size, double silence_seconds,
        const std::atomic<bool>* cancelled);
  // Does not wait for a store that gives no answer.
  ~Watch();
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

  // The first sign of life.
  static void Announce(c10d::Store& store, int rank);

  // Why the group has come to its end; none while all is well.
  std::optional<std::string> failure() const;
  // Has the group failed, or goes the environment away?
  bool IsOver() const;
  // Throws CodedError ERR_DISTRIBUTED, or Cancelled.
  void ThrowIfFailed() const;

  // While the answer lives, `wake` is called, once and on another thread, where the group fails or
  // the environment goes away; at once where that has happened already.
  std::shared_ptr<void> WhenFailed(std::function<void()> wake);

  // Tells all ranks that this one has failed, if no other has before.
  void Tell(const std::string& reason);
  // A connection broke, which says little: waits until it is known whose rank was lost, or `error`
  // is all that there is to say. Others learn of it.
  std::string Explain(const std::string& error);
  // The whole group has come to its end as it should: who is silent from now on is at rest.
  void Rest();

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace localformer
