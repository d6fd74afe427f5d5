// cuda_driver_test.cc -- the emulated device and its checks, NVRTC, and how their absence is reported.
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <complex>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>

#include "backends/cuda/driver.h"
#include "backends/cuda/driver_library.h"
#include "backends/cuda/driver_memory.h"
#include "backends/cuda/driver_source.h"
#include "backends/cuda/emulator_compile.h"
#include "jaxpp/core/error.h"
#include "tests/message.h"

using namespace jaxpp;
using namespace jaxpp::cuda;
using Schedule = EmulatorOptions::Schedule;

namespace {

constexpr Schedule kSchedules[] = {Schedule::forward, Schedule::reverse, Schedule::shuffled};

std::shared_ptr<Driver> device(EmulatorOptions o = {}) {
  std::string why;
  auto d = emulated_driver(&why, o);
  if (!d) WARN("skipped: " << why);
  return d;
}
// Whether a fault in a kernel is turned into an error: the thread sanitizer wants its signals for itself.
bool faults() {
#ifdef __SANITIZE_THREAD__
  WARN("skipped: faults, under the thread sanitizer");
  return false;
#else
  return true;
#endif
}
bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != text.npos;
}

// A kernel, and numbers for it.
struct Kernels {
  Driver& driver;
  Module module;
  Kernels(Driver& d, const std::string& source) : driver(d), module(d.load(*d.compile(source))) {}
  ~Kernels() { driver.unload(module); }
  template <class... A>
  void operator()(const char* kernel, Dim3 grid, Dim3 block, A... arguments) {
    shared(kernel, grid, block, 0, arguments...);
  }
  template <class... A>
  void shared(const char* kernel, Dim3 grid, Dim3 block, unsigned bytes, A... arguments) {
    void* args[] = {&arguments..., nullptr};
    driver.launch(driver.function(module, kernel), grid, block, bytes, {args, sizeof...(A)},
                  Stream::compute);
  }
};
struct Buffer {
  Driver& driver;
  std::size_t size;
  Address address;
  Buffer(Driver& d, std::size_t n) : driver(d), size(n), address(d.allocate(n * sizeof(float))) {}
  Buffer(Driver& d, const std::vector<float>& v) : Buffer(d, v.size()) {
    d.copy_in(address, v.data(), size * sizeof(float), Stream::compute);
  }
  ~Buffer() { driver.free(address); }
  Buffer(const Buffer&) = delete;
  std::vector<float> values() const {
    std::vector<float> v(size);
    driver.copy_out(v.data(), address, size * sizeof(float), Stream::compute);
    driver.synchronize();
    return v;
  }
};
std::vector<float> numbers(std::size_t n, unsigned seed = 1) {
  std::mt19937 random(seed);
  std::vector<float> v(n);
  for (float& x : v) x = float(random() % 2001) / 1000 - 1;
  return v;
}
bool same_bits(const std::vector<float>& x, const std::vector<float>& y) {
  return x.size() == y.size() && std::memcmp(x.data(), y.data(), x.size() * sizeof(float)) == 0;
}

const char* const kAdd = R"(
extern "C" __global__ void __launch_bounds__(256) add(const float* __restrict__ a, const float* __restrict__ b,
                                                      float* __restrict__ c, int n) {
  const int i = blockIdx.x * 256 + threadIdx.x;
  if (i < n) c[i] = a[i] + b[i];
}
)";
// Sums of the rows of x: R x 1000, a block a row.
const char* const kRowSum = R"(
extern "C" __global__ void __launch_bounds__(256) row_sum(const float* __restrict__ x, float* __restrict__ y) {
  __shared__ float partial[8];
  __shared__ float total;
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
  float s = 0;
  for (int i = threadIdx.x; i < 1000; i += 256) s += x[blockIdx.x * 1000 + i];
  for (int o = 16; o; o >>= 1) s += __shfl_xor_sync(0xffffffffu, s, o);
  if (lane == 0) partial[warp] = s;
  __syncthreads();  // first
  if (threadIdx.x == 0) {
    float t = 0;
    for (int i = 0; i < 8; ++i) t += partial[i];
    total = t;
  }
  __syncthreads();  // second
  if (threadIdx.x == 37) y[blockIdx.x] = total;
}
)";
std::string replaced(std::string text, const std::string& what, const std::string& by) {
  const auto at = text.find(what);
  REQUIRE(at != text.npos);
  return text.replace(at, what.size(), by);
}

}  // namespace

TEST_CASE("emulated device: a kernel of independent threads") {
  auto d = device();
  if (!d) return;
  CHECK(d->name() == "emulated");
  Kernels k(*d, kAdd);
  const auto a = numbers(1000, 1), b = numbers(1000, 2);
  Buffer x(*d, a), y(*d, b), z(*d, 1000);
  k("add", {4}, {256}, x.address, y.address, z.address, 1000);
  const auto c = z.values();
  for (std::size_t i = 0; i < 1000; ++i) REQUIRE(c[i] == a[i] + b[i]);
  const Counters n = d->counters();
  CHECK(n.launches == 1);
  CHECK(n.allocations == 3);
  CHECK(n.bytes_in == 8000);
  CHECK(n.bytes_out == 4000);
  CHECK(n.live_bytes == 12000);
}
TEST_CASE("emulated device: a block's reduction is the same in every order of threads") {
  const auto x = numbers(5000);
  std::vector<float> first;
  for (Schedule s : kSchedules) {
    auto d = device({.schedule = s, .seed = 7});
    if (!d) return;
    Kernels k(*d, kRowSum);
    Buffer in(*d, x), out(*d, 5);
    k("row_sum", {5}, {256}, in.address, out.address);
    const auto y = out.values();
    if (first.empty()) first = y;
    CHECK(same_bits(y, first));
    for (std::size_t r = 0; r < 5; ++r) {
      double sum = 0;
      for (std::size_t i = 0; i < 1000; ++i) sum += double(x[r * 1000 + i]);
      CHECK(y[r] == Approx(sum).margin(1e-4));
    }
  }
}

