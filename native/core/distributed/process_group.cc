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
#include <cstring>
#include <future>
#include <map>
#include <mutex>
#include <thread>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>
#include <utility>

#include "coded_error.h"
#include "distributed/store_text.h"
#include "swin/unit.h"

namespace localformer {
namespace {

using Clock = std::chrono::steady_clock;

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

// What this process hosts, by port. A store stays as long as the process: a group that is joined
// again, perhaps before all ranks have left the last one, finds it.
struct Hosted {
  std::mutex mutex;
  std::map<int64_t, c10::intrusive_ptr<c10d::Store>> stores;
};

Hosted& HostedHere() {
  // Left to the end of the process: what destroys it later might be gone by then.
  static auto* const hosted = new Hosted();
  return *hosted;
}

c10::intrusive_ptr<c10d::Store> Connect(const GroupOptions& options, bool hosts) {
  c10d::TCPStoreOptions store;
  store.port = static_cast<uint16_t>(options.port);
  store.isServer = hosts;
  store.waitWorkers = false;
  store.timeout = Milliseconds(options.join_seconds);
  try {
    if (!hosts) return c10::make_intrusive<c10d::TCPStore>(options.address, store);
    Hosted& hosted = HostedHere();
    const std::lock_guard<std::mutex> lock(hosted.mutex);
    c10::intrusive_ptr<c10d::Store>& own = hosted.stores[options.port];
    if (own == nullptr) own = c10::make_intrusive<c10d::TCPStore>(options.address, store);
    return own;
  } catch (const std::exception& error) {
    const std::string who = "rank " + std::to_string(options.rank);
    if (hosts) {
      throw CodedError("ERR_DISTRIBUTED",
                       "Port " + std::to_string(options.port) + " cannot be taken by " + who +
                           ", which hosts the store: " + PlainText(error),
                       "Another group may use it: choose another MASTER_PORT for all ranks. Or "
                       "another process has RANK 0 too: give each a RANK of its own.");
    }
    throw CodedError("ERR_DISTRIBUTED",
                     "What answers " + who + " at " + Place(options) +
                         " is no store of a process group: " + PlainText(error),
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

ProcessGroup::ProcessGroup(const GroupOptions& options, const std::atomic<bool>* cancelled)
    : options_(options), cancelled_(cancelled) {
  if (!options_.hosts_store) AwaitStore(options_, cancelled_);
  store_ = c10::make_intrusive<c10d::PrefixStore>(options_.prefix,
                                                  Connect(options_, options_.hosts_store));
  Claim();
  watch_ = std::make_shared<Watch>(
      c10::make_intrusive<c10d::PrefixStore>(options_.prefix, Connect(options_, /*hosts=*/false)),
      rank(), size(), options_.silence_seconds, cancelled_);
  all_ = MakeCommunicator("all", rank(), size());
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
    const std::string reason = "The store at " + Place(options_) + " is gone: " + PlainText(error);
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
  among =
      MakeCommunicator(name, static_cast<int>(own - ranks.begin()), static_cast<int>(ranks.size()));
  return among;
}

std::shared_ptr<Communicator> ProcessGroup::OfAll() {
  of_all_.push_back(MakeCommunicator("division " + std::to_string(of_all_.size()), rank(), size()));
  return of_all_.back();
}

std::shared_ptr<Communicator> ProcessGroup::MakeCommunicator(const std::string& name, int own_rank,
                                                             int count) const {
  const auto made = std::make_shared<c10::intrusive_ptr<c10d::Backend>>();
  try {
    // It waits for the others, who may be gone.
    Aside([made, name, own_rank, count, store = store_, options = options_] {
      auto gloo = c10::make_intrusive<c10d::ProcessGroupGloo>(
          c10::make_intrusive<c10d::PrefixStore>("gloo/" + name, store), own_rank, count,
          GlooOptions(options));
      gloo->setTimeout(kLongestWait);
      *made = gloo;
    });
  } catch (const CodedError&) {
    throw;
  } catch (const Cancelled&) {
    throw;
  } catch (const std::exception& error) {
    watch_->Explain("Rank " + std::to_string(rank()) +
                    " could not connect to the others: " + PlainText(error));
    watch_->ThrowIfFailed();
  }
  return std::make_shared<Communicator>(name, own_rank, count, *made, store_, watch_, traffic_);
}

std::vector<std::shared_ptr<Communicator>> ProcessGroup::Communicators() const {
  std::vector<std::shared_ptr<Communicator>> all = {all_};
  for (const auto& [ranks, one] : among_) all.push_back(one);
  all.insert(all.end(), of_all_.begin(), of_all_.end());
  return all;
}

void ProcessGroup::ThrowIfLost() {
  for (const auto& one : Communicators()) one->ThrowIfLost();
}

void ProcessGroup::Fail(const std::string& reason) {
  watch_->Tell("Rank " + std::to_string(rank()) + " failed: " + reason);
}

void ProcessGroup::Leave() {
  if (std::exchange(has_left_, true)) return;
  Put("left", "1");
  Collect("left", std::chrono::duration<double>(kLongestWait).count());
  // In the order in which all ranks made them.
  Aside([all = Communicators()] {
    for (const auto& one : all) one->Close();
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
