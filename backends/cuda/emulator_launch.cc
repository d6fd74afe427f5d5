// emulator_launch.cc -- the scheduler of a block's threads.
//
// A fiber runs threads one after another.  Only when a thread has to wait (for a barrier, for the lanes of a shuffle) does
// it keep its fiber, and another fiber goes on with the threads that have not started: a kernel without barriers is a
// plain loop.  The last one to arrive at a barrier releases the others and goes on.  If nobody can run and some wait,
// they would wait forever: that is reported, never waited for.
//
// A fault (SIGSEGV, ...) inside a kernel switches back to the scheduler, out of the signal handler; the fiber is dropped.
#include "backends/cuda/emulator_launch.h"

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <deque>
#include <memory>
#include <mutex>
#include <random>
#include <stdexcept>
#include <vector>

#include "backends/cuda/emulator_fiber.h"
#include "jaxpp/core/error.h"

namespace jaxpp::cuda::emulation {
namespace {

using Schedule = EmulatorOptions::Schedule;

// As the shim numbers them.
enum WarpOperation {
  kSync = 0,
  kShuffle = 1,
  kBallot = 2,
  kMatch = 3,
  kReduce = 20,
  kReduceUnsigned = 30
};
enum BlockOperation { kPlain = 0, kCount = 1, kAnd = 2, kOr = 3 };

struct Thread {
  enum class Is : std::uint8_t { unstarted, runnable, at_warp, at_block, done } is = Is::unstarted;
  int fiber = -1;  // whose stack it is on
  // what it waits for
  int operation = 0, line = 0;
  std::uint32_t mask = 0;
  int source = 0;
  std::uint64_t value = 0;  // given; then the result
};

constexpr std::size_t kGuard =
    64 << 10;  // bytes after dynamic shared memory; whole pages everywhere

struct Failure {
  std::string what;  // "" if there is none
  int thread = -1, line = 0;
};

class Scheduler {
 public:
  Scheduler();
  void run(const Launch&);

  // Called on fibers.
  std::uint64_t warp(int operation, std::uint32_t mask, std::uint64_t value, int lane, int line);
  int block(int operation, int predicate, int line);
  // Neither returns, because nobody resumes the fiber.  (Not declared so: the address sanitizer would then look at the
  // stack, and it does not know ours.)
  void fail(std::string what, int line);
  void fault(const siginfo_t&);  // called by the handler of signals, on its own stack
  bool in_kernel() const { return in_kernel_ && pthread_equal(runner_, pthread_self()); }

 private:
  static void fiber_main();
  void run_block();
  void resume(int fiber);
  void suspend();
  void start_threads();
  void set_current(int t);
  int choose();
  void release_warp(int warp, std::uint32_t mask);
  void release_block();
  std::string fault_text() const;
  [[noreturn]] void report_deadlock();
  std::string name_of(int t) const;
  std::string waiting(const Thread&) const;
  std::string place(int line) const {
    return line > 0 ? "line " + std::to_string(line) : std::string("an unknown line");
  }
  int lanes(int warp) const { return std::min(32, count_ - 32 * warp); }

  Stacks stacks_;
  std::vector<Context> fibers_;
  Context scheduler_;
  std::vector<int> idle_;  // fibers without a thread
  int made_ = 0;           // fibers that have been started
  int fiber_ = -1;         // running
  pthread_t runner_{};
  volatile bool in_kernel_ = false;