// Runs a kernel over five rows in all schedules; what went wrong: an error's text, "values", or "".
std::string fault_of(const std::string& source, Schedule schedule, const char* kernel = "row_sum",
                     int block = 256) {
  auto d = device({.schedule = schedule, .seed = 3});
  if (!d) return "no compiler";
  Kernels k(*d, source);
  const auto x = numbers(5000);
  Buffer in(*d, x), out(*d, 5);
  try {
    k(kernel, {5}, {unsigned(block)}, in.address, out.address);
  } catch (const Error& e) {
    return e.what();
  }
  auto good_device = device();
  Kernels good(*good_device, kRowSum);
  Buffer good_in(*good_device, x), good_out(*good_device, 5);
  good("row_sum", {5}, {256}, good_in.address, good_out.address);
  return same_bits(out.values(), good_out.values()) ? "" : "values";
}
TEST_CASE("emulated device: faults of synchronization are caught") {
  if (!device()) return;
  for (Schedule s : kSchedules) CHECK(fault_of(kRowSum, s).empty());

  const std::string no_first = replaced(kRowSum, "__syncthreads();  // first", "");
  const std::string no_second = replaced(kRowSum, "__syncthreads();  // second", "");
  for (const std::string& source : {no_first, no_second}) {
    bool caught = false;
    for (Schedule s : kSchedules) caught |= fault_of(source, s) == "values";
    CHECK(caught);
  }
  const std::string skipped =
      replaced(kRowSum, "__syncthreads();  // first", "if (warp != 3) __syncthreads();");
  const std::string half = replaced(kRowSum, "for (int o = 16; o; o >>= 1)",
                                    "if (lane < 16) for (int o = 16; o; o >>= 1)");
  const std::string other_mask =
      replaced(kRowSum, "0xffffffffu", "lane < 16 ? 0xffffu : 0xffffffffu");
  const std::string absent_lane = replaced(kRowSum, "__shfl_xor_sync(0xffffffffu, s, o)",
                                           "(lane < 16 ? __shfl_sync(0xffffu, s, 20) : 0.0f)");
  const std::string left = replaced(kRowSum, "__syncthreads();  // second",
                                    "if (threadIdx.x == 9) return; __syncthreads();");
  for (Schedule s : kSchedules) {
    CAPTURE(int(s));
    std::string text = fault_of(skipped, s);
    CHECK(contains(text, "kernel row_sum, block (0,0,0): "));
    CHECK(contains(text, "line 10"));  // where the barrier is that warp 3 does not see
    text = fault_of(half, s);
    CHECK(contains(text,
                   "kernel row_sum, block (0,0,0): deadlock: thread (0,0,0) waits in line 8 for "
                   "the lanes ffffffff"));
    CHECK(contains(text, "thread (16,0,0) waits at the barrier of line 10"));
    CHECK(contains(fault_of(other_mask, s), "row_sum"));
    CHECK(contains(fault_of(absent_lane, s), "reads lane 20, which takes no part"));
    text = fault_of(left, s);
    CHECK(contains(text, "deadlock: "));
    CHECK(contains(text, "thread (9,0,0) has returned"));
  }
}
TEST_CASE("emulated device: after a fault, it goes on") {
  auto d = device();
  if (!d) return;
  Kernels bad(*d,
              replaced(kRowSum, "__syncthreads();  // first", "if (warp != 3) __syncthreads();"));
  Kernels good(*d, kRowSum);
  const auto x = numbers(5000);
  Buffer in(*d, x), out(*d, 5);
  for (int i = 0; i < 3; ++i) {
    CHECK_THROWS_AS(bad("row_sum", {5}, {256}, in.address, out.address), Error);
    good("row_sum", {5}, {256}, in.address, out.address);
    for (float v : out.values()) CHECK(std::isfinite(v));
  }
}
TEST_CASE("emulated device: accesses outside memory are caught") {
  const std::string off_by_one = replaced(kAdd, "i < n", "i <= n");
  const std::string with_barrier =
      replaced(off_by_one, "if (i <= n)", "__syncthreads(); if (i <= n)");
  const std::string vectors = R"(
extern "C" __global__ void add(const float* a, const float* b, float* c, int shift) {
  const float4 v = *(const float4*)(a + 4 * threadIdx.x + shift);
  ((float4*)c)[threadIdx.x] = v;
})";
  auto d = device();
  if (!d || !faults()) return;
  Buffer x(*d, numbers(1000)), y(*d, numbers(1000)), z(*d, 1000);
  auto run = [&](const std::string& source, int n, unsigned block = 256) {
    return message(
        [&] { Kernels(*d, source)("add", {4}, {block}, x.address, y.address, z.address, n); });
  };
  for (const std::string& source : {off_by_one, with_barrier}) {
    const std::string text = run(source, 1000);
    CHECK(contains(text, "kernel add, block (3,0,0): thread (232,0,0): an access at 0x"));
    CHECK(contains(text, "0 bytes after the end of an allocation of 4000 bytes"));
    CHECK(run(source, 999) == "nothing was thrown");
  }
  CHECK(run(vectors, 0, 250) == "nothing was thrown");
  const std::string text = run(vectors, 2, 200);
  CHECK(contains(text, "kernel add, block (0,0,0): thread (0,0,0)"));
  CHECK(contains(text, "an access that is not aligned"));
  // Writes between the end and the next 16-byte boundary, and before the beginning.
  Buffer odd(*d, 1001);
  const char* const kWrite = R"(
