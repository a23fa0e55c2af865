// How the work of a trainer is divided among the ranks of a group: which modules each one has, and
// which samples of a batch.
#pragma once

#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "distributed/feature_link.h"
#include "distributed/process_group.h"
#include "fields.h"
#include "swin/compute_type.h"

namespace localformer {

struct DivisionOptions {
  // Index behind the last module of each stage, rising; the ranks of a stage have the same modules
  // and share a batch. The group's size is a multiple of the number of stages.
  std::vector<int64_t> stage_ends;
  c10::ScalarType features = c10::ScalarType::Float;  // What they travel in between two ranks.
  int64_t in_flight = 1;  // Batches that a stage may be ahead of the next one.

  template <typename Self, typename Visit>
  static void Fields(Self& self, Visit&& visit) {
    visit("stageEnds", self.stage_ends);
    visit("features", self.features);
    visit("inFlight", self.in_flight);
  }
};

// This rank's part. Ranks are numbered stage by stage: 0 and 1 are the two that share the first of
// two stages among four.
class Division {
 public:
  // Made on all ranks at once; `device`: this rank's, whose modules are divided. Throws CodedError
  // ERR_CONFIG where the numbers do not go together; on a card ERR_DEVICE_UNAVAILABLE.
  Division(std::shared_ptr<ProcessGroup> group, const DivisionOptions& options, size_t modules,
           c10::Device device);

  ProcessGroup& group() const { return *group_; }
  // All ranks; of this division alone.
  Communicator& among() const { return *among_; }
  bool Has(size_t module) const { return module >= first_ && module < last_; }
  size_t first() const { return first_; }
  size_t last() const { return last_; }
  bool is_first_stage() const { return stage_ == 0; }
  bool is_last_stage() const { return stage_ + 1 == stages_; }
  int replica() const { return replica_; }
  // How many ranks share a batch.
  int replica_count() const { return replica_count_; }
  // The rank whose modules are gathered from: the first of a module's stage.
  int OwnerOf(size_t module) const;
  // Null where this rank alone has its modules.
  Communicator* replicas() const { return replicas_.get(); }

  // Where batches come from and go to; none at the ends.
  std::optional<FeatureReceiver> training_in, evaluation_in;
  std::optional<FeatureSender> training_out, evaluation_out;

 private:
  // The first rank of a stage.
  int FirstRankOf(int stage) const { return stage * replica_count_; }
  // What has to be connected before anything travels between cards.
  struct Connection {
    std::shared_ptr<Communicator> among;
    Channel channel;
    std::optional<int> peer;  // None: all of them.
  };
  std::vector<Connection> Connections() const;

  std::shared_ptr<ProcessGroup> group_;
  std::shared_ptr<Communicator> among_;
  std::vector<int64_t> stage_ends_;
  int stages_, stage_, replica_, replica_count_;
  size_t first_, last_;
  std::shared_ptr<Communicator> replicas_;
};

}  // namespace localformer
