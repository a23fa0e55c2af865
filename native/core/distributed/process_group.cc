// See process_group.h.
#include "distributed/process_group.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <future>
#include <mutex>
#include <thread>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>
#include <utility>

#include "coded_error.h"
#include "distributed/card_backend.h"
#include "distributed/store_text.h"
#include "swin/unit.h"
#include "train/device.h"

namespace localformer {
namespace {

using Clock = std::chrono::steady_clock;

// No operation waits longer, where every rank gives signs of life: torch's own limit.
constexpr std::chrono::minutes kLongestWait(30);
constexpr std::chrono::milliseconds kPoll(20);
constexpr int kConnectMilliseconds = 250;
// The last one to leave waits so long for the others.
constexpr double kLeaveSeconds = 60;
// After a failure whoever hosts the store stays until the others have read what there is to say.
constexpr std::chrono::milliseconds kLinger(3000);

std::chrono::milliseconds Milliseconds(double seconds) {
  return std::chrono::milliseconds(static_cast<int64_t>(seconds * 1000));
}

std::string Place(const GroupOptions& options) {
  return options.address + ":" + std::to_string(options.port);
}

// An error of c10d or Gloo, without its stack and the place in its source.
std::string Plain(const std::exception& error) {
  const auto* torch = dynamic_cast<const c10::Error*>(&error);
  std::string text = torch != nullptr ? torch->what_without_backtrace() : error.what();
  const size_t line = text.find('\n');
  if (line != std::string::npos) text.resize(line);
  const size_t place = text.find("] ");
  if (text.compare(0, 1, "[") == 0 && place != std::string::npos) text.erase(0, place + 2);
  return text;
}

// Tries until somebody listens at the store's place: c10d would do so too, and not be stopped.
void AwaitStore(const GroupOptions& options, const std::atomic<bool>* cancelled) {
  const auto until = Clock::now() + Milliseconds(options.join_seconds);
  const std::string port = std::to_string(options.port);
  for (;;) {
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    const int status = getaddrinfo(options.address.c_str(), port.c_str(), &hints, &found);
    std::string problem = status == 0 ? "nobody listens there" : gai_strerror(status);
    for (const addrinfo* one = found; one != nullptr; one = one->ai_next) {
      const int descriptor = socket(one->ai_family, SOCK_STREAM | SOCK_NONBLOCK, 0);
      const bool is_begun =
          descriptor >= 0 &&
          (connect(descriptor, one->ai_addr, one->ai_addrlen) == 0 || errno == EINPROGRESS);
      pollfd wanted{descriptor, POLLOUT, 0};
      int error = 0;
      socklen_t size = sizeof error;
      const bool is_there = is_begun && poll(&wanted, 1, kConnectMilliseconds) == 1 &&
                            getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &error, &size) == 0 &&
                            error == 0;
      if (error != 0) problem = std::strerror(error);
      if (descriptor >= 0) close(descriptor);
      if (!is_there) continue;
      freeaddrinfo(found);
      return;
    }
    if (found != nullptr) freeaddrinfo(found);
    if (cancelled->load(std::memory_order_relaxed)) throw Cancelled();
    if (Clock::now() > until) {
      throw CodedError("ERR_DISTRIBUTED",
                       "Rank " + std::to_string(options.rank) + " found no store at " +
                           Place(options) + " within " +
                           std::to_string(static_cast<int64_t>(options.join_seconds)) +
                           " s: " + problem,
                       "Rank 0 hosts it, or torchrun's agent: look whether it runs, and whether "
                       "MASTER_ADDR and MASTER_PORT are its own.");
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(kConnectMilliseconds));
  }
}

c10::intrusive_ptr<c10d::Store> Connect(const GroupOptions& options, bool hosts) {
  c10d::TCPStoreOptions store;
  store.port = static_cast<uint16_t>(options.port);
  store.isServer = hosts;
  store.waitWorkers = false;
  store.timeout = Milliseconds(options.join_seconds);
  try {
    return c10::make_intrusive<c10d::TCPStore>(options.address, store);
  } catch (const std::exception& error) {
    const std::string who = "rank " + std::to_string(options.rank);
    if (hosts) {
      throw CodedError("ERR_DISTRIBUTED",
                       "Port " + std::to_string(options.port) + " cannot be taken by " + who +
                           ", which hosts the store: " + Plain(error),
                       "Another group may use it: choose another MASTER_PORT for all ranks.");
    }
    throw CodedError("ERR_DISTRIBUTED",
                     "What answers " + who + " at " + Place(options) +
                         " is no store of a process group: " + Plain(error),
                     "Look whether MASTER_ADDR and MASTER_PORT are those of rank 0.");
  }
}

// Of this machine, on the way to the store; none where that cannot be told.
std::optional<std::string> OwnAddress(const GroupOptions& options) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_DGRAM;
  addrinfo* found = nullptr;
  const std::string port = std::to_string(options.port);
  if (getaddrinfo(options.address.c_str(), port.c_str(), &hints, &found) != 0) return {};
  std::optional<std::string> address;
  const int socket_fd = socket(found->ai_family, SOCK_DGRAM, 0);
  sockaddr_storage own{};
  socklen_t size = sizeof own;
  // A datagram socket is connected without a word to the other side.
  if (socket_fd >= 0 && connect(socket_fd, found->ai_addr, found->ai_addrlen) == 0 &&
      getsockname(socket_fd, reinterpret_cast<sockaddr*>(&own), &size) == 0) {
    char text[NI_MAXHOST];
    if (getnameinfo(reinterpret_cast<sockaddr*>(&own), size, text, sizeof text, nullptr, 0,
                    NI_NUMERICHOST) == 0) {
      address = text;
    }
  }
  if (socket_fd >= 0) close(socket_fd);
  freeaddrinfo(found);
  return address;
}

