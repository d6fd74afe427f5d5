// pool_test.cc -- every chunk runs once, whoever asks and however often.
#include "backends/host/pool.h"
#include <sys/wait.h>
#include <unistd.h>
#include <atomic>
#include <chrono>
#include <mutex>
#include <numeric>
#include <set>
#include <thread>
#include "jaxpp/jaxpp.h"
#include "tests/message.h"

using namespace jaxpp;
using host::parallel_for;

namespace {
struct Threads {  // for a test
  int before = num_threads();
  explicit Threads(int n) { set_num_threads(n); }
  ~Threads() { set_num_threads(before); }
};
// The number of chunks that did not run exactly once.
int missed(std::int64_t chunks) {
  std::vector<std::atomic<int>> runs(static_cast<std::size_t>(chunks));
  parallel_for(chunks, [&](std::int64_t c) { ++runs[std::size_t(c)]; });
  return int(std::count_if(runs.begin(), runs.end(), [](auto& n) { return n != 1; }));
}
}  // namespace

TEST_CASE("every chunk runs once", "[pool]") {
  for (const int n : {1, 2, 5}) {
    Threads scope(n);
    for (const int chunks : {0, 1, 2, 3, 7, 100, 10000}) CHECK(missed(chunks) == 0);
  }
}
TEST_CASE("a thousand small jobs", "[pool]") {
  Threads scope(4);
  std::int64_t total = 0;
  for (int job = 0; job < 1000; ++job) {
    std::int64_t part[3] = {};  // written without atomics: the end of a job makes it visible
    parallel_for(3, [&](std::int64_t c) { part[c] = job + c; });
    total += part[0] + part[1] + part[2];
  }
  CHECK(total == 3 * (999 * 1000 / 2) + 3 * 1000);
}
TEST_CASE("other threads take part", "[pool]") {
  Threads scope(2);
  std::mutex mutex;
  std::set<std::thread::id> who;
  parallel_for(2, [&](std::int64_t) {
    {
      std::lock_guard lock(mutex);
      who.insert(std::this_thread::get_id());
    }
    // Until the other chunk has begun, or a busy machine has had its time.
    for (int i = 0; i < 2000; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
      std::lock_guard lock(mutex);
      if (who.size() == 2) return;
    }
  });
  CHECK(who.size() == 2);
}
TEST_CASE("a call from a chunk runs in its caller", "[pool]") {
  Threads scope(4);
  std::atomic<int> wrong = 0, inner = 0;
  parallel_for(8, [&](std::int64_t) {
    const auto self = std::this_thread::get_id();
    parallel_for(5, [&](std::int64_t) {
      ++inner;
      wrong += std::this_thread::get_id() != self;
    });
  });
  CHECK(inner == 40);
  CHECK(wrong == 0);
}
TEST_CASE("sixteen threads at once", "[pool]") {
  Threads scope(4);
  std::atomic<int> wrong = 0;
  std::vector<std::thread> callers;
  for (int t = 0; t < 16; ++t)
    callers.emplace_back([&, t] {
      for (int job = 0; job < 200; ++job) {
        wrong += missed(1 + (t + job) % 9);
        if (t == 0) set_num_threads(1 + job % 6);
      }
    });
  for (auto& t : callers) t.join();
  CHECK(wrong == 0);
}
TEST_CASE("an exception of a chunk is the caller's", "[pool]") {
  for (const int n : {1, 4}) {
    Threads scope(n);
    std::atomic<int> runs = 0;
    const auto job = [&] {
      parallel_for(20, [&](std::int64_t c) {
        ++runs;
        if (c % 7 == 3) throw Error("chunk failed");
      });
    };
    CHECK(message(job) == "chunk failed");
    CHECK(runs == 20);
    CHECK(missed(20) == 0);
  }
}
TEST_CASE("pieces of a range", "[pool]") {
  Threads scope(3);
  for (const std::int64_t n : {0, 1, 9, 10, 11, 1000}) {
    std::vector<int> seen(static_cast<std::size_t>(n));
    host::parallel_ranges(n, 10, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) ++seen[std::size_t(i)];
    });
    CHECK(std::count(seen.begin(), seen.end(), 1) == n);
  }
}
#if !defined(__SANITIZE_THREAD__)
TEST_CASE("a forked child starts threads of its own", "[pool]") {
  Threads scope(3);
  REQUIRE(missed(50) == 0);  // so the parent has threads
  const pid_t child = fork();
  if (child == 0) _exit(missed(50) == 0 ? 7 : 1);
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 7);
}
#endif
TEST_CASE("the number of threads", "[pool]") {
  const int before = num_threads();
  CHECK(before >= 1);
  set_num_threads(3);
  CHECK(num_threads() == 3);
  CHECK(message([] { set_num_threads(0); }).find("[E57]") != std::string::npos);
  CHECK(message([] { set_num_threads(1025); }).find("pool_test.cc") != std::string::npos);
  CHECK(num_threads() == 3);
  set_num_threads(before);
}
