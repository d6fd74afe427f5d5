// pool.cc -- a fork-join pool: one job at a time, chunks claimed by counting down.
//
// The caller writes the job, publishes the count of unclaimed chunks, signals as many workers as can be of use, and
// claims chunks like everybody else.  Who gets a positive number from the countdown owns that chunk of the job that the
// count was published with: a job ends only when all its chunks are done, so its fields cannot change under the claim,
// however late a worker comes.  A worker that is not scheduled holds up nobody unless it holds a chunk.
//
// Workers spin for some microseconds after a job, since kernels come in series, then sleep in their own futex.  They are
// detached and the pool is never destroyed: a process exits while they sleep.  They are never stopped either; fewer threads
// means that some are not signalled.
#include "backends/host/pool.h"
#include <pthread.h>
#include <signal.h>
#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <exception>
#include <string>
#include <thread>
#include <utility>
#include "backends/host/cores.h"
#include "jaxpp/core/error.h"

namespace jaxpp {
namespace host {
namespace {

constexpr int kMaxThreads = 1024;
constexpr int kWorkerSpins = 500, kCallerSpins = 1000;  // of about 20 ns: longer than a wake-up

void pause() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}
/// Until `at` is no longer `old`: spins, then sleeps.
void wait_while(const std::atomic<std::uint32_t>& at, std::uint32_t old, int spins) {
  while (at.load(std::memory_order_acquire) == old)
    if (spins-- > 0)
      pause();
    else
      at.wait(old, std::memory_order_acquire);
}

struct alignas(64) Worker {
  std::atomic<std::uint32_t> signal{0};  // counts the jobs that this worker was called to
};

class Pool {
 public:
  /// False if the pool is in use.
  bool run(std::int64_t chunks, void (*f)(void*, std::int64_t), void* context, int wanted) {
    if (busy_.exchange(true, std::memory_order_acquire)) return false;
    start(wanted - 1);
    const int helpers = int(std::min<std::int64_t>(chunks - 1, std::min(wanted - 1, started_)));
    run_ = f;
    context_ = context;
    chunks_ = chunks;
    finished_.store(0, std::memory_order_relaxed);
    left_.store(chunks, std::memory_order_relaxed);
    unclaimed_.store(chunks, std::memory_order_release);
    for (int i = 0; i < helpers; ++i) {
      workers_[i].signal.fetch_add(1, std::memory_order_seq_cst);
      workers_[i].signal.notify_one();  // no system call unless it sleeps
    }
    if (!work()) wait_while(finished_, 0, kCallerSpins);
    const std::exception_ptr error = std::exchange(error_, nullptr);
    failed_.store(false, std::memory_order_relaxed);
    busy_.store(false, std::memory_order_release);
    if (error) std::rethrow_exception(error);
    return true;
  }
  /// A forked child has none of the threads.
  void forget_threads() {
    started_ = 0;
    busy_.store(false, std::memory_order_relaxed);
  }

 private:
  // Claims chunks until there are none.  True if that finished the job.
  bool work() {
    std::int64_t done = 0;
    while (unclaimed_.load(std::memory_order_relaxed) > 0) {
      const std::int64_t c = unclaimed_.fetch_sub(1, std::memory_order_acquire);
      if (c <= 0) break;
      try {
        run_(context_, chunks_ - c);
      } catch (...) {
        if (!failed_.exchange(true, std::memory_order_relaxed)) error_ = std::current_exception();
      }
      ++done;
    }
    return done && left_.fetch_sub(done, std::memory_order_acq_rel) == done;
  }
  void serve(int i, std::uint32_t seen) {
    pthread_setname_np(pthread_self(), "jaxpp");
    for (Worker& me = workers_[i];;) {
      wait_while(me.signal, seen, kWorkerSpins);
      seen = me.signal.load(std::memory_order_acquire);
      if (work()) {
        finished_.store(1, std::memory_order_release);
        finished_.notify_one();  // the caller may be in its next job already: woken in vain
      }
    }
  }
  // Up to n workers; fewer if the system gives no more.
  void start(int n) {
    if (started_ >= n) return;
    sigset_t all, old;  // signals are for the threads of the user
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    try {
      for (; started_ < n; ++started_)
        std::thread(&Pool::serve, this, started_, workers_[started_].signal.load()).detach();
    } catch (const std::system_error&) {
    }
    pthread_sigmask(SIG_SETMASK, &old, nullptr);
  }

  alignas(64) std::atomic<std::int64_t> unclaimed_{
      0};                                          // less than 0: by workers that came too late
  alignas(64) std::atomic<std::int64_t> left_{0};  // chunks that are not done
  alignas(64) std::atomic<std::uint32_t> finished_{0};  // set by the worker that did the last one
  std::atomic<bool> failed_{false};
  alignas(64) std::atomic<bool> busy_{false};  // its holder owns what follows
  void (*run_)(void*, std::int64_t) = nullptr;
  void* context_ = nullptr;
  std::int64_t chunks_ = 0;
  std::exception_ptr error_;  // written by who sets failed_
  int started_ = 0;
  Worker workers_[kMaxThreads];
};

Pool& pool() {
  static Pool& p = *[] {
    static Pool* made = new Pool;
    pthread_atfork(nullptr, nullptr, [] { made->forget_threads(); });
    return made;
  }();
  return p;
}

int initial_threads() {
  const char* text = std::getenv("JAXPP_NUM_THREADS");
  if (!text || !*text) return std::min(usable_cores(), kMaxThreads);
  char* end = nullptr;
  const long n = std::strtol(text, &end, 10);
  if (*end || n < 1 || n > kMaxThreads)
    throw Error("JAXPP_NUM_THREADS is \"" + std::string(text) +
                "\" in the environment: it is a whole number from 1 to " +
                std::to_string(kMaxThreads) + ".  [E57]");
  return int(n);
}
std::atomic<int> wanted_threads{0};  // 0: nobody has asked yet

}  // namespace

void parallel_for(std::int64_t chunks, void (*run)(void*, std::int64_t), void* context) {
  if (chunks > 1)
    if (const int n = num_threads(); n > 1 && pool().run(chunks, run, context, n)) return;
  std::exception_ptr error;
  for (std::int64_t c = 0; c < chunks; ++c) try {
      run(context, c);
    } catch (...) {
      if (!error) error = std::current_exception();
    }
  if (error) std::rethrow_exception(error);
}

}  // namespace host

int num_threads() {
  int n = host::wanted_threads.load(std::memory_order_relaxed);
  if (n == 0) {
    const int found = host::initial_threads();
    if (host::wanted_threads.compare_exchange_strong(n, found)) n = found;
  }
  return n;
}

void set_num_threads(int n, std::source_location loc) {
  if (n < 1 || n > host::kMaxThreads)
    internal::fail<Error>("set_num_threads: " + std::to_string(n) + " is not a number from 1 to " +
                              std::to_string(host::kMaxThreads) + ".",
                          loc, "E57");
  host::wanted_threads.store(n, std::memory_order_relaxed);
}

}  // namespace jaxpp
