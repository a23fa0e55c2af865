// A thread of the addon's own: jobs run on it in order, their results are built and their promises
// settled on the JS thread. libuv's pool is never used. Each JavaScript environment has one that
// trains and one that prepares batches.
#pragma once

#include <napi.h>

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <type_traits>
#include <utility>

#include "errors.h"
#include "to_js.h"

namespace localformer {

class Executor {
 public:
  explicit Executor(Napi::Env env);
  ~Executor();
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;

  // `work` runs on the native thread and gives a plain value; `build` turns that into a JS value on
  // the JS thread. What either throws rejects the promise.
  template <typename Work, typename Build>
  Napi::Promise Run(Napi::Env env, Work work, Build build);

  // The same where ToJs builds it; work that gives nothing resolves to undefined.
  template <typename Work>
  Napi::Promise Run(Napi::Env env, Work work);

  // Abandons the job at work at its next unit, drops those that wait, and joins the thread. Called
  // once the environment or the process goes away; may be called again.
  void Stop();

  const std::atomic<bool>* cancelled() const { return &cancelled_; }

 private:
  struct Job {
    explicit Job(Napi::Env env) : deferred(Napi::Promise::Deferred::New(env)) {}
    virtual ~Job() = default;
    virtual void Work() = 0;                       // native thread
    virtual Napi::Value Build(Napi::Env env) = 0;  // JS thread
    Napi::Promise::Deferred deferred;
    std::exception_ptr exception;
  };

  template <typename W, typename B>
  struct TypedJob final : Job {
    using Value = decltype(std::declval<W&>()());
    TypedJob(Napi::Env env, W work, B build)
        : Job(env), work_(std::move(work)), build_(std::move(build)) {}
    void Work() override { value_ = std::make_unique<Value>(work_()); }
    Napi::Value Build(Napi::Env env) override { return build_(env, *value_); }

   private:
    std::function<Value()> work_;
    std::function<Napi::Value(Napi::Env, Value&)> build_;
    std::unique_ptr<Value> value_;
  };

  void Enqueue(Napi::Env env, std::unique_ptr<Job> job);
  void Loop();
  static void Settle(Napi::Env env, Napi::Function, Executor* self, Job* job);

  using Completion = Napi::TypedThreadSafeFunction<Executor, Job, &Executor::Settle>;

  Completion completion_;
  std::atomic<bool> cancelled_{false};
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::unique_ptr<Job>> queue_;  // guarded by mutex_
  bool stopping_ = false;                   // guarded by mutex_
  size_t pending_ = 0;                      // JS thread only: keeps the event loop alive while > 0
  std::mutex join_mutex_;
  std::thread thread_;
};

template <typename Work, typename Build>
Napi::Promise Executor::Run(Napi::Env env, Work work, Build build) {
  auto job = std::make_unique<TypedJob<Work, Build>>(env, std::move(work), std::move(build));
  Napi::Promise promise = job->deferred.Promise();
  Enqueue(env, std::move(job));
  return promise;
}

template <typename Work>
Napi::Promise Executor::Run(Napi::Env env, Work work) {
  using Value = decltype(work());
  if constexpr (std::is_void_v<Value>) {
    return Run(
        env,
        [work = std::move(work)]() mutable {
          work();
          return true;
        },
        [](Napi::Env js, bool&) { return js.Undefined(); });
  } else {
    return Run(env, std::move(work),
               [](Napi::Env js, Value& value) -> Napi::Value { return ToJs(js, value); });
  }
}

}  // namespace localformer