extern "C" __global__ void write(float* p, int at) { p[at] = 1; })";
  auto write = [&](int at) {
    return message([&] { Kernels(*d, kWrite)("write", {1}, {1}, odd.address, at); });
  };
  CHECK(write(1000) == "nothing was thrown");
  CHECK(contains(write(1004), "16 bytes after the end of an allocation of 4004 bytes") == false);
  CHECK(contains(write(1004), "12 bytes after the end of an allocation of 4004 bytes"));
  CHECK(write(1001) == "kernel write: a write after the end of an allocation of 4004 bytes.");
}
TEST_CASE("emulated device: a write before an allocation, and use after free") {
  auto d = device();
  if (!d || !faults()) return;
  const char* const kWrite = R"(
extern "C" __global__ void write(float* p, int at) { p[at] = 1; })";
  Kernels k(*d, kWrite);
  {
    Buffer b(*d, 10);
    CHECK(message([&] { k("write", {1}, {1}, b.address, -1); }) ==
          "kernel write: a write before an allocation of 40 bytes.");
  }
  Address freed;
  {
    Buffer b(*d, 100);
    freed = b.address;
  }
  CHECK(contains(message([&] { k("write", {1}, {1}, freed, 5); }),
                 "byte 20 of a freed allocation of 400 bytes"));
  CHECK(
      contains(message([&] { d->copy(freed, freed, 4, Stream::compute); }), "copy: 4 bytes at 0x"));
}
TEST_CASE("emulated device: what else the hardware would not do") {
  auto d = device();
  if (!d || !faults()) return;
  Buffer x(*d, numbers(64)), y(*d, 64);
  auto run = [&](const std::string& body) {
    return message([&] {
      Kernels(*d, "extern \"C\" __global__ void k(const float* x, float* y) {\n" + body + "\n}")(
          "k", {1}, {64}, x.address, y.address);
    });
  };
  CHECK(contains(run("__shared__ float s[64];\ns[threadIdx.x + 1] = x[threadIdx.x]; y[0] = s[3];"),
                 "thread (63,0,0), line 3: an index outside its array"));
  CHECK(contains(run("y[threadIdx.x] = 1 << int(threadIdx.x);"), "a shift by more bits"));
  CHECK(
      contains(run("y[threadIdx.x] = 7 / int(threadIdx.x / 64);"), "an integer division by zero"));
  CHECK(contains(run("if (threadIdx.x == 5) __trap();"), "thread (5,0,0), line 2: __trap()"));
  CHECK(contains(run("volatile char big[300000]; big[threadIdx.x] = 1; y[0] = big[0];"),
                 "more local memory"));
  CHECK(contains(run("__shared__ float s[64]; __syncwarp(0xfe); y[0] = 1;"),
                 "lacks the thread's own lane"));
}
TEST_CASE("emulated device: shared memory starts as NaNs, in templates, too") {
  auto d = device({.schedule = Schedule::reverse});
  if (!d) return;
  Kernels k(*d, R"(
template <class T> __device__ T* scratch() {
  __shared__ T memory[32];
  return memory;
}
extern "C" __global__ void k(float* y) {
  extern __shared__ __align__(16) float dynamic[];
  __shared__ float own;
  float* s = scratch<float>();
  if (threadIdx.x == 0) {
    y[4 * blockIdx.x] = s[0];
    y[4 * blockIdx.x + 1] = own;
    y[4 * blockIdx.x + 2] = dynamic[99];
    s[0] = own = dynamic[99] = 1;
  }
  __syncthreads();
  if (threadIdx.x == 1) y[4 * blockIdx.x + 3] = s[0] + own + dynamic[99];
})");
  Buffer y(*d, 8);
  k.shared("k", {2}, {64}, 400, y.address);
  const auto v = y.values();
  for (std::size_t i = 0; i < 8; ++i) {
    if (i % 4 == 3)
      CHECK(v[i] == 3);
    else
      CHECK(std::isnan(v[i]));
  }
  if (faults())
    CHECK(contains(message([&] { k.shared("k", {2}, {64}, 384, y.address); }),
                   "after the end of dynamic shared memory"));
}
TEST_CASE("emulated device: a warp's operations") {
  for (Schedule s : kSchedules) {
    auto d = device({.schedule = s});
    if (!d) return;
    Kernels k(*d, R"(
extern "C" __global__ void k(int* y) {
  const unsigned all = 0xffffffffu;
  const int l = threadIdx.x & 31;
  int* r = y + threadIdx.x * 16;
  r[0] = __shfl_sync(all, l * 10, 5);
  r[1] = __shfl_up_sync(all, l, 3);
  r[2] = __shfl_down_sync(all, l, 3, 8);
  r[3] = __shfl_xor_sync(all, l, 1);
  r[4] = __ballot_sync(all, l % 3 == 0);
  r[5] = __any_sync(all, l == 7);
  r[6] = __all_sync(all, l == 7);
  r[7] = __reduce_add_sync(all, l);
  r[8] = __reduce_min_sync(all, l - 40);
  r[9] = __reduce_max_sync(all, unsigned(l - 2));
  r[10] = __match_any_sync(all, l / 16);
  r[11] = __syncthreads_count(threadIdx.x < 40);
  r[12] = __syncthreads_or(threadIdx.x == 63) + 2 * __syncthreads_and(threadIdx.x < 63);
  r[13] = l < 16 ? __shfl_xor_sync(0xffffu, l, 2) : __shfl_xor_sync(0xffff0000u, l, 4);
  r[14] = int(__shfl_sync(all, 1.5 * l, 3) * 2);
  __syncwarp();
  r[15] = atomicAdd(y + 64 * 16, 1) >= 0;
})");
    std::vector<int> v(64 * 16 + 1);
    const Address y = d->allocate(v.size() * 4);
    d->copy_in(y, v.data(), v.size() * 4, Stream::compute);
    k("k", {1}, {64}, y);
    d->copy_out(v.data(), y, v.size() * 4, Stream::compute);
    d->synchronize();
    d->free(y);
    for (int t = 0; t < 64; ++t) {
      CAPTURE(t);
      const int l = t % 32, *r = v.data() + t * 16;
      CHECK(r[0] == 50);
      CHECK(r[1] == (l >= 3 ? l - 3 : l));
      CHECK(r[2] == (l % 8 < 5 ? l + 3 : l));
      CHECK(r[3] == (l ^ 1));
      CHECK(unsigned(r[4]) == 0x49249249u);
      CHECK(r[5] == 1);
      CHECK(r[6] == 0);
      CHECK(r[7] == 31 * 16);
      CHECK(r[8] == -40);
      CHECK(r[9] == -1);
      CHECK(unsigned(r[10]) == (l < 16 ? 0xffffu : 0xffff0000u));
      CHECK(r[11] == 40);
      CHECK(r[12] == 1);
      CHECK(r[13] == (l < 16 ? l ^ 2 : l ^ 4));
      CHECK(r[14] == 9);
    }
    CHECK(v.back() == 64);
  }
}
TEST_CASE("emulated device: limits of a launch") {
  auto d = device();
  if (!d) return;
  Kernels k(*d, R"(
struct Much { float v[1100]; };
extern "C" __global__ void plain(int* p) {}
extern "C" __global__ void __launch_bounds__(128) bounded(int* p) {}
extern "C" __global__ void big(Much m) {}
extern "C" __global__ void shared(int* p) {
  __shared__ int s[13000];
  s[threadIdx.x] = 1;
  *p = s[0];
}
extern "C" __global__ void less(int* p) {
  __shared__ int s[12000];
  s[threadIdx.x] = 1;
  *p = s[0];
})");
  Address p = 0;
  auto limit = [&](const char* name, Dim3 grid, Dim3 block, unsigned shared = 0) {
    return message([&] { k.shared(name, grid, block, shared, p); });
  };
  CHECK(limit("plain", {1}, {1024}) == "nothing was thrown");
  CHECK(limit("plain", {1}, {1025}) ==
        "launch of kernel plain: the number of threads in a block is 1025; a device takes 1 to "
        "1024.");
  CHECK(contains(limit("plain", {1}, {32, 33}), "is 1056"));
  CHECK(contains(limit("plain", {1}, {1, 1, 65}), "block.z is 65"));
  CHECK(contains(limit("plain", {0}, {1}), "grid.x is 0"));
  CHECK(contains(limit("plain", {1, 65536}, {1}), "grid.y is 65536"));
  CHECK(contains(limit("plain", {1, 1, 65536}, {1}), "grid.z is 65536"));
  CHECK(limit("plain", {1}, {1}, 227 << 10) == "nothing was thrown");
  CHECK(contains(limit("plain", {1}, {1}, (227 << 10) + 1), "shared memory is"));
  CHECK(contains(limit("bounded", {1}, {129}), "a device takes 1 to 128"));
  CHECK(contains(limit("shared", {1}, {1}), "static shared memory is 52000"));
  CHECK(contains(limit("less", {1}, {1}, 200000), "shared memory is 248000"));
  struct {
    float v[1100];
  } much{};
  CHECK(contains(message([&] { k("big", {1}, {1}, much); }), "the size of all parameters is 4400"));
  CHECK(contains(message([&] { d->function(k.module, "none"); }), "there is no kernel none"));
  CHECK_THROWS_AS(k("plain", {1}, {1}), std::logic_error);
}
TEST_CASE("emulated device: a missing wait between streams shows") {
  auto run = [](std::uint32_t seed, bool wait_for_input, bool wait_for_output) -> std::string {
    auto d = device({.seed = seed, .defer = true});
    if (!d) return "skipped";
    Kernels k(*d, kAdd);
    const auto a = numbers(512, seed);
    std::vector<float> c(512), before(512, 5.0f);
    auto order = [&](Stream first, Stream second) {
      const Event e = d->record(first);
      d->wait(second, e);
      d->release(e);
    };
    const Address x = d->allocate(2048), y = d->allocate(2048);
    order(Stream::compute, Stream::copy);
    d->copy_in(x, a.data(), 2048, Stream::copy);
    if (wait_for_input) order(Stream::copy, Stream::compute);
    Address xs = x, ys = y;
    k("add", {2}, {256}, xs, xs, ys, 512);
    if (wait_for_output) order(Stream::compute, Stream::copy);
    d->copy_out(c.data(), y, 2048, Stream::copy);
    CHECK(std::isnan(c[0]));  // nothing has run yet
    const Event done = d->record(Stream::copy);
    d->synchronize(done);
    d->release(done);
    d->free(x);
    d->free(y);
    for (std::size_t i = 0; i < 512; ++i)
      if (c[i] != a[i] + a[i]) return "wrong";
    return "";
  };
  if (run(1, true, true) == "skipped") return;
  int no_input = 0, no_output = 0;
  for (std::uint32_t seed = 1; seed <= 20; ++seed) {
    CHECK(run(seed, true, true).empty());
    no_input += run(seed, false, true) == "wrong";
    no_output += run(seed, true, false) == "wrong";
  }
  CHECK(no_input > 3);
  CHECK(no_output > 3);
}
TEST_CASE("emulated device: deferred work keeps what it was given") {
  auto d = device({.defer = true});
  if (!d) return;
  auto k = std::make_unique<Kernels>(*d, kAdd);
  std::vector<float> a = {1, 2, 3};
  Address x = d->allocate(12), y = d->allocate(12);
  d->copy_in(x, a.data(), 12, Stream::compute);
  a.assign(3, 0);
  int n = 3;
  void* args[] = {&x, &x, &y, &n};
  d->launch(d->function(k->module, "add"), {1}, {256}, 0, args, Stream::compute);
  n = 1000000;
  k.reset();  // unloads it
  d->copy_out(a.data(), y, 12, Stream::compute);
  d->free(x);
  d->free(y);
  CHECK(d->counters().live_bytes == 0);
  d->synchronize();
  CHECK(a == std::vector<float>{2, 4, 6});
}
TEST_CASE("emulated device: compile errors have the log and the numbered source") {
  auto d = device();
  if (!d) return;
  const std::string text =
      message([&] { d->compile("extern \"C\" __global__ void k() {\n  oops;\n}\n"); });
  CHECK(contains(text, "kernels.cu:2"));
  CHECK(contains(text, "    2    oops;\n"));
}
TEST_CASE("emulated device: no compiler") {
  const char* old = std::getenv("JAXPP_CXX");
  const std::string saved = old ? old : "";
  ::setenv("JAXPP_CXX", "/nowhere/c++", 1);
  std::string why;
  CHECK(!emulated_driver(&why));
  CHECK(
      contains(why, "needs a C++ compiler, and none was found.  Searched: JAXPP_CXX=/nowhere/c++"));
  ::unsetenv("JAXPP_CXX");
  if (!saved.empty()) ::setenv("JAXPP_CXX", saved.c_str(), 1);
}
TEST_CASE("emulated device: text of kernels") {
  const auto kernels = kernels_of(R"(
#define KERNEL extern "C" __global__ void macro(
// __global__ void comment(
/* __global__ void also( */ const char* s = "__global__ void string(";
extern "C" __global__ void __launch_bounds__(32 * (4), 2) first(const float* x, int (&y)[3]) {}
__global__ __launch_bounds__(64) void second(
    void) {}
)");
  REQUIRE(kernels.size() == 2);
  CHECK(kernels[0].name == "first");
  CHECK(kernels[0].launch_bound == "32 * (4)");
  CHECK(kernels[1].name == "second");
  CHECK(kernels[1].launch_bound == "64");
  CHECK(with_dynamic_shared("a;\nextern __shared__ __align__(16)\n unsigned char s[]; b") ==
        "a;\nunsigned char* const s = reinterpret_cast<unsigned char*>(jx_dynamic);\n b");
  CHECK(with_dynamic_shared("extern \"C\" int x; extern __shared__ int y[3];") ==
        "extern \"C\" int x; extern __shared__ int y[3];");
}

