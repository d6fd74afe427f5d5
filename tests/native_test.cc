// native_test.cc -- generated code as a whole: memory around it, threads, bits, exceptions, raw calls.
#include "backends/cpu/native.h"
#include <sys/mman.h>
#include <unistd.h>
#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>
#include "backends/loops/interpret.h"
#include "backends/loops/loops.h"
#include "backends/passes/passes.h"
#include "golden/programs.h"
#include "jaxpp/jaxpp.h"

using namespace jaxpp;
using jaxpp::testing::golden_programs;
using jaxpp::testing::GoldenProgram;

namespace {

bool compiled_here() { return native::llvm_available() && !std::getenv("JAXPP_EXECUTOR"); }

enum class Side { begin, end };
/// Memory whose first or last byte is that of a page; the pages before and behind must not be touched.
class Guarded {
 public:
  Guarded(std::size_t bytes, Side side) : bytes_(bytes) {
    const auto page = std::size_t(sysconf(_SC_PAGESIZE));
    size_ = (bytes + page - 1) / page * page + 2 * page;
    base_ = static_cast<char*>(
        mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    REQUIRE(base_ != MAP_FAILED);
    mprotect(base_, page, PROT_NONE);
    mprotect(base_ + size_ - page, page, PROT_NONE);
    data = side == Side::begin ? base_ + page : base_ + size_ - page - bytes;
    std::memset(data, 0xff, bytes);
  }
  Guarded(const Guarded&) = delete;
  ~Guarded() { munmap(base_, size_); }
  char* data;
  std::size_t bytes_;

 private:
  char* base_;
  std::size_t size_;
};
std::size_t bytes_of(const Array& a) { return std::size_t(a.size()) * width(a.dtype()); }
bool same_bits(const Array& a, const Array& b) {
  return a.shape() == b.shape() && !std::memcmp(a.data<char>(), b.data<char>(), bytes_of(a));
}

// f on arrays, compiled, with every input and output at the begin of a page, then at the end of one.
template <class F, class... A>
void check_guarded(F f, const A&... x) {
  const Array want = f(x...);
  const auto c = jit(f).compile(x...);
  for (Side side : {Side::begin, Side::end}) {
    std::vector<std::unique_ptr<Guarded>> in;
    std::vector<const void*> from;
    for (const Array& a : {Array(x)...}) {
      in.push_back(std::make_unique<Guarded>(bytes_of(a), side));
      std::memcpy(in.back()->data, a.data<char>(), bytes_of(a));
      from.push_back(in.back()->data);
    }
    Guarded out(bytes_of(want), side);
    void* to[] = {out.data};
    c.call(from.data(), to);
    const Array got = Array::view(want.dtype(), want.shape(), out.data, nullptr, nullptr);
    CHECK(allclose(got, want, 1e-5, 1e-6));
  }
}

}  // namespace

TEST_CASE("native: nothing is read or written outside of arrays") {
  if (!compiled_here()) return;
  for (std::int64_t n : {1, 2, 3, 7, 8, 15, 16, 17, 31, 33, 64, 65, 127, 1000, 4097}) {
    INFO(n);
    const Array x = linspace(0.1, 2., n).astype(f32), i = (arange(n) * 7) % n;
    check_guarded([](Array v) { return sin(v) * exp(-v) + tanh(v); }, x);
    check_guarded([](Array v) { return sum(v * v); }, x);
    check_guarded([](Array v) { return cumsum(v); }, x);
    check_guarded([](Array v, Array k) { return take(v, k, 0); }, x, i);
    check_guarded([](Array v, Array k) { return zeros_like(v).at(k).add(v); }, x, i);
    check_guarded([](Array v) { return v(Slice(None, None, -1)) + v; }, x);
    check_guarded([](Array v) { return (v > 1.f).astype(u8); }, x);
    check_guarded([](Array v) { return nn::softmax(v(None) * v(All, None)); },
                  x(Slice(0, std::min<std::int64_t>(n, 70))));
    check_guarded([](Array v) { return transpose(v(None) - v(All, None) * 2.f); },
                  x(Slice(0, std::min<std::int64_t>(n, 70))));
    check_guarded([](Array v) { return v.astype(bf16) * v.astype(bf16); }, x);
  }
}

TEST_CASE("native: results do not depend on the number of threads") {
  const int before = num_threads();
  for (const GoldenProgram& p : golden_programs()) {
    INFO(p.name);
    set_num_threads(1);
    const auto one = p.jitted(p.inputs, cpu());
    set_num_threads(3);
    const auto three = p.jitted(p.inputs, cpu());
    REQUIRE(one.size() == three.size());
    for (std::size_t k = 0; k < one.size(); ++k) CHECK(same_bits(one[k], three[k]));
  }
  const Array x = random::normal(random::key(1), {200'000}, f32);
  const auto f = jit([](Array v) {
    return std::tuple(sum(sin(v)), cumsum(v), max(v),
                      zeros({10}, f32).at((v * 3.f).astype(i32) % 10).add(v));
  });
  set_num_threads(1);
  const auto [a, b, c, d] = f(x);
  set_num_threads(4);
  const auto [a2, b2, c2, d2] = f(x);
  set_num_threads(before);
  CHECK(same_bits(a, a2));
  CHECK(same_bits(b, b2));
  CHECK(same_bits(c, c2));
  CHECK(same_bits(d, d2));
}

TEST_CASE("native: without contraction the interpreter's bits") {
  if (!compiled_here()) return;
  const auto check = [](auto f, const Array& x) {
    const auto j = passes::optimize(*make_jaxpr(f)(x).body());
    loops::Program plain = loops::build(*j), scheduled = plain;
    loops::schedule(
        scheduled,
        {.vector_bytes = native::machine().vector_bytes, .max_unroll = 16, .max_chunks = 8});
    for (loops::Program* p : {&plain, &scheduled}) loops::plan_memory(*p);
    const internal::Type t = j->out_types()[0];
    Array want = zeros(t->shape, t->dtype), got = zeros(t->shape, t->dtype);
    const void* in[] = {x.data<char>()};
    void* out[] = {want.data<char>()};
    loops::Interpreter(plain).run(in, out);
    out[0] = got.data<char>();
    native::NativeProgram(scheduled, false).run(in, out);
    INFO(loops::print(scheduled));
    CHECK(same_bits(got, want));
  };
  for (DType d : {f32, f64, f16, bf16}) {
    const Array x =
        concatenate({linspace(-20., 20., 1001), Array({0., -0., 1e-40, 1e30, -1e30, 1e6})})
            .astype(d);
    check([](Array v) { return sin(v) * cos(v) + v * 0.5; }, x);
    check([](Array v) { return exp(v) / (1 + exp(-v)) - tanh(v) * v; }, x);
    check([](Array v) { return log1p(abs(v)) * sqrt(abs(v)) + pow(abs(v), 0.3); }, x);
    check([](Array v) { return where(v > 0, atan2(v, v + 1), erf(v)); }, x);
    check([](Array v) { return maximum(v, v(Slice(None, None, -1))) + floor(v) * round(v); }, x);
  }
  const Array k = arange(1000) * 2654435761 % 1000003 - 500000;
  check([](Array v) { return ((v * v % 97) ^ v) + (v << 3) - (v >> 2); }, k);
  check(
      [](Array v) {
        return fori_loop(
            0, 20, [](Array, Array s) { return s * 1.1 - s * s * 0.01; }, v.astype(f64) * 1e-6);
      },
      k);
}

TEST_CASE("native: what a callback throws leaves generated code") {
  const auto f = jit([](Array x) {
    return scan(
        [](Array s, Array v) {
          Array y = pure_callback(
              [](Array a) -> Array {
                if (double(a) > 2) throw std::runtime_error("too much");
                return a * 2;
              },
              v.type(), v);
          return std::pair(s + y, None);
        },
        Array(0.), x);
  });
  CHECK(double(f(Array{1., 2.}).first) == 6);
  for (int i = 0; i < 3; ++i) CHECK_THROWS_WITH(f(Array{1., 2., 3.}), Catch::Contains("too much"));
  CHECK(double(f(Array{1., 1.}).first) == 4);
}

TEST_CASE("native: raw calls") {
  const Array w = {2., 3.};
  const auto c = jit([w](Array x, Array y) {
                   return std::tuple(x * w, y, x * w, Array(7.));
                 }).compile(Array{1., 2.}, Array(5.));
  const double x[] = {10, 20}, y = 6;
  double a[2], b, d[2], e;
  c.call({x, &y}, {a, &b, d, &e});
  CHECK((a[0] == 20 && a[1] == 60 && b == 6 && d[0] == 20 && d[1] == 60 && e == 7));
}

TEST_CASE("native: code can be seen") {
  const auto c = jit([](Array x) { return sin(x) + 1; }).compile(ones({100}));
  if (!compiled_here()) {
    CHECK(c.llvm() == "");
    CHECK(c.assembly() == "");
    return;
  }
  CHECK_THAT(c.llvm(), Catch::Contains("define void @run"));
  CHECK_THAT(c.assembly(), Catch::Contains("run:"));
  CHECK(c.times().total() > 0);
}

TEST_CASE("native: a long program is cut into functions that hand values on") {
  if (!compiled_here()) return;
  const auto f = [](Array x) {
    std::vector<Array> v{x, x * 2, x + 1};
    for (int i = 0; i < 4000; ++i)
      v.push_back(0.5 * sin(v[v.size() - 1]) * v[v.size() - 3] +
                  0.5 * cos(v[std::size_t(i) % 50 % v.size()]));
    return v.back() + v[7] + v[1000];
  };
  const auto c = jit(f).compile(Array(0.3));
  CHECK_THAT(c.llvm(), Catch::Contains("@segment1"));
  CHECK(double(jit(f)(Array(0.3))) == Approx(double(f(Array(0.3)))).epsilon(1e-6));
}