  // Of the launch
  const Launch* launch_ = nullptr;
  State* state_ = nullptr;
  std::mt19937 random_;
  int count_ = 0;
  std::vector<std::array<unsigned, 3>> index_;  // threadIdx
  // Of the block
  std::vector<Thread> threads_;
  std::vector<int> order_;              // in which threads start
  std::size_t started_ = 0;             // so many of them have
  std::deque<int> runnable_;            // threads that no longer wait
  std::vector<std::uint32_t> at_warp_;  // by warp: lanes that wait
  int at_block_ = 0, done_ = 0, current_ = -1;
  Failure failure_;
  int signal_ = 0;  // of a fault
  void* fault_ = nullptr;
  bool misaligned_ = false;
  std::byte* dynamic_ = nullptr;  // kMaxShared bytes, then some that cannot be touched
};

Scheduler* scheduler = nullptr;

Scheduler::Scheduler() : stacks_(kMaxThreads), fibers_(kMaxThreads) {
  constexpr std::size_t size = (std::size_t(kMaxShared) + kGuard - 1) / kGuard * kGuard;
  void* m =
      ::mmap(nullptr, size + kGuard, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (m == MAP_FAILED) throw std::bad_alloc();
  ::mprotect(static_cast<std::byte*>(m) + size, kGuard, PROT_NONE);
  dynamic_ = static_cast<std::byte*>(m) + size - kMaxShared;
}

const Calls kCalls = {
    [](int operation, std::uint32_t mask, std::uint64_t value, int lane, int line) {
      return scheduler->warp(operation, mask, value, lane, line);
    },
    [](int operation, int predicate, int line) {
      return scheduler->block(operation, predicate, line);
    },
    [](const char* what, const void* address, int line) {
      std::string s = what;
      if (address) {
        char hex[32];
        std::snprintf(hex, sizeof hex, " (address %p)", address);
        s += hex;
      }
      scheduler->fail(std::move(s), line);
    },
};

// ---- On fibers

void Scheduler::fiber_main() {
  Scheduler& s = *scheduler;
  for (;;) {
    s.start_threads();
    s.idle_.push_back(s.fiber_);
    s.suspend();
  }
}
// The threads that have not started, until one of them has to wait; when that has gone on and ended, further ones.
void Scheduler::start_threads() {
  while (started_ < order_.size()) {
    const int t = order_[started_++];
    set_current(t);
    threads_[std::size_t(t)].fiber = fiber_;
    threads_[std::size_t(t)].is = Thread::Is::runnable;
    launch_->kernel->run(launch_->arguments);
    threads_[std::size_t(current_)].is = Thread::Is::done;
    ++done_;
    if (!runnable_.empty() && launch_->schedule != Schedule::forward) return;
  }
}
void Scheduler::set_current(int t) {
  current_ = t;
  std::memcpy(state_->thread, index_[std::size_t(t)].data(), sizeof state_->thread);
}
void Scheduler::suspend() {
  const int fiber = fiber_;
  switch_context(fibers_[std::size_t(fiber)], scheduler_);
}

std::uint64_t Scheduler::warp(int operation, std::uint32_t mask, std::uint64_t value, int source,
                              int line) {
  const int t = current_, w = t / 32, lane = t % 32;
  const int n = lanes(w);
  if (n < 32) mask &= (1u << n) - 1;  // lanes that do not exist take no part
  if (!(mask >> lane & 1)) fail("the mask of a warp's operation lacks the thread's own lane", line);
  Thread& self = threads_[std::size_t(t)];
  self.operation = operation, self.line = line, self.mask = mask, self.source = source,
  self.value = value;
  std::uint32_t& arrived = at_warp_[std::size_t(w)];
  arrived |= 1u << lane;
  if ((arrived & mask) == mask) {
    release_warp(w, mask);
  } else {
    self.is = Thread::Is::at_warp;
    suspend();
  }
  return self.value;
}
// All lanes of the mask have arrived, the running thread last.
void Scheduler::release_warp(int w, std::uint32_t mask) {
  Thread* lane = &threads_[std::size_t(32 * w)];
  const Thread& self = threads_[std::size_t(current_)];
  for (std::uint32_t m = mask; m; m &= m - 1) {
    const Thread& other = lane[std::countr_zero(m)];
    if (other.mask != mask || other.operation != self.operation || other.line != self.line)
      fail("lanes of a warp meet in different operations: " +
               name_of(int(&other - threads_.data())) + " " + waiting(other),
           self.line);
  }
  std::uint64_t given[32] = {}, all = 0;
  for (std::uint32_t m = mask; m; m &= m - 1)
    given[std::countr_zero(m)] = lane[std::countr_zero(m)].value;
  const int operation = self.operation;
  if (operation == kBallot)
    for (int i = 0; i < 32; ++i) all |= given[i] << i;
  if (operation >= kReduce) {
    const bool is_unsigned = operation >= kReduceUnsigned;
    all = given[std::countr_zero(mask)];
    for (std::uint32_t m = mask & (mask - 1); m; m &= m - 1) {
      const std::uint64_t v = given[std::countr_zero(m)];
      const bool less = is_unsigned ? v < all : std::int64_t(v) < std::int64_t(all);
      switch (operation - (is_unsigned ? kReduceUnsigned : kReduce)) {
        case 0: all += v; break;
        case 1: all = less ? v : all; break;
        case 2: all = less ? all : v; break;
        case 3: all &= v; break;
        case 4: all |= v; break;
        default: all ^= v;
      }
    }
  }
  for (std::uint32_t m = mask; m; m &= m - 1) {
    const int i = std::countr_zero(m);
    Thread& other = lane[i];
    if (operation == kShuffle) {
      if (!(mask >> other.source & 1))
        fail("a shuffle reads lane " + std::to_string(other.source) + ", which takes no part in it",
             other.line);
      other.value = given[other.source];
    } else if (operation == kMatch) {
      other.value = 0;
      for (std::uint32_t k = mask; k; k &= k - 1)
        if (given[std::countr_zero(k)] == given[i]) other.value |= k & -k;
    } else {
      other.value = all;
    }
    if (other.is == Thread::Is::at_warp) {
      other.is = Thread::Is::runnable;
      runnable_.push_back(int(&other - threads_.data()));
    }
  }
  at_warp_[std::size_t(w)] &= ~mask;
}

int Scheduler::block(int operation, int predicate, int line) {
  Thread& self = threads_[std::size_t(current_)];
  self.operation = operation, self.line = line, self.value = std::uint64_t(predicate);
  if (++at_block_ == count_) {
    release_block();
  } else {
    self.is = Thread::Is::at_block;
    suspend();
  }
  return int(self.value);
}
void Scheduler::release_block() {
  const Thread& self = threads_[std::size_t(current_)];
  std::uint64_t sum = 0;
  for (const Thread& other : threads_) {
    if (other.line != self.line || other.operation != self.operation)
      fail("threads of a block meet at different barriers: " +
               name_of(int(&other - threads_.data())) + " " + waiting(other),
           self.line);
    sum += other.value;
  }
  if (self.operation == kAnd) sum = sum == std::uint64_t(count_);
  if (self.operation == kOr) sum = sum != 0;
  for (int t : order_) {
    Thread& other = threads_[std::size_t(t)];
    other.value = sum;
    if (other.is == Thread::Is::at_block) {
      other.is = Thread::Is::runnable;
      runnable_.push_back(t);
    }
  }
  at_block_ = 0;
}

void Scheduler::fail(std::string what, int line) {
  failure_ = {std::move(what), current_, line};
  suspend();
}

// ---- Faults

struct sigaction previous[NSIG];
constexpr int kSignals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL};

void on_signal(int signal, siginfo_t* info, void*) {
  if (scheduler && scheduler->in_kernel()) scheduler->fault(*info);
  ::sigaction(signal, &previous[signal], nullptr);  // somebody else's: it faults again
}
// Handlers, and a stack for them, while kernels run.
class Handlers {
 public:
  Handlers() {
    static std::byte stack[64 << 10];
    stack_t own = {};
    own.ss_sp = stack;
    own.ss_size = sizeof stack;
    ::sigaltstack(&own, &previous_stack_);
    struct sigaction a = {};
    a.sa_sigaction = on_signal;
    a.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
    ::sigemptyset(&a.sa_mask);
    for (int s : kSignals) ::sigaction(s, &a, &previous[s]);
  }
  ~Handlers() {
    for (int s : kSignals) ::sigaction(s, &previous[s], nullptr);
    ::sigaltstack(&previous_stack_, nullptr);
  }
  Handlers(const Handlers&) = delete;

