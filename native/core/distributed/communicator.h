// Tensors from rank to rank: Gloo for those of the CPU, NCCL for those of a card. Whoever waits is
// woken where a rank is lost (watch.h).
#pragma once

#include <ATen/core/Tensor.h>

#include <chrono>
#include <cstdint>
#include <exception>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <torch/csrc/distributed/c10d/Backend.hpp>
#include <torch/csrc/distributed/c10d/Store.hpp>
#include <utility>
#include <vector>

#include "distributed/watch.h"

namespace localformer {

// No operation waits longer, where every rank gives signs of life: torch's own limit.
constexpr std::chrono::minutes kLongestWait(30);

// An error of c10d or Gloo, without its stack and the place in its source.
std::string PlainText(const std::exception& error);

// What this process gave and waited for since it joined. Bytes of tensors, without what protocols
// add.
struct Traffic {
  int64_t sent_bytes = 0;
  int64_t received_bytes = 0;
  double wait_seconds = 0.0;

  template <typename Self, typename Visit>
  static void Fields(Self& self, Visit&& visit) {
    visit("sentBytes", self.sent_bytes);
    visit("receivedBytes", self.received_bytes);
    visit("waitSeconds", self.wait_seconds);
  }
};

// What travels apart from the rest, in an order of its own. NCCL knows no tags: on cards each has a
// connection to itself.
enum class Channel : int { kSums = 0, kTraining = 100, kEvaluation = 200, kGather = 300 };

class Communicator;
struct Ended;

// Tensors on their way. One that is dropped is abandoned.
class Transfer {
 public:
  Transfer() = default;
  Transfer(Transfer&&) = default;
  // Drops what was under way before.
  Transfer& operator=(Transfer&& other) noexcept;
  ~Transfer() { Drop(); }

  // Of tensors of the CPU, until they are there. On a card what this thread gives to the device
  // from now on waits, and the host does not; whether they came is known behind a wait for the
  // device, by ProcessGroup::ThrowIfLost. Throws CodedError ERR_DISTRIBUTED where the group fails
  // meanwhile, which names the rank that was lost; Cancelled.
  void Wait();

  // Of tensors of the CPU: a thread waits, so that this one can ask whether Wait would return.
  void WaitAside();
  bool HasEnded() const;

 private:
  friend class Communicator;
  void Drop() noexcept;

  std::shared_ptr<Communicator> among_;
  std::vector<c10::intrusive_ptr<c10d::Work>> works_;
  // The operations work on their memory.
  std::vector<at::Tensor> tensors_;
  // What another thread says of its end; none where whoever waits has to.
  std::shared_ptr<Ended> ended_;
  // It says so by itself, and cannot be given up.
  bool reports_ = false;
  bool is_on_card_ = false;
};

// Some ranks of a group that work together; its operations are asked for on one thread, in the same
// order on all of them. Gloo for tensors of the CPU, NCCL for those of a card.
class Communicator : public std::enable_shared_from_this<Communicator> {
 public:
  // `watch`, `traffic`: the group's, which outlive it. `name`: the same on all ranks, and nobody
  // else's.
  Communicator(const std::string& name, int rank, int size, c10::intrusive_ptr<c10d::Backend> gloo,
               const c10::intrusive_ptr<c10d::Store>& store, std::shared_ptr<Watch> watch,
               std::shared_ptr<Traffic> traffic);
  ~Communicator();
  Communicator(const Communicator&) = delete;
  Communicator& operator=(const Communicator&) = delete;

  int rank() const { return rank_; }
  int size() const { return size_; }

  // Contiguous. The sum over all ranks, in place.
  Transfer Sum(const at::Tensor& values);
  // Contiguous and of one device. Values of a pair of ranks meet by channel: on the CPU by
  // `first_part` too, from which they are counted, on a card in the order in which they are sent.
  Transfer Send(std::vector<at::Tensor> values, int to, Channel channel, int first_part = 0);
  Transfer Receive(std::vector<at::Tensor> values, int from, Channel channel, int first_part = 0);

  // What was sent goes on though nobody waits for it any more, until the group is left.
  void Keep(Transfer transfer);

  // Before tensors of this card travel: connects it with those of all other ranks, or of one, and
  // waits until it is. On both sides at once.
  void Connect(c10::Device device, Channel channel, std::optional<int> peer = {});
  // All ranks have done what they had to: ends what connects them. Nothing travels any more.
  void Close();
  // Throws CodedError ERR_DISTRIBUTED where what travelled between cards has come to nothing.
  void ThrowIfLost();

 private:
  friend class Transfer;
  // One connection of cards; both ends of it have the same key.
  struct Card;
  // Of a channel with one other rank, or with all.
  using CardKey = std::pair<Channel, int>;
  static constexpr int kAll = -1;

  // `begin` gives the works.
  template <typename Begin>
  Transfer Started(std::vector<at::Tensor> values, const Begin& begin);
  c10d::Backend& CardOf(Channel channel, int peer);
  // Hands values on or takes them, one after the other.
  template <typename Move>
  Transfer Moved(std::vector<at::Tensor> values, int peer, Channel channel, int first_part,
                 const Move& move);

  std::string name_;
  int rank_, size_;
  c10::intrusive_ptr<c10d::Store> store_;
  c10::intrusive_ptr<c10d::Backend> gloo_;
  std::map<CardKey, std::unique_ptr<Card>> cards_;
  std::shared_ptr<Watch> watch_;
  std::shared_ptr<Traffic> traffic_;
  std::vector<Transfer> kept_;
};

}  // namespace localformer