c10::intrusive_ptr<c10d::ProcessGroupGloo::Options> GlooOptions(const GroupOptions& options) {
  // For connecting.
  auto gloo = c10d::ProcessGroupGloo::Options::create(Milliseconds(options.join_seconds));
  if (options.interface) {
    gloo->devices.push_back(c10d::ProcessGroupGloo::createDeviceForInterface(*options.interface));
  } else if (const std::optional<std::string> own = OwnAddress(options)) {
    gloo->devices.push_back(c10d::ProcessGroupGloo::createDeviceForHostname(*own));
  } else {
    gloo->devices.push_back(c10d::ProcessGroupGloo::createDefaultDevice());
  }
  return gloo;
}

// Whether a call is done that another thread makes; waits no longer than the group lasts.
template <typename Answer>
void Await(const std::future<Answer>& answer, const Watch* watch,
           const std::atomic<bool>* cancelled) {
  while (answer.wait_for(kPoll) != std::future_status::ready) {
    if (watch != nullptr) watch->ThrowIfFailed();
    if (cancelled->load(std::memory_order_relaxed)) throw Cancelled();
  }
}

}  // namespace

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
      broken = Plain(error);
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
    broken = Plain(error);
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

Communicator::Communicator(const std::string& name, int rank, int size, const GroupOptions& options,
                           const c10::intrusive_ptr<c10d::Store>& store,
                           std::shared_ptr<Watch> watch, std::shared_ptr<Traffic> traffic)
    : name_(name),
      rank_(rank),
      size_(size),
      store_(store),
      watch_(std::move(watch)),
      traffic_(std::move(traffic)) {
  try {
    backend_ = c10::make_intrusive<c10d::ProcessGroupGloo>(
        c10::make_intrusive<c10d::PrefixStore>("gloo/" + name, store), rank, size,
        GlooOptions(options));
    backend_->setTimeout(kLongestWait);
  } catch (const std::exception& error) {
    watch_->Explain("Rank " + std::to_string(options.rank) +
                    " could not connect to the others: " + Plain(error));
    watch_->ThrowIfFailed();
  }
}

