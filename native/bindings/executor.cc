// See executor.h.
#include "executor.h"

#include <c10/util/Exception.h>

#include <cstdlib>
#include <set>

#include "coded_error.h"
#include "train/allocation_watch.h"
#include "train/out_of_memory.h"

namespace localformer {
namespace {

// Executors whose thread may still run, for an exit() that JavaScript does not see (see StopOnExit
// in addon.cc for one that it does): statics of LibTorch go then, and the threads must go before.
std::mutex& LiveMutex() {
  static auto* mutex = new std::mutex;
  return *mutex;
}
std::set<Executor*>& Live() {
  static auto* live = new std::set<Executor*>;
  return *live;
}

// Runs at exit, where nothing may be thrown and little can be allocated.
void StopAll() noexcept {
  const std::lock_guard<std::mutex> lock(LiveMutex());
  for (Executor* executor : Live()) executor->Stop();
}

// What a job threw, as it is told. Whatever fails in the telling is told instead.
std::exception_ptr Told(const std::exception_ptr& thrown) {
  try {
    std::rethrow_exception(thrown);
  } catch (const c10::Error& error) {
    if (!IsOutOfMemory(error)) return thrown;
    // Here, since what was asked for is known to the thread that asked alone.
    try {
      return std::make_exception_ptr(OutOfMemory(error));
    } catch (...) {
      return std::current_exception();
    }
  } catch (...) {
    return std::current_exception();
  }
}

}  // namespace

Executor::Executor(Napi::Env env) : completion_(Completion::New(env, "localformer", 0, 1, this)) {
  completion_.Unref(env);
  // Registered after LibTorch's first statics, hence run before their destructors.
  static const int registered = std::atexit(StopAll);
  static_cast<void>(registered);
  const std::lock_guard<std::mutex> lock(LiveMutex());
  try {
    Live().insert(this);
    thread_ = std::thread([this] { Loop(); });
  } catch (...) {
    Live().erase(this);
    completion_.Abort();
    throw;
  }
}

Executor::~Executor() {
  Stop();
  const std::lock_guard<std::mutex> lock(LiveMutex());
  Live().erase(this);
}

void Executor::Stop() {
  cancelled_.store(true);
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
    // Their promises are never settled: nobody is left to hear.
    queue_.clear();
  }
  wake_.notify_all();
  // The end of an environment and that of the process may meet here; exit() may be called by a job.
  const std::lock_guard<std::mutex> lock(join_mutex_);
  if (thread_.joinable() && thread_.get_id() != std::this_thread::get_id()) thread_.join();
}

void Executor::Enqueue(Napi::Env env, std::unique_ptr<Job> job) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (stopping_) throw Napi::Error::New(env, "the environment is going away");
  queue_.push_back(std::move(job));
  if (pending_++ == 0) completion_.Ref(env);
  wake_.notify_one();
}

void Executor::Loop() {
  for (;;) {
    std::unique_ptr<Job> job;
    {
      std::unique_lock<std::mutex> lock(mutex_);
      wake_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
      if (stopping_) return;
      job = std::move(queue_.front());
      queue_.pop_front();
    }
    const AllocationWatch watch;
    try {
      job->Work();
      watch.ThrowIfFailed();
    } catch (...) {
      job->exception = Told(std::current_exception());
    }
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (stopping_) return;
    }
    Job* raw = job.release();
    if (completion_.NonBlockingCall(raw) != napi_ok) delete raw;
  }
}

void Executor::Settle(Napi::Env env, Napi::Function, Executor* self, Job* raw) {
  const std::unique_ptr<Job> job(raw);
  // Without an environment the call only asks to clean up.
  if (static_cast<napi_env>(env) == nullptr) return;
  const Napi::HandleScope scope(env);
  if (--self->pending_ == 0) self->completion_.Unref(env);
  if (!job->exception) {
    try {
      job->deferred.Resolve(job->Build(env));
      return;
    } catch (const Napi::Error& error) {
      job->deferred.Reject(error.Value());
      return;
    } catch (...) {
      job->exception = std::current_exception();
    }
  }
  job->deferred.Reject(ToJsError(env, job->exception));
}

}  // namespace localformer
