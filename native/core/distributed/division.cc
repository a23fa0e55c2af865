// See division.h.
#include "distributed/division.h"

#include <string>
#include <utility>

#include "coded_error.h"

namespace localformer {
namespace {

// Of the messages between two ranks: each kind has its own.
constexpr int kTrainingTag = 100, kEvaluationTag = 200;

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
                   size_t modules)
    : group_(std::move(group)),
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
    for (int i = 0; i < replica_count_; ++i) ranks.push_back(stage_ * replica_count_ + i);
    replicas_ = group_->Among("stage " + std::to_string(stage_), ranks);
  }
  const auto place = [this](int peer, int tag) { return LinkPlace{group_->all(), peer, tag}; };
  if (!is_first_stage()) {
    const int peer = group_->rank() - replica_count_;
    training_in.emplace(place(peer, kTrainingTag), /*ahead=*/true);
    evaluation_in.emplace(place(peer, kEvaluationTag), /*ahead=*/false);
  }
  if (!is_last_stage()) {
    const int peer = group_->rank() + replica_count_;
    training_out.emplace(place(peer, kTrainingTag), options.features, options.in_flight);
    // Evaluated is what one process would: in float32.
    evaluation_out.emplace(place(peer, kEvaluationTag), c10::ScalarType::Float, options.in_flight);
  }
}

int Division::OwnerOf(size_t module) const {
  int stage = 0;
  while (static_cast<int64_t>(module) >= stage_ends_[static_cast<size_t>(stage)]) ++stage;
  return stage * replica_count_;
}

}  // namespace localformer