Communicator::~Communicator() {
  // Their threads may wait for a rank that is gone, and would be waited for.
  if (!watch_->failure()) return;
  static_cast<void>(backend_.release());
  for (auto& [key, card] : cards_) static_cast<void>(card->backend.release());
}

template <typename Begin>
Transfer Communicator::Started(std::vector<at::Tensor> values, const Begin& begin) {
  watch_->ThrowIfFailed();
  Transfer transfer;
  transfer.is_on_card_ = !values.front().is_cpu();
  try {
    begin(values, &transfer);
  } catch (const CodedError&) {
    throw;
  } catch (const std::exception& error) {
    watch_->Explain("Lost the connection to another rank: " + Plain(error));
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
}

void Communicator::ThrowIfLost() {
  if (!cards_.empty()) watch_->ThrowIfFailed();
  for (const auto& [key, card] : cards_) {
    if (card->backend->getError() == c10d::ErrorType::SUCCESS) continue;
    watch_->Explain("Lost the connection to the card of another rank: NCCL gave up");
    watch_->ThrowIfFailed();
  }
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
    const auto work = backend_->allreduce(tensors);
    const auto ended = std::make_shared<Ended>();
    work->getFuture()->addCallback([ended](c10::ivalue::Future& future) {
      std::string broken;
      try {
        future.value();
      } catch (const std::exception& error) {
        broken = Plain(error);
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
    c10d::Backend* const backend = transfer->is_on_card_ ? &CardOf(channel, peer) : backend_.get();
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

namespace {

int64_t SizeOf(const std::vector<at::Tensor>& values) {
  int64_t bytes = 0;
  for (const at::Tensor& one : values) bytes += static_cast<int64_t>(one.nbytes());
  return bytes;
}

}  // namespace

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

ProcessGroup::ProcessGroup(const GroupOptions& options, const std::atomic<bool>* cancelled)
    : options_(options), cancelled_(cancelled) {
  if (!options_.hosts_store) AwaitStore(options_, cancelled_);
  store_ = c10::make_intrusive<c10d::PrefixStore>(options_.prefix,
                                                  Connect(options_, options_.hosts_store));
  Claim();
  watch_ = std::make_shared<Watch>(
      c10::make_intrusive<c10d::PrefixStore>(options_.prefix, Connect(options_, /*hosts=*/false)),
      rank(), size(), options_.silence_seconds, cancelled_);
  all_ = std::make_shared<Communicator>("all", rank(), size(), options_, store_, watch_, traffic_);
}

ProcessGroup::~ProcessGroup() {
  if (options_.hosts_store && watch_->failure()) std::this_thread::sleep_for(kLinger);
}

void ProcessGroup::Claim() {
  const std::string own = std::to_string(options_.rank);
  if (store_->add("claim/" + own, 1) > 1) {
    throw CodedError(
        "ERR_DISTRIBUTED",
        "Rank " + own + " is taken: two processes of the group at " + Place(options_) + " have it",
        "Give every process a RANK of its own, from 0 to WORLD_SIZE - 1; processes of "
        "an earlier start may still run.");
  }
  Watch::Announce(*store_, rank());
  const std::string size = std::to_string(options_.world_size);
  Put("size", size);
  const std::vector<std::string> sizes = Collect("size", options_.join_seconds);
  for (size_t other = 0; other < sizes.size(); ++other) {
    if (sizes[other] == size) continue;
    throw CodedError("ERR_DISTRIBUTED", "Rank " + std::to_string(other) +
                                            " was started with a WORLD_SIZE of " + sizes[other] +
                                            ", rank " + own + " with " + size);
  }
}

template <typename Call>
auto ProcessGroup::Ask(Call call) const -> decltype(call()) {
  // The thread keeps what it needs: it may be left behind.
  std::packaged_task<decltype(call())()> task(std::move(call));
  auto answer = task.get_future();
  std::thread(std::move(task)).detach();
  Await(answer, watch_.get(), cancelled_);
  try {
    return answer.get();
  } catch (const c10::Error& error) {
    const std::string reason = "The store at " + Place(options_) + " is gone: " + Plain(error);
    if (watch_ == nullptr) throw CodedError("ERR_DISTRIBUTED", reason);
    watch_->Explain(reason);
    watch_->ThrowIfFailed();
    throw;
  }
}

void ProcessGroup::Put(const std::string& key, const std::string& text) {
  const std::string own = key + "/" + std::to_string(rank());
  Ask([store = store_, own, text] { store->set(own, BytesOf(text)); });
}

std::vector<std::string> ProcessGroup::Collect(const std::string& key, double seconds) {
  const auto until = Clock::now() + Milliseconds(seconds);
  std::vector<std::string> keys;
  for (int other = 0; other < size(); ++other) keys.push_back(key + "/" + std::to_string(other));
  const auto are_there = [&](const std::vector<std::string>& wanted) {
    return Ask([store = store_, wanted] { return store->check(wanted); });
  };
  while (!are_there(keys)) {
    if (watch_ != nullptr) watch_->ThrowIfFailed();
    if (Clock::now() > until) {
      std::string missing;
      for (int other = 0; other < size(); ++other) {
        if (are_there({keys[static_cast<size_t>(other)]})) continue;
        missing += (missing.empty() ? "" : ", ") + std::to_string(other);
      }
      throw CodedError("ERR_DISTRIBUTED",
                       "Of " + std::to_string(size()) + " ranks these did not come to " +
                           Place(options_) + " within " +
                           std::to_string(static_cast<int64_t>(seconds)) + " s: " + missing,
                       "Look whether they were started, and with the same MASTER_ADDR, "
                       "MASTER_PORT and WORLD_SIZE.");
    }
    std::this_thread::sleep_for(kPoll);
  }
  std::vector<std::string> texts;
  for (const auto& bytes : Ask([store = store_, keys] { return store->multiGet(keys); })) {
    texts.push_back(TextOf(bytes));
  }
  return texts;
}

std::vector<std::string> ProcessGroup::Exchange(const std::string& key, const std::string& text) {
  watch_->ThrowIfFailed();
  Put("exchange/" + key, text);
  return Collect("exchange/" + key, std::chrono::duration<double>(kLongestWait).count());
}

void ProcessGroup::Aside(std::function<void()> work) const {
  std::packaged_task<void()> task(std::move(work));
  auto done = task.get_future();
  std::thread(std::move(task)).detach();
  Await(done, watch_.get(), cancelled_);
  done.get();
}

std::shared_ptr<Communicator> ProcessGroup::Among(const std::vector<int>& ranks) {
  std::shared_ptr<Communicator>& among = among_[ranks];
  if (among != nullptr) return among;
  std::string name = "of";
  for (const int one : ranks) name += " " + std::to_string(one);
  const auto own = std::find(ranks.begin(), ranks.end(), rank());
  among = std::make_shared<Communicator>(name, static_cast<int>(own - ranks.begin()),
                                         static_cast<int>(ranks.size()), options_, store_, watch_,
                                         traffic_);
  return among;
}

void ProcessGroup::ThrowIfLost() {
  all_->ThrowIfLost();
  for (const auto& [ranks, among] : among_) among->ThrowIfLost();
}

void ProcessGroup::Fail(const std::string& reason) {
  watch_->Tell("Rank " + std::to_string(rank()) + " failed: " + reason);
}

void ProcessGroup::Leave() {
  if (std::exchange(has_left_, true)) return;
  Put("left", "1");
  Collect("left", std::chrono::duration<double>(kLongestWait).count());
  // In the order in which all ranks made them.
  Aside([all = all_, among = among_] {
    all->Close();
    for (const auto& [ranks, one] : among) one->Close();
  });
  watch_->Rest();
  Put("gone", "1");
  if (!options_.hosts_store) return;
  try {
    Collect("gone", kLeaveSeconds);
  } catch (const CodedError&) {
    // All have done what they had to: who ends without a word is not missed.
  }
}

}  // namespace localformer
