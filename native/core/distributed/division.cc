// See division.h.
#include "distributed/division.h"

#include <string>
#include <utility>

#include "coded_error.h"

namespace localformer {
namespace {

std::vector<int64_t> CheckedEnds(const std::vector<int64_t>& ends, size_t modules, int ranks) {
  int64_t begin = 0;
  for (const int64_t end : ends) begin = end > begin ? end : -1;
  if (ends.empty() || begin != static_cast<int64_t>(modules)) {
    throw CodedError("ERR_CONFIG", "Expected rising indices up to " + std::to_string(modules) +
                                       " for `stageEnds` but received others");
  }
  if (ranks % static_cast<int>(ends.size()) != 0) {
    throw CodedError("ERR_CONFIG", std::to_string(ranks) + " ranks cannot be divided into " +
                                       std::to_string(ends.size()) + " stages");
  }
  return ends;
}

}  // namespace

Division::Division(std::shared_ptr<ProcessGroup> group, const DivisionOptions& options,
                   size_t modules, c10::Device device)
    : group_(std::move(group)),
      among_(group_->OfAll()),
      stage_ends_(CheckedEnds(options.stage_ends, modules, group_->size())),
      stages_(static_cast<int>(stage_ends_.size())) {
  replica_count_ = group_->size() / stages_;
  stage_ = group_->rank() / replica_count_;
  replica_ = group_->rank() % replica_count_;
  const auto stage = static_cast<size_t>(stage_);
  first_ = stage == 0 ? 0 : static_cast<size_t>(stage_ends_[stage - 1]);
  last_ = static_cast<size_t>(stage_ends_[stage]);
  if (replica_count_ > 1) {
    std::vector<int> ranks;
    for (int i = 0; i < replica_count_; ++i) ranks.push_back(FirstRankOf(stage_) + i);
    replicas_ = group_->Among(ranks);
  }
  const auto place = [&](int peer, Channel channel) {
    return LinkPlace{among_, peer, channel, device};
  };
  if (!is_first_stage()) {
    const int peer = group_->rank() - replica_count_;
    training_in.emplace(place(peer, Channel::kTraining), /*ahead=*/true);
    evaluation_in.emplace(place(peer, Channel::kEvaluation), /*ahead=*/false);
  }
  if (!is_last_stage()) {
    const int peer = group_->rank() + replica_count_;
    training_out.emplace(place(peer, Channel::kTraining), options.features, options.in_flight);
    // Evaluated is what one process would: in float32.
    evaluation_out.emplace(place(peer, Channel::kEvaluation), c10::ScalarType::Float,
                           options.in_flight);
  }
  if (device.is_cpu()) return;
  // The thread may be left behind: it keeps what it needs.
  group_->Aside([connections = Connections(), device] {
    for (const Connection& one : connections) one.among->Connect(device, one.channel, one.peer);
  });
}

// Every rank connects in the order of the channels, and in each of them first with the rank before
// it: whoever waits for another one is waited for by none that this one waits for.
std::vector<Division::Connection> Division::Connections() const {
  std::vector<Connection> list;
  if (replicas_ != nullptr) list.push_back({replicas_, Channel::kSums, {}});
  const auto add = [&](Channel channel, int peer) { list.push_back({among_, channel, peer}); };
  for (const Channel channel : {Channel::kTraining, Channel::kEvaluation}) {
    if (!is_first_stage()) add(channel, group_->rank() - replica_count_);
    if (!is_last_stage()) add(channel, group_->rank() + replica_count_);
  }
  for (int stage = 1; stage < stages_; ++stage) {
    if (group_->rank() == 0) add(Channel::kGather, FirstRankOf(stage));
    if (group_->rank() == FirstRankOf(stage)) add(Channel::kGather, 0);
  }
  return list;
}

int Division::OwnerOf(size_t module) const {
  int stage = 0;
  while (static_cast<int64_t>(module) >= stage_ends_[static_cast<size_t>(stage)]) ++stage;
  return FirstRankOf(stage);
}

}  // namespace localformer
