// memory_test.cc -- donation, reuse in place, and the memory plan, by counting what is really allocated.
#include <malloc.h>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <new>
#include <thread>
#include "jaxpp/jaxpp.h"

using namespace jaxpp;

// Every allocation of this program that is as large as an array of these tests.
namespace {
constexpr std::size_t kLarge = 1 << 14;
std::atomic<std::int64_t> live{0}, most{0}, allocations{0};
void* track(void* p, std::size_t bytes) {
  if (!p) throw std::bad_alloc();
  if (bytes >= kLarge) {
    ++allocations;
    const std::int64_t now = live += std::int64_t(malloc_usable_size(p));
    std::int64_t before = most;
    while (now > before && !most.compare_exchange_weak(before, now)) {
    }
  }
  return p;
}
void untrack(void* p) {
  if (p && malloc_usable_size(p) >= kLarge) live -= std::int64_t(malloc_usable_size(p));
  std::free(p);
}
}  // namespace
void* operator new(std::size_t n) { return track(std::malloc(n ? n : 1), n); }
void* operator new(std::size_t n, std::align_val_t a) {
  return track(std::aligned_alloc(std::size_t(a),
                                  (n + std::size_t(a) - 1) / std::size_t(a) * std::size_t(a)),
               n);
}
void operator delete(void* p) noexcept { untrack(p); }
void operator delete(void* p, std::size_t) noexcept { untrack(p); }
void operator delete(void* p, std::align_val_t) noexcept { untrack(p); }
void operator delete(void* p, std::size_t, std::align_val_t) noexcept { untrack(p); }

namespace {
constexpr std::int64_t kSize = 1 << 17;  // f64: a MiB
constexpr std::int64_t kMiB = 1 << 20;

// What the allocator of arrays keeps would not be counted when it is used again: it keeps nothing here.
struct KeepNothing {
  KeepNothing() { set_cache_bytes(0); }
  ~KeepNothing() { set_cache_bytes(1 << 30); }
};
struct Used {
  std::int64_t allocations, bytes;  // bytes: the most at a time beyond what was there
};
template <class F>
Used used(F f) {
  const KeepNothing plain;
  const std::int64_t count = allocations, base = live;
  most = base;
  f();
  return {allocations - count, most - base};
}
// ThreadSanitizer puts its own operator new in the place of this file's: nothing is counted, the tests are hidden.
#ifdef __SANITIZE_THREAD__
#define COUNTED "[.]"
#else
#define COUNTED ""
#endif
}  // namespace

TEST_CASE("memory: an argument moved in gives its buffer to the result", COUNTED) {
  auto step = jit([](Array x) { return sin(x) + x * 0.5; });
  Array x = linspace(0., 1., kSize);
  x = step(std::move(x));
  CHECK(used([&] {
          for (int i = 0; i < 5; ++i) x = step(std::move(x));
        }).allocations == 0);
  CHECK(used([&] { Array y = step(x); }).allocations == 1);  // x is still needed
  Array other = x;
  CHECK(used([&] { x = step(std::move(x)); }).allocations == 1);  // somebody else holds it
  CHECK(array_equal(step(other), step(x)) == false);
}

TEST_CASE("memory: donation is refused where the argument is read after the result is written") {
  auto shifted = jit([](Array x) { return x(Slice(None, None, -1)) * 2.0; });
  Array x = linspace(0., 1., kSize), want = x(Slice(None, None, -1)) * 2.0;
  CHECK(array_equal(shifted(std::move(x)), want));
}

TEST_CASE("memory: updates of a large array happen in place", COUNTED) {
  auto set = jit([](Array x, Array i, Array v) { return x.at(i).set(v); });
  Array x = zeros({kSize}, f64);
  x = set(std::move(x), 3, 1.0);
  CHECK(used([&] {
          for (int i = 0; i < 10; ++i) x = set(std::move(x), i, double(i));
        }).allocations == 0);
  CHECK(double(sum(x)) == 45);
  // The carry of a loop: one copy of the initial value, however many steps.
  auto fill = jit([](Array start) {
    return fori_loop(
        0, 50, [](Array i, Array c) { return c.at(i).add(1.0); }, start);
  });
  Array y = fill(x);
  const Used u = used([&] { y = fill(x); });
  CHECK(u.bytes <= 2 * kMiB + kMiB / 8);
  CHECK(double(y(49)) == 1);
}

TEST_CASE("memory: elementwise code of any length needs no temporary", COUNTED) {
  auto f = jit([](Array x) {
    for (int i = 0; i < 20; ++i) x = sin(x) * 0.9 + 0.1;
    return x;
  });
  Array x = linspace(0., 1., kSize);
  CHECK(f.compile(x).memory().temporaries == 0);
  f(x);
  CHECK(used([&] { f(x); }).allocations == 1);
}

TEST_CASE("memory: the peak of a chain of 1000 layers is what the plan says", COUNTED) {
  const int n = 64;
  auto deep = [](Array x, Array w) {
    for (int i = 0; i < 1000; ++i) x = tanh(matmul(x, w));
    return sum(x);
  };
  Array x = ones({n, n}, f64), w = eye(n, f64) * 0.9;
  const std::int64_t layer = n * n * 8;
  auto check = [&](auto f, std::int64_t layers, std::int64_t slack) {
    auto compiled = jit(f).compile(x, w);
    const MemoryUse m = compiled.memory();
    CHECK(m.temporaries <= layers * layer + slack);
    CHECK(m.peak() == m.arguments + m.outputs + m.constants + m.temporaries);
    Used u{};
    std::thread([&] {
      u = used([&] { compiled(x, w); });
    }).join();  // a thread without scratch memory of its own
    INFO("planned " << m.temporaries << " + " << m.outputs << ", measured " << u.bytes);
#ifndef __SANITIZE_ADDRESS__  // which does not tell this file's operator new of all memory
    CHECK(u.bytes >= m.temporaries);
#endif
    CHECK(u.bytes <= m.temporaries + m.outputs + (1 << 17));
  };
  SECTION("forward: two layers at a time") { check(deep, 2, 0); }
  SECTION("backward: all activations, nothing twice") {
    check([deep](Array a, Array b) { return grad(deep)(a, b); }, 1004, 1 << 16);
  }
}
