// See communicator.h.
#include "distributed/communicator.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>

#include "coded_error.h"
#include "distributed/card_backend.h"
#include "train/device.h"

namespace localformer {
namespace {

using Clock = std::chrono::steady_clock;

int64_t SizeOf(const std::vector<at::Tensor>& values) {
  int64_t bytes = 0;
  for (const at::Tensor& one : values) bytes += static_cast<int64_t>(one.nbytes());
  return bytes;
}

}  // namespace

std::string PlainText(const std::exception& error) {
  const auto* torch = dynamic_cast<const c10::Error*>(&error);
  std::string text = torch != nullptr ? torch->what_without_backtrace() : error.what();
  const size_t line = text.find('\n');
  if (line != std::string::npos) text.resize(line);
  const size_t place = text.find("] ");
  if (text.compare(0, 1, "[") == 0 && place != std::string::npos) text.erase(0, place + 2);
  return text;
}

// What another thread says when an operation is done.
struct Ended {
  mutable std::mutex mutex;
  std::condition_variable changed;
  bool is_done = false;
  bool is_woken = false;
  std::string broken;  // What went wrong.

  void Finish(const std::string& error) {
    const std::lock_guard<std::mutex> lock(mutex);
    broken = error;
    is_done = true;
    changed.notify_all();
  }
  void Wake() {
    const std::lock_guard<std::mutex> lock(mutex);
    is_woken = true;
    changed.notify_all();
  }
};

Transfer& Transfer::operator=(Transfer&& other) noexcept {
  if (this == &other) return *this;
  Drop();
  among_ = std::move(other.among_);
  works_ = std::exchange(other.works_, {});
  tensors_ = std::exchange(other.tensors_, {});
  ended_ = std::move(other.ended_);
  reports_ = other.reports_;
  is_on_card_ = other.is_on_card_;
  return *this;
}

void Transfer::Drop() noexcept {
  // What a card has begun is not given up.
  if (reports_ || is_on_card_) return;
  for (const auto& work : works_) {
    try {
      work->abort();
    } catch (...) {
    }
  }
}

void Transfer::WaitAside() {
  const auto ended = std::make_shared<Ended>();
  ended_ = ended;
  std::thread([ended, works = works_, tensors = tensors_] {
    std::string broken;
    try {
      for (const auto& work : works) {
        if (!work->wait()) broken = "The operation was given up";
      }
    } catch (const std::exception& error) {
      broken = PlainText(error);
    }
    ended->Finish(broken);
  }).detach();
}

bool Transfer::HasEnded() const {
  const std::lock_guard<std::mutex> lock(ended_->mutex);
  return ended_->is_done;
}

void Transfer::Wait() {
  if (works_.empty()) return;
  const auto begin = Clock::now();
  const auto among = std::exchange(among_, nullptr);
  const auto works = std::exchange(works_, {});
  Watch& watch = *among->watch_;
  std::string broken;
  try {
    if (is_on_card_) {
      for (const auto& work : works) work->wait();
    } else if (ended_) {
      // The operation may never end where a rank is gone; this wait does.
      const auto failed = watch.WhenFailed([ended = ended_] { ended->Wake(); });
      std::unique_lock<std::mutex> lock(ended_->mutex);
      ended_->changed.wait(lock, [&] { return ended_->is_done || ended_->is_woken; });
      broken = ended_->broken;
      const bool is_left = !ended_->is_done;
      lock.unlock();
      for (const auto& work : works) {
        if (is_left && !reports_) work->abort();
      }
    } else {
      const auto failed = watch.WhenFailed([works] {
        for (const auto& work : works) work->abort();
      });
      for (const auto& work : works) {
        if (!work->wait()) broken = "The operation was given up";
      }
    }
  } catch (const std::exception& error) {
    broken = PlainText(error);
  }
  among->traffic_->wait_seconds += std::chrono::duration<double>(Clock::now() - begin).count();
  watch.ThrowIfFailed();
  tensors_.clear();
  if (broken.empty()) return;
  watch.Explain("Lost the connection to another rank: " + broken);
  watch.ThrowIfFailed();
}

struct Communicator::Card {
  c10::intrusive_ptr<c10d::Backend> backend;
  std::shared_ptr<void> on_failure;
};

Communicator::Communicator(const std::string& name, int rank, int size,
                           c10::intrusive_ptr<c10d::Backend> gloo,
                           const c10::intrusive_ptr<c10d::Store>& store,
                           std::shared_ptr<Watch> watch, std::shared_ptr<Traffic> traffic)
    : name_(name),
      rank_(rank),
      size_(size),
      store_(store),
      gloo_(std::move(gloo)),
      watch_(std::move(watch)),
      traffic_(std::move(traffic)) {}

Communicator::~Communicator() {
  // Their threads may wait for a rank that is gone, and would be waited for.
  if (!watch_->IsOver()) return;
  static_cast<void>(gloo_.release());
  for (auto& [key, card] : cards_) static_cast<void>(card->backend.release());
}

template <typename Begin>
Transfer Communicator::Started(std::vector<at::Tensor> values, const Begin& begin) {
  watch_->ThrowIfFailed();
  if (gloo_ == nullptr) throw CodedError("ERR_DISPOSED", "The process group was left");
  Transfer transfer;
  transfer.is_on_card_ = !values.front().is_cpu();
  try {
    begin(values, &transfer);
  } catch (const CodedError&) {
    throw;
  } catch (const std::exception& error) {
    watch_->Explain("Lost the connection to another rank: " + PlainText(error));
    watch_->ThrowIfFailed();
  }
  transfer.among_ = shared_from_this();
  transfer.tensors_ = std::move(values);
  return transfer;
}

c10d::Backend& Communicator::CardOf(Channel channel, int peer) {
  std::unique_ptr<Card>& card = cards_[{channel, peer}];
  if (card != nullptr) return *card->backend;
  const bool is_pair = peer != kAll;
  std::string key = "nccl/" + name_ + "/" + std::to_string(static_cast<int>(channel));
  if (is_pair) {
    key +=
        "/" + std::to_string(std::min(rank_, peer)) + "-" + std::to_string(std::max(rank_, peer));
  }
  CardPlace place;
  place.store = c10::make_intrusive<c10d::PrefixStore>(key, store_);
  place.rank = is_pair ? (rank_ < peer ? 0 : 1) : rank_;
  place.size = is_pair ? 2 : size_;
  place.longest_wait = kLongestWait;
  place.fail = [watch = watch_](const std::string& reason) { watch->Tell(reason); };
  auto made = std::make_unique<Card>();
  made->backend = CardBackendAt(place);
  // A host that waits for its card is free again once the card gives up. That may take a while:
  // others are not kept from being woken.
  made->on_failure = watch_->WhenFailed([backend = made->backend] {
    std::thread([backend] {
      try {
        backend->abort();
      } catch (const std::exception&) {
        // The group has failed, which is told.
      }
    }).detach();
  });
  card = std::move(made);
  return *card->backend;
}

void Communicator::Connect(c10::Device device, Channel channel, std::optional<int> peer) {
  const at::Tensor value = at::zeros({1}, at::TensorOptions().dtype(at::kFloat).device(device));
  Started({value}, [&](std::vector<at::Tensor>& tensors, Transfer* transfer) {
    transfer->works_.push_back(CardOf(channel, peer.value_or(kAll)).allreduce(tensors));
  }).Wait();
  Synchronize(device);
  ThrowIfLost();
}

void Communicator::Close() {
  for (auto& [key, card] : cards_) {
    try {
      card->backend->shutdown();
    } catch (const std::exception&) {
      // Every rank has what it waited for: what does not end in order is given up with its backend.
    }
    card->on_failure.reset();
  }
  cards_.clear();
  kept_.clear();
  gloo_.reset();
  store_.reset();
}

void Communicator::ThrowIfLost() {
  if (!cards_.empty()) watch_->ThrowIfFailed();
  for (const auto& [key, card] : cards_) {
    if (card->backend->getError() == c10d::ErrorType::SUCCESS) continue;
    watch_->Explain("Lost the connection to the card of another rank: NCCL gave up");
    watch_->ThrowIfFailed();
  }
}

void Communicator::Keep(Transfer transfer) {
  // It is kept by what it would keep.
  transfer.among_ = nullptr;
  kept_.push_back(std::move(transfer));
}

Transfer Communicator::Sum(const at::Tensor& values) {
  // A ring passes every value on twice, but for the last rank's.
  const auto bytes = static_cast<int64_t>(values.nbytes()) * 2 * (size_ - 1) / size_;
  traffic_->sent_bytes += bytes;
  traffic_->received_bytes += bytes;
  return Started({values}, [&](std::vector<at::Tensor>& tensors, Transfer* transfer) {
    if (transfer->is_on_card_) {
      transfer->works_.push_back(CardOf(Channel::kSums, kAll).allreduce(tensors));
      return;
    }
    const auto work = gloo_->allreduce(tensors);
    const auto ended = std::make_shared<Ended>();
    work->getFuture()->addCallback([ended](c10::ivalue::Future& future) {
      std::string broken;
      try {
        future.value();
      } catch (const std::exception& error) {
        broken = PlainText(error);
      }
      ended->Finish(broken);
    });
    transfer->ended_ = ended;
    transfer->reports_ = true;
    transfer->works_.push_back(work);
  });
}

template <typename Move>
Transfer Communicator::Moved(std::vector<at::Tensor> values, int peer, Channel channel,
                             int first_part, const Move& move) {
  return Started(std::move(values), [&](std::vector<at::Tensor>& tensors, Transfer* transfer) {
    c10d::Backend* const backend = transfer->is_on_card_ ? &CardOf(channel, peer) : gloo_.get();
    int part = static_cast<int>(channel) + first_part;
    // On a card in one launch.
    if (transfer->is_on_card_) backend->startCoalescing();
    for (const at::Tensor& one : tensors) {
      std::vector<at::Tensor> alone = {one};
      const int to = transfer->is_on_card_ ? (rank_ < peer ? 1 : 0) : peer;
      transfer->works_.push_back(move(*backend, alone, to, part++));
    }
    if (transfer->is_on_card_) transfer->works_ = {backend->endCoalescing()};
  });
}

Transfer Communicator::Send(std::vector<at::Tensor> values, int to, Channel channel,
                            int first_part) {
  traffic_->sent_bytes += SizeOf(values);
  return Moved(std::move(values), to, channel, first_part,
               [](c10d::Backend& backend, std::vector<at::Tensor>& one, int peer, int tag) {
                 return backend.send(one, peer, tag);
               });
}

Transfer Communicator::Receive(std::vector<at::Tensor> values, int from, Channel channel,
                               int first_part) {
  traffic_->received_bytes += SizeOf(values);
  return Moved(std::move(values), from, channel, first_part,
               [](c10d::Backend& backend, std::vector<at::Tensor>& one, int peer, int tag) {
                 return backend.recv(one, peer, tag);
               });
}

}  // namespace localformer
