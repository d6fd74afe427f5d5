// allocator_test.cc -- blocks of large arrays: never twice at a time, kept within bounds, given back, counted.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <cstring>
#include <deque>
#include <mutex>
#include <random>
#include <thread>
#include <vector>

#include "jaxpp/core/allocator.h"
#include "jaxpp/jaxpp.h"
#include "tests/message.h"

using namespace jaxpp;
using internal::large_delete;
using internal::large_new;

namespace {
constexpr std::int64_t kKiB = 1 << 10, kMiB = 1 << 20;

struct Block {
  char* p;
  std::size_t bytes;
  unsigned char mark;
};
// Written at both ends, and in between: a block that is somebody else's, too, is noticed.
Block make(std::size_t bytes, unsigned char mark) {
  Block b{static_cast<char*>(large_new(bytes)), bytes, mark};
  for (std::size_t i = 0; i < bytes; i += 4096) b.p[i] = char(mark);
  b.p[bytes - 1] = char(mark);
  return b;
}
bool intact(const Block& b) {
  for (std::size_t i = 0; i < b.bytes; i += 4096)
    if (b.p[i] != char(b.mark)) return false;
  return b.p[b.bytes - 1] == char(b.mark);
}
struct CacheBytes {  // for the length of a scope
  explicit CacheBytes(std::int64_t n) { set_cache_bytes(n); }
  ~CacheBytes() { set_cache_bytes(kMiB << 10); }
};
std::int64_t in_use() { return allocator_stats().in_use; }
}  // namespace

TEST_CASE("allocator: sizes are rounded by at most an eighth, addresses are aligned", "[memory]") {
  const std::int64_t before = in_use();
  for (std::size_t bytes = 2049; bytes < 40u << 20; bytes += 1 + bytes / 37) {
    void* p = large_new(bytes);
    REQUIRE(reinterpret_cast<std::uintptr_t>(p) % 64 == 0);
    const std::int64_t rounded = in_use() - before;
    REQUIRE(rounded >= std::int64_t(bytes));
    REQUIRE(rounded <= std::int64_t(bytes + bytes / 8));
    std::memset(p, 1, 64);
    static_cast<char*>(p)[bytes - 1] = 1;
    large_delete(p, bytes);
    REQUIRE(in_use() == before);
  }
  release_memory();
}

TEST_CASE("allocator: no block is handed out twice", "[memory]") {
  std::mt19937 random(3);
  std::vector<Block> live;
  std::int64_t bytes = 0;
  const std::int64_t before = in_use();
  for (int i = 0; i < 4000; ++i) {
    if (live.empty() || (random() % 2 && bytes < 100 * kMiB)) {
      const std::size_t n = std::size_t(2049) + random() % (1u << (11 + random() % 12));
      live.push_back(make(n, static_cast<unsigned char>(random())));
      bytes += std::int64_t(n);
    } else {
      std::swap(live[random() % live.size()], live.back());
      REQUIRE(intact(live.back()));
      bytes -= std::int64_t(live.back().bytes);
      large_delete(live.back().p, live.back().bytes);
      live.pop_back();
    }
    if (i % 1000 == 0) release_memory();
  }
  for (const Block& b : live) {
    REQUIRE(intact(b));
    large_delete(b.p, b.bytes);
  }
  CHECK(in_use() == before);
}

#ifndef __SANITIZE_ADDRESS__
TEST_CASE("allocator: a freed block is the next one of its size", "[memory]") {
  for (std::size_t bytes : {std::size_t(5000), std::size_t(300000), std::size_t(5000000)}) {
    void* p = large_new(bytes);
    large_delete(p, bytes);
    CHECK(allocator_stats().cached >= std::int64_t(bytes));
    void* q = large_new(bytes - 1);
    CHECK(p == q);
    large_delete(q, bytes - 1);
  }
  release_memory();
  CHECK(allocator_stats().cached == 0);
}

