// Processes that train together: c10d's Gloo backend over its TCPStore, and its NCCL backend for
// tensors on a card, from where torchrun, Slurm or a shell has put them. No transport and no
// rendezvous of our own; who is still there is watched (watch.h), so that nobody waits for a
// process that is gone.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <torch/csrc/distributed/c10d/Store.hpp>
#include <vector>

#include "distributed/communicator.h"
#include "distributed/watch.h"

namespace localformer {

struct GroupOptions {
  int64_t rank = 0;
  int64_t world_size = 1;
  std::string address = "127.0.0.1";  // Of the store.
  int64_t port = 29500;
  // Does this process host the store? Else rank 0, or whoever started the processes, does.
  bool hosts_store = false;
  std::string prefix;           // Of all keys: one attempt of a restarted group is not another.
  double join_seconds = 300;    // For all ranks to come.
  double silence_seconds = 15;  // Without a sign of life a rank is lost.
  std::optional<std::string> interface;  // Of the network; default: the one towards the store.

  template <typename Self, typename Visit>
  static void Fields(Self& self, Visit&& visit) {
    visit("rank", self.rank);
    visit("worldSize", self.world_size);
    visit("address", self.address);
    visit("port", self.port);
    visit("hostsStore", self.hosts_store);
    visit("prefix", self.prefix);
    visit("joinSeconds", self.join_seconds);
    visit("silenceSeconds", self.silence_seconds);
    visit("interface", self.interface);
  }
};

class ProcessGroup {
 public:
  // Returns when all ranks are there. Throws CodedError ERR_DISTRIBUTED that says who is missing,
  // or what is taken; Cancelled.
  ProcessGroup(const GroupOptions& options, const std::atomic<bool>* cancelled);
  ~ProcessGroup();
  ProcessGroup(const ProcessGroup&) = delete;
  ProcessGroup& operator=(const ProcessGroup&) = delete;

  int rank() const { return static_cast<int>(options_.rank); }
  int size() const { return static_cast<int>(options_.world_size); }

  // What every rank gives under a key, by rank; each key once.
  std::vector<std::string> Exchange(const std::string& key, const std::string& text);

  // All ranks.
  const std::shared_ptr<Communicator>& all() const { return all_; }
  // The same, for one use of many: what is left there by one trainer is none of another's. Asked
  // for in the same order on all of them.
  std::shared_ptr<Communicator> OfAll();
  // Those that are named, of which this is one; the same ranks have one communicator.
  std::shared_ptr<Communicator> Among(const std::vector<int>& ranks);

  // Runs `work` on a thread of its own, which is left behind where the group fails meanwhile or the
  // environment goes away: for what may wait for a rank that is gone.
  void Aside(std::function<void()> work) const;

  // Behind a wait for a card: throws CodedError ERR_DISTRIBUTED where what it waited for has come
  // to nothing; Cancelled.
  void ThrowIfLost();

  const Traffic& traffic() const { return *traffic_; }

  // This rank has failed: the others end with that.
  void Fail(const std::string& reason);
  // All ranks have done what they had to, and leave; whoever hosts the store is the last.
  void Leave();

 private:
  void Claim();
  std::shared_ptr<Communicator> MakeCommunicator(const std::string& name, int own_rank,
                                                 int count) const;
  std::vector<std::shared_ptr<Communicator>> Communicators() const;
  // What a call of the store gives.
  template <typename Call>
  auto Ask(Call call) const -> decltype(call());
  // This rank's value of a key.
  void Put(const std::string& key, const std::string& text);
  // Of a key's values by rank, when all are there.
  std::vector<std::string> Collect(const std::string& key, double seconds);

  GroupOptions options_;
  const std::atomic<bool>* cancelled_;
  c10::intrusive_ptr<c10d::Store> store_;  // With the group's prefix.
  std::shared_ptr<Watch> watch_;
  std::shared_ptr<Traffic> traffic_ = std::make_shared<Traffic>();
  std::shared_ptr<Communicator> all_;
  std::map<std::vector<int>, std::shared_ptr<Communicator>> among_;
  std::vector<std::shared_ptr<Communicator>> of_all_;
  bool has_left_ = false;
};

}  // namespace localformer