// ---- Matrix products
namespace {
template <class S>
S element(double re, double im) {
  if constexpr (is_complex_type<S>)
    return S(typename S::value_type(re), typename S::value_type(im));
  else
    return S(float(re));
}
template <class S>
std::complex<double> number(S v) {
  if constexpr (is_complex_type<S>)
    return v;
  else if constexpr (is_half<S>)
    return double(float(v));
  else
    return double(v);
}
template <class S>
void check_gemms(Driver& d, double tolerance) {
  std::mt19937 random(5);
  for (int variant = 0; variant < 16; ++variant) {
    Gemm g;
    g.type = dtype_of<S>;
    g.transpose_a = variant & 1, g.transpose_b = variant & 2;
    g.batch = variant & 4 ? 3 : 1;
    const bool scaled = variant & 8;
    g.m = 5, g.n = 4, g.k = 7;
    g.lda = (g.transpose_a ? g.k : g.m) + 2;
    g.ldb = (g.transpose_b ? g.n : g.k) + 1;
    g.ldc = g.m + 3;
    g.stride_a = g.lda * (g.transpose_a ? g.m : g.k) + 5;
    g.stride_b = g.ldb * (g.transpose_b ? g.k : g.n);
    g.stride_c = g.ldc * g.n + 1;
    g.alpha = scaled ? 0.5 : 1;
    g.beta = scaled ? -2 : 0;
    auto fill = [&](std::int64_t stride) {
      std::vector<S> v(std::size_t(g.batch * stride));
      for (S& x : v) x = element<S>(double(random() % 17) / 8 - 1, double(random() % 17) / 8 - 1);
      return v;
    };
    const auto a = fill(g.stride_a), b = fill(g.stride_b);
    auto c = fill(g.stride_c);
    if (!scaled) c.assign(c.size(), element<S>(NAN, NAN));  // not read
    const auto before = c;
    auto put = [&](const std::vector<S>& v) {
      const Address p = d.allocate(v.size() * sizeof(S));
      d.copy_in(p, v.data(), v.size() * sizeof(S), Stream::compute);
      return p;
    };
    const Address pa = put(a), pb = put(b), pc = put(c);
    d.gemm(g, pa, pb, pc, Stream::compute);
    d.copy_out(c.data(), pc, c.size() * sizeof(S), Stream::compute);
    d.synchronize();
    for (Address p : {pa, pb, pc}) d.free(p);
    for (std::int64_t t = 0; t < g.batch; ++t)
      for (std::int64_t i = 0; i < g.m; ++i)
        for (std::int64_t j = 0; j < g.n; ++j) {
          std::complex<double> sum = 0;
          for (std::int64_t k = 0; k < g.k; ++k)
            sum += number(a[std::size_t(t * g.stride_a +
                                        (g.transpose_a ? k + i * g.lda : i + k * g.lda))]) *
                   number(b[std::size_t(t * g.stride_b +
                                        (g.transpose_b ? j + k * g.ldb : k + j * g.ldb))]);
          const auto at = std::size_t(t * g.stride_c + i + j * g.ldc);
          sum *= g.alpha;
          if (scaled) sum += g.beta * number(before[at]);
          CAPTURE(variant, t, i, j);
          REQUIRE(std::abs(number(c[at]) - sum) <= tolerance * (1 + std::abs(sum)));
        }
  }
}
}  // namespace
TEST_CASE("emulated device: matrix products by cuBLASLt's conventions") {
  auto d = device();
  if (!d) return;
  check_gemms<float16>(*d, 1e-3);
  check_gemms<bfloat16>(*d, 1e-2);
  check_gemms<float>(*d, 1e-6);
  check_gemms<double>(*d, 1e-6);
  check_gemms<std::complex<float>>(*d, 1e-6);
  check_gemms<std::complex<double>>(*d, 1e-14);
  CHECK(d->counters().gemms == 6 * 16);

  const Address p = d->allocate(4 * 6);
  Gemm g{.m = 2, .n = 3, .k = 1, .lda = 2, .ldb = 1, .ldc = 2};
  CHECK(message([&] { d->gemm(g, p, p, p, Stream::compute); }) == "nothing was thrown");
  g.ldc = 3;
  CHECK(contains(message([&] { d->gemm(g, p, p, p, Stream::compute); }), "gemm's C: 32 bytes at"));
  g.ldc = 1;
  CHECK(contains(message([&] { d->gemm(g, p, p, p, Stream::compute); }), "no matrices"));
  g.ldc = 2, g.type = DType::i32;
  CHECK_THROWS_AS(d->gemm(g, p, p, p, Stream::compute), Error);
  d->free(p);
}