 private:
  stack_t previous_stack_;
};

void Scheduler::fault(const siginfo_t& info) {
  in_kernel_ = false;
  signal_ = info.si_signo;
  misaligned_ = signal_ == SIGBUS || info.si_code == SI_KERNEL;  // x86 gives no address then
  fault_ = info.si_addr;
  suspend();
}
std::string Scheduler::fault_text() const {
  if (signal_ == SIGFPE) return "an integer division by zero, or one that overflows";
  if (signal_ == SIGILL) return "an illegal instruction";
  if (misaligned_) return "an access that is not aligned, or at an impossible address";
  if (stacks_.overflows(fault_)) return "more local memory than the emulation has";
  const auto* end = dynamic_ + kMaxShared;
  if (fault_ >= end && fault_ < end + kGuard)
    return "an access after the end of dynamic shared memory";
  return "an access " + (launch_->describe
                             ? launch_->describe(reinterpret_cast<std::uintptr_t>(fault_))
                             : std::string("outside memory"));
}

// ---- The scheduler

void Scheduler::resume(int fiber) {
  fiber_ = fiber;
  in_kernel_ = true;
  switch_context(scheduler_, fibers_[std::size_t(fiber)]);
  in_kernel_ = false;
}
// Which runnable thread goes on: the first or last by number where the schedule says so, or any.
int Scheduler::choose() {
  std::size_t i = 0;
  if (launch_->schedule == Schedule::forward) {
    const int t = runnable_.front();
    runnable_.pop_front();
    return t;
  }
  if (launch_->schedule == Schedule::reverse) i = runnable_.size() - 1;
  if (launch_->schedule == Schedule::shuffled) i = random_() % runnable_.size();
  const int t = runnable_[i];
  runnable_.erase(runnable_.begin() + std::ptrdiff_t(i));
  return t;
}

void Scheduler::run_block() {
  threads_.assign(std::size_t(count_), {});
  at_warp_.assign(std::size_t(count_ + 31) / 32, 0);
  runnable_.clear();
  started_ = 0;
  at_block_ = done_ = 0;
  if (launch_->schedule == Schedule::shuffled) std::shuffle(order_.begin(), order_.end(), random_);
  for (const auto& [begin, size] : launch_->shared) std::memset(begin, 0xff, size);
  if (launch_->dynamic_shared) std::memset(state_->dynamic, 0xff, launch_->dynamic_shared);
  while (done_ < count_) {
    const bool can_start = started_ < order_.size();
    if (!runnable_.empty() &&
        !(can_start && launch_->schedule == Schedule::shuffled && random_() % 2)) {
      const int t = choose();
      set_current(t);
      resume(threads_[std::size_t(t)].fiber);
    } else if (can_start) {
      if (idle_.empty()) {
        stacks_.start(fibers_[std::size_t(made_)], made_, fiber_main);
        idle_.push_back(made_++);
      }
      const int fiber = idle_.back();
      idle_.pop_back();
      resume(fiber);
    } else {
      report_deadlock();
    }
    if (signal_) failure_ = {fault_text(), current_, 0};
    if (!failure_.what.empty()) {
      const std::string line = failure_.line > 0 ? ", " + place(failure_.line) : "";
      throw Error(name_of(failure_.thread) + line + ": " + failure_.what + ".");
    }
  }
}

std::string Scheduler::name_of(int t) const {
  const auto [x, y, z] = index_[std::size_t(t)];
  return "thread (" + std::to_string(x) + "," + std::to_string(y) + "," + std::to_string(z) + ")";
}
std::string Scheduler::waiting(const Thread& t) const {
  char mask[16];
  std::snprintf(mask, sizeof mask, "%08x", unsigned(t.mask));
  switch (t.is) {
    case Thread::Is::at_block: return "waits at the barrier of " + place(t.line);
    case Thread::Is::at_warp:
      return "waits in " + place(t.line) + " for the lanes " + mask + " of its warp";
    case Thread::Is::done: return "has returned";
    default: return "is at " + place(t.line);
  }
}
// Each kind of waiting once, with the first thread that does it.
void Scheduler::report_deadlock() {
  std::string s = "deadlock: ";
  std::vector<const Thread*> kinds;
  for (const Thread& t : threads_) {
    auto same = [&](const Thread* k) {
      return k->is == t.is &&
             (t.is == Thread::Is::done || (k->line == t.line && k->mask == t.mask));
    };
    if (std::any_of(kinds.begin(), kinds.end(), same)) continue;
    s += (kinds.empty() ? "" : "; ") + name_of(int(&t - threads_.data())) + " " + waiting(t);
    kinds.push_back(&t);
    if (kinds.size() == 4) break;
  }
  throw Error(s + ".");
}

void Scheduler::run(const Launch& l) {
  const Handlers handlers;
  launch_ = &l;
  state_ = l.image->state;
  *l.image->calls = &kCalls;
  runner_ = pthread_self();
  random_.seed(l.seed);
  count_ = int(l.block.x * l.block.y * l.block.z);
  order_.resize(std::size_t(count_));
  index_.clear();
  for (int i = 0; i < count_; ++i) {
    order_[std::size_t(i)] = l.schedule == Schedule::reverse ? count_ - 1 - i : i;
    const unsigned u = unsigned(i);
    index_.push_back({u % l.block.x, u / l.block.x % l.block.y, u / (l.block.x * l.block.y)});
  }
  *state_ = {{},
             {},
             {l.block.x, l.block.y, l.block.z},
             {l.grid.x, l.grid.y, l.grid.z},
             dynamic_ + (kMaxShared - l.dynamic_shared) / 16 * 16};
  try {
    for (unsigned z = 0; z < l.grid.z; ++z)
      for (unsigned y = 0; y < l.grid.y; ++y)
        for (unsigned x = 0; x < l.grid.x; ++x) {
          state_->block[0] = x, state_->block[1] = y, state_->block[2] = z;
          run_block();
        }
  } catch (const Error& e) {
    // Whatever the fibers were doing is given up.
    made_ = 0;
    idle_.clear();
    failure_ = {};
    signal_ = 0;
    throw Error(std::string("kernel ") + l.kernel->name + ", block (" +
                std::to_string(state_->block[0]) + "," + std::to_string(state_->block[1]) + "," +
                std::to_string(state_->block[2]) + "): " + e.what());
  }
}

}  // namespace

void check_limits(const Launch& l) {
  auto limit = [&](const char* what, std::int64_t n, std::int64_t least, std::int64_t most) {
    if (n < least || n > most)
      throw Error(std::string("launch of kernel ") + l.kernel->name + ": " + what + " is " +
                  std::to_string(n) + "; a device takes " + std::to_string(least) + " to " +
                  std::to_string(most) + ".");
  };
  limit("the number of threads in a block", std::int64_t(l.block.x) * l.block.y * l.block.z, 1,
        l.kernel->bound > 0 ? std::min(l.kernel->bound, kMaxThreads) : kMaxThreads);
  limit("block.x", l.block.x, 1, 1024);
  limit("block.y", l.block.y, 1, 1024);
  limit("block.z", l.block.z, 1, 64);
  limit("grid.x", l.grid.x, 1, 0x7fffffff);
  limit("grid.y", l.grid.y, 1, 65535);
  limit("grid.z", l.grid.z, 1, 65535);
  limit("static shared memory", l.static_shared, 0, kMaxStaticShared);
  limit("shared memory", std::int64_t(l.static_shared) + l.dynamic_shared, 0, kMaxShared);
  int bytes = 0;
  for (int i = 0; i < l.kernel->parameters; ++i) {
    const int size = l.kernel->sizes[i],
              align = int(std::bit_floor(unsigned(std::clamp(size, 1, 8))));
    bytes = (bytes + align - 1) / align * align + size;
  }
  limit("the size of all parameters", bytes, 0, kMaxParameters);
}

void run(const Launch& l) {
  static std::mutex mutex;
  std::lock_guard lock(mutex);
  if (!scheduler) scheduler = new Scheduler;
  scheduler->run(l);
}

}  // namespace jaxpp::cuda::emulation