TEST_CASE("allocator: what is kept is bounded", "[memory]") {
  release_memory();
  {
    CacheBytes limit(10 * kMiB);
    std::vector<void*> all;
    for (int i = 0; i < 20; ++i) all.push_back(large_new(kMiB));
    for (void* p : all) large_delete(p, kMiB);
    CHECK(allocator_stats().cached == 10 * kMiB);
  }
  {
    CacheBytes none(0);
    large_delete(large_new(kMiB), kMiB);
    large_delete(large_new(4 * kKiB), 4 * kKiB);
    CHECK(allocator_stats().cached == 0);
  }
  // By what was once in use: many sizes, one at a time.
  std::int64_t most = 0;
  for (std::size_t n = 100; n < 200; ++n) {
    void* p = large_new(n * kMiB);  // pages are not touched
    most = std::max(most, in_use());
    large_delete(p, n * kMiB);
    const AllocatorStats s = allocator_stats();
    REQUIRE(s.in_use + s.cached <= most + most / 8 + 4 * kMiB);
  }
  release_memory();
  CHECK(allocator_stats().cached == 0);
}
#endif

TEST_CASE("allocator: threads free what others allocated, and end", "[memory]") {
  const std::int64_t before = in_use();
  std::mutex mutex;
  std::deque<Block> shared;
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t)
    threads.emplace_back([&, t] {
      std::mt19937 random(unsigned(t) + 1);
      for (int i = 0; i < 500; ++i) {
        const Block made = make(std::size_t(2049) + random() % (1u << (12 + random() % 8)),
                                static_cast<unsigned char>(random()));
        Block other{};
        {
          std::lock_guard lock(mutex);
          shared.push_back(made);
          if (shared.size() > 20) {
            other = shared.front();
            shared.pop_front();
          }
        }
        if (other.p) {
          wrong += !intact(other);
          large_delete(other.p, other.bytes);
        }
      }
    });
  for (auto& t : threads) t.join();
  for (const Block& b : shared) {
    wrong += !intact(b);
    large_delete(b.p, b.bytes);
  }
  CHECK(wrong == 0);
  CHECK(in_use() == before);
}

TEST_CASE("allocator: arrays of a thread that has ended", "[memory]") {
  const std::int64_t before = in_use();
  Array a;
  std::thread([&] { a = full({1000}, 3.0); }).join();
  CHECK(in_use() > before);
  CHECK(double(sum(a)) == 3000);
  a = Array();
  CHECK(in_use() == before);
}

#ifndef __SANITIZE_ADDRESS__  // whose allocator has its own ideas of too much
TEST_CASE("allocator: no memory", "[memory]") {
  const std::string said = message([] { large_new(std::size_t(1) << 46); });
  CHECK_THAT(said, Catch::Contains("there is no memory for 70368744177664 bytes") &&
                       Catch::Contains("[E64]"));
  CHECK_THAT(message([] { large_new(~std::size_t(0) / 2); }), Catch::Contains("[E64]"));
  const std::int64_t before = in_use();
  CHECK_THROWS_AS(zeros({std::int64_t(1) << 44}, f64), Error);
  CHECK(in_use() == before);
}
#endif

TEST_CASE("allocator: a child process goes on", "[memory]") {
  const pid_t child = ::fork();
  if (child == 0) {
    for (int i = 0; i < 20; ++i)
      large_delete(large_new(std::size_t(i + 1) * 100000), std::size_t(i + 1) * 100000);
    ::_exit(0);
  }
  int status = 1;
  ::waitpid(child, &status, 0);
  CHECK(status == 0);
}

TEST_CASE("allocator: pages that must not be touched", "[memory]") {
  constexpr std::size_t bytes = 4096 * 3;  // whole pages: both neighbours are guarded
  auto* const p = static_cast<volatile char*>(internal::guarded_new(bytes));
  CHECK(p[0] == char(0xff));
  CHECK(p[bytes - 1] == char(0xff));
  for (const std::ptrdiff_t outside : {std::ptrdiff_t(-1), std::ptrdiff_t(bytes)}) {
    const pid_t child = ::fork();
    if (child == 0) {
      ::signal(SIGSEGV, SIG_DFL);
      p[outside] = 1;
      ::_exit(0);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    CHECK(WIFSIGNALED(status));
  }
  internal::guarded_delete(const_cast<char*>(p), bytes);
  CHECK_THROWS_AS(internal::guarded_new(std::size_t(1) << 60), Error);
}