// ---- NVRTC, and machines without
TEST_CASE("NVRTC: a kernel for sm_90, what it uses, and its PTX") {
  std::string why;
  auto c = nvrtc_compile(kRowSum, "sm_90", true, &why);
  if (!c) {
    WARN("skipped: " << why);
    return;
  }
  CHECK(c->image.substr(1, 3) == "ELF");
  REQUIRE(c->usage.size() == 1);
  CHECK(c->usage[0].kernel == "row_sum");
  CHECK(c->usage[0].registers > 4);
  CHECK(c->usage[0].shared_bytes >= 36);
  CHECK(c->usage[0].stack_bytes == 0);
  CHECK(c->usage[0].spill_bytes == 0);
  CHECK(contains(c->ptx, ".entry row_sum"));
  auto again = nvrtc_compile(kRowSum, "sm_90", true, &why);
  CHECK(again->image == c->image);
  CHECK(again->ptx == c->ptx);

  auto two = nvrtc_compile(std::string(kRowSum) + R"(
extern "C" __global__ void vectors(const float4* __restrict__ x, float4* y) { y[threadIdx.x] = x[threadIdx.x]; }
)",
                           "sm_90", true, &why);
  REQUIRE(two->usage.size() == 2);
  CHECK(contains(two->ptx, "ld.global.nc.v4"));
  const auto ptx = nvrtc_compile(kAdd, "compute_90", false, &why);  // virtual: the image is PTX
  CHECK(contains(ptx->image, ".entry add"));

  const std::string text = message([&] {
    nvrtc_compile("extern \"C\" __global__ void k() {\n  oops;\n}\n", "sm_90", false, &why);
  });
  CHECK(contains(text, "kernels.cu(2): error"));
  CHECK(contains(text, "    2    oops;\n"));
}
TEST_CASE("NVRTC: spills are seen") {
  // 300 values that are all needed at the same time do not fit into 255 registers.
  std::string why, body;
  for (int i = 0; i < 300; ++i)
    body += "  float v" + std::to_string(i) + " = p[" + std::to_string(i) + " * n];\n";
  body += "  __syncthreads();\n";
  for (int i = 299; i >= 0; --i)
    body += "  p[" + std::to_string(i) + " * n + 1] = v" + std::to_string(i) + " * v" +
            std::to_string(i) + ";\n";
  auto c =
      nvrtc_compile("extern \"C\" __global__ void k(volatile float* p, int n) {\n" + body + "}\n",
                    "sm_90", false, &why);
  if (!c) {
    WARN("skipped: " << why);
    return;
  }
  REQUIRE(c->usage.size() == 1);
  CHECK(c->usage[0].spill_bytes > 0);
  CHECK(c->usage[0].stack_bytes > 0);
}
TEST_CASE("libraries that are not there: what was searched, and where") {
  Surroundings s;
  s.variable = [](const char* name) -> std::string {
    const std::string v = name;
    return v == "JAXPP_CUDA_PATH" ? "/nowhere/own"
           : v == "CUDA_HOME"     ? "/nowhere/toolkit"
           : v == "VIRTUAL_ENV"   ? "/nowhere/venv"
                                  : "";
  };
  s.executable_folder = "/nowhere/bin";
  s.default_toolkit = "/nowhere/cuda";
  s.loader = false;
  std::string why;
  CHECK(open_library(nvrtc_name(), s, why) == nullptr);
  CHECK(why == R"(NVRTC (libnvrtc.so.13, libnvrtc.so.12) was not found.  Searched:
  /nowhere/own  (JAXPP_CUDA_PATH)
  /nowhere/own/lib64  (JAXPP_CUDA_PATH)
  /nowhere/own/lib  (JAXPP_CUDA_PATH)
  /nowhere/own/nvidia/cu13/lib  (JAXPP_CUDA_PATH)
  /nowhere/own/nvidia/cuda_nvrtc/lib  (JAXPP_CUDA_PATH)
  /nowhere/toolkit/lib64  (CUDA_HOME)
  /nowhere/toolkit/lib  (CUDA_HOME)
  /nowhere/cuda/lib64  (the toolkit's usual folder)
  /nowhere/bin/nvidia/cu13/lib  (beside the executable)
  /nowhere/venv/lib/python3*/site-packages/nvidia/cu13/lib  (VIRTUAL_ENV)
  /nowhere/bin/nvidia/cuda_nvrtc/lib  (beside the executable)
  /nowhere/venv/lib/python3*/site-packages/nvidia/cuda_nvrtc/lib  (VIRTUAL_ENV))");
  LibraryName nothing{"Nothing", {"libjaxpp-nothing.so.1"}, {}, {}};
  s.loader = true;
  CHECK(open_library(nothing, s, why) == nullptr);
  CHECK(contains(why, "\n  the search path of the dynamic loader (LD_LIBRARY_PATH, ldconfig)\n"));

  // A file that is there but no library is named, with the loader's reason.
  char folder[] = "/tmp/jaxpp-test-XXXXXX";
  REQUIRE(::mkdtemp(folder));
  std::ofstream(std::string(folder) + "/libnvrtc.so.13") << "not a library";
  s.variable = [&](const char* name) {
    return std::string(name) == "JAXPP_CUDA_PATH" ? std::string(folder) : "";
  };
  s.loader = false;
  CHECK(open_library(nvrtc_name(), s, why) == nullptr);
  CHECK(contains(why, std::string("cannot be used: ") + folder + "/libnvrtc.so.13"));
  std::filesystem::remove_all(folder);
}
TEST_CASE("real devices: none, with the reason, or some") {
  std::string why;
  const int n = real_device_count(&why);
  if (n == 0) {
    CHECK(contains(why, "The CUDA driver"));
    std::string why_not;
    CHECK(!real_driver(0, &why_not));
    CHECK(why_not == why);
    WARN("skipped: " << why.substr(0, why.find('\n')));
    return;
  }
  auto d = real_driver(0, &why);
  REQUIRE(d);
  CHECK(!real_driver(n, &why));
  const auto a = numbers(5000, 1), b = numbers(5000, 2);
  Buffer x(*d, a), y(*d, b), z(*d, 5000), sums(*d, 5);
  Kernels k(*d, std::string(kAdd) + kRowSum);
  k("add", {20}, {256}, x.address, y.address, z.address, 5000);
  k("row_sum", {5}, {256}, x.address, sums.address);
  const auto c = z.values();
  for (std::size_t i = 0; i < 5000; ++i) REQUIRE(c[i] == a[i] + b[i]);
  if (auto emulated = device()) {  // the same bits
    Buffer ex(*emulated, a), esums(*emulated, 5);
    Kernels ek(*emulated, kRowSum);
    ek("row_sum", {5}, {256}, ex.address, esums.address);
    CHECK(same_bits(sums.values(), esums.values()));
  }
  check_gemms<float16>(*d, 1e-3);
  check_gemms<bfloat16>(*d, 1e-2);
  check_gemms<float>(*d, 1e-6);
  check_gemms<double>(*d, 1e-6);
  check_gemms<std::complex<float>>(*d, 1e-6);
  check_gemms<std::complex<double>>(*d, 1e-14);
}

// ---- The real driver's host side, on libraries that pretend to be CUDA's (tests/cuda_fake): in a process of its own,
// since a process opens libcuda once.
namespace {
int run(const std::vector<std::string>& command, std::string* output = nullptr) {
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  const pid_t child = ::fork();
  if (child == 0) {
    ::dup2(ends[1], 1);
    ::dup2(ends[1], 2);
    std::vector<char*> argv;
    for (const std::string& a : command) argv.push_back(const_cast<char*>(a.c_str()));
    argv.push_back(nullptr);
    ::execv(argv[0], argv.data());
    ::_exit(127);
  }
  ::close(ends[1]);
  char text[4096];
  for (ssize_t n; (n = ::read(ends[0], text, sizeof text)) > 0;)
    if (output) output->append(text, std::size_t(n));
  ::close(ends[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}
}  // namespace
TEST_CASE("real driver: its host side") {
  const auto* compiler = emulation::host_compiler(nullptr);
  if (!compiler) {
    WARN("skipped: no compiler for the libraries that pretend to be CUDA's");
    return;
  }
  char folder[] = "/tmp/jaxpp-test-XXXXXX";
  REQUIRE(::mkdtemp(folder));
  const std::string library = std::string(folder) + "/libcuda.so.1";
  std::string output;
  CAPTURE(output);
  REQUIRE(run({compiler->path, "-std=c++20", "-O1", "-w", "-shared", "-fPIC", "-I" JAXPP_SOURCE_DIR,
               JAXPP_SOURCE_DIR "/tests/cuda_fake/cuda.cc", "-o", library},
              &output) == 0);
  std::filesystem::create_symlink("libcuda.so.1", std::string(folder) + "/libcublasLt.so.13");
  const int status = run({"/usr/bin/env", "JAXPP_CUDA_PATH=" + std::string(folder),
                          "/proc/" + std::to_string(::getpid()) + "/exe", "[fake-cuda]"},
                         &output);
  CHECK(status == 0);
  CHECK(contains(output, "All tests passed"));
  if (status) WARN(output);
  std::filesystem::remove_all(folder);
}
TEST_CASE("fake CUDA: memory is used again, in order", "[.][fake-cuda]") {
  std::string why;
  auto d = real_driver(0, &why);
  REQUIRE(d);
  CHECK(d->name() == "fake");
  CHECK(d->architecture() == "sm_90");
  CHECK(d->multiprocessors() == 132);
  CHECK(!real_driver(1, &why));
  CHECK(why == "There are 1 CUDA devices, numbered from 0.");

  const Address a = d->allocate(1000);
  d->free(a);
  CHECK(d->allocate(1001) == a);  // of the same class
  const Address b = d->allocate(1000);
  CHECK(b != a);
  // While the copy stream may still read it, a block is not handed out; when it has passed, it is.
  std::vector<float> to(250);
  d->copy_out(to.data(), b, 1000, Stream::copy);
  d->free(b);
  const Address c = d->allocate(1000);
  CHECK(c != b);
  d->synchronize();
  CHECK(d->allocate(1000) == b);
  // What the compute stream has waited for is no obstacle.
  d->copy_in(b, to.data(), 1000, Stream::copy);
  const Event e = d->record(Stream::copy);
  d->wait(Stream::compute, e);
  d->release(e);
  d->free(b);
  CHECK(d->allocate(1000) == b);
  CHECK_THROWS_AS(d->free(b + 1), std::logic_error);
  d->free(b);
  d->free(c);
  d->free(a);
  CHECK(d->counters().live_bytes == 0);

  // The device is full: what is free is given back before giving up.
  std::vector<Address> large;
  for (int i = 0; i < 20; ++i) large.push_back(d->allocate(10 << 20));
  for (Address l : large) d->free(l);
  const Address huge = d->allocate(200 << 20);
  const std::string text = message([&] { d->allocate(100 << 20); });
  CHECK(text ==
        "cuMemAllocAsync (104857600 bytes, beside 209715200 in use): CUDA_ERROR_OUT_OF_MEMORY: as "
        "tests want it.");
  d->free(huge);
}
TEST_CASE("fake CUDA: copies through pinned memory", "[.][fake-cuda]") {
  auto d = real_driver(0, nullptr);
  REQUIRE(d);
  // Long and short ones, several under way, on both streams.
  for (std::size_t n : {1u, 1000u, 1u << 20, 3000000u, 10000000u}) {
    std::vector<float> x = numbers(n), y(n), z(n);
    const Address a = d->allocate(4 * n), b = d->allocate(4 * n);
    std::vector<float> given = x;
    const Event allocated = d->record(Stream::compute);
    d->wait(Stream::copy, allocated);
    d->release(allocated);
    d->copy_in(a, given.data(), 4 * n, Stream::copy);
    given.assign(n, 0);  // it may change once copy_in has returned
    const Event in = d->record(Stream::copy);
    d->wait(Stream::compute, in);
    d->release(in);
    d->copy(b, a, 4 * n, Stream::compute);
    d->copy_out(y.data(), b, 4 * n, Stream::compute);
    const Event middle = d->record(Stream::compute);
    d->copy_out(z.data(), a, 4 * n, Stream::copy);
    d->synchronize(middle);
    CHECK(same_bits(x, y));
    d->synchronize();
    CHECK(same_bits(x, z));
    d->release(middle);
    d->free(a);
    d->free(b);
  }
  std::vector<std::vector<float>> small(3000, std::vector<float>(700));
  const Address a = d->allocate(2800);
  for (std::size_t i = 0; i < small.size(); ++i) {
    const std::vector<float> x(700, float(i));
    d->copy_in(a, x.data(), 2800, Stream::compute);
    d->copy_out(small[i].data(), a, 2800, Stream::compute);
  }
  d->synchronize();
  for (std::size_t i = 0; i < small.size(); ++i)
    REQUIRE(small[i] == std::vector<float>(700, float(i)));
  CHECK(message([&] { d->copy(a, 256, 4, Stream::compute); }) ==
        "cuMemcpyDtoDAsync: CUDA_ERROR_FAKE: as tests want it.");
  d->free(a);
}
TEST_CASE("fake CUDA: modules, launches, products", "[.][fake-cuda]") {
  auto d = real_driver(0, nullptr);
  REQUIRE(d);
  CHECK(message([&] { d->load("bad"); }) ==
        "cuModuleLoadDataEx (kernels for sm_90, driver for CUDA 13.0, the reason): "
        "CUDA_ERROR_FAKE: as tests want it.");
  const Module m = d->load("any");
  CHECK(message([&] { d->function(m, "none"); }) ==
        "cuModuleGetFunction (none): CUDA_ERROR_FAKE: as tests want it.");
  const Function add = d->function(m, "add");
  const auto a = numbers(1000, 1), b = numbers(1000, 2);
  {
    Buffer x(*d, a), y(*d, b), z(*d, 1000);
    int n = 1000;
    void* args[] = {&x.address, &y.address, &z.address, &n};
    d->launch(add, {4}, {256}, 100 << 10, args, Stream::compute);
    n = 0;
    const auto c = z.values();
    for (std::size_t i = 0; i < 1000; ++i) REQUIRE(c[i] == a[i] + b[i]);
    n = 5000;
    CHECK(message([&] { d->launch(add, {4}, {256}, 0, args, Stream::compute); }) ==
          "cuLaunchKernel (add): CUDA_ERROR_FAKE: as tests want it.");
  }
  d->unload(m);
  check_gemms<float16>(*d, 1e-3);
  check_gemms<bfloat16>(*d, 1e-2);
  check_gemms<float>(*d, 1e-6);
  check_gemms<double>(*d, 1e-6);
  check_gemms<std::complex<float>>(*d, 1e-6);
  check_gemms<std::complex<double>>(*d, 1e-14);
  const Address p = d->allocate(1 << 20);
  for (Address shift : {0, 4, 8, 32})
    d->gemm({.m = 2, .n = 3, .k = 4, .lda = 2, .ldb = 4, .ldc = 2}, p + shift, p, p + shift,
            Stream::compute);
  CHECK(message([&] {
          d->gemm({.m = 999, .n = 3, .k = 4, .lda = 999, .ldb = 4, .ldc = 999}, p, p, p,
                  Stream::compute);
        }) == "cuBLASLt has no algorithm for the product of 999 x 4 by 4 x 3 of f32.");
  d->synchronize();
  d->free(p);
  CHECK(d->counters().gemms == 6 * 16 + 5);
}
TEST_CASE("size classes of device memory") {
  CHECK(size_class(0) == 512);
  CHECK(size_class(513) == 640);
  CHECK(size_class(1000) == 1024);
  CHECK(size_class(1025) == 1280);
  CHECK(size_class(1 << 20) == 1 << 20);
  CHECK(size_class((1 << 20) + 1) == 2 << 20);
  for (std::size_t n = 1; n < (5 << 20); n += n / 7 + 1) {
    CHECK(size_class(n) >= n);
    CHECK((n < 512 || n > 1 << 20 || size_class(n) <= n + n / 4 + 1));
    CHECK(size_class(size_class(n)) == size_class(n));
  }
  FreeBlocks free;
  free.put(1, 1024);
  CHECK(!free.take(512));
  CHECK(!free.take(1025));
  CHECK(free.take(1000)->address == 1);
  CHECK(!free.take(1000));
}
