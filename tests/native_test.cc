// native_test.cc -- generated code as a whole: memory around it, threads, bits, exceptions, raw calls.
#include "backends/cpu/native.h"
#include <algorithm>
#include <barrier>
#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>
#include "backends/cpu/codegen.h"
#include "backends/loops/interpret.h"
#include "backends/loops/loops.h"
#include "backends/passes/passes.h"
#include "checks.h"
#include "golden/programs.h"
#include "guarded.h"
#include "jaxpp/jaxpp.h"

using namespace jaxpp;
using jaxpp::testing::golden_programs;
using jaxpp::testing::GoldenProgram;
using jaxpp::testing::Guarded;
using jaxpp::testing::same_bits;
using jaxpp::testing::Side;

namespace {

bool compiled_here() { return native::llvm_available() && !std::getenv("JAXPP_EXECUTOR"); }

std::size_t bytes_of(const Array& a) { return std::size_t(a.size()) * width(a.dtype()); }

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

TEST_CASE("native: records of lanes, up to the ends of arrays") {
  if (!compiled_here()) return;
  for (const DType d : {f32, u8, c64})
    for (const std::int64_t n : {1, 17, 1024, 1025})
      for (const std::int64_t s : {3, 11}) {
        INFO(name(d) << " " << n << " x " << s);
        const Array x = (arange(n * s).reshape({n, s}) % 7).astype(d);
        const auto columns = [s](Array v) {
          std::vector<Array> all;
          for (std::int64_t c = 0; c < s; ++c) all.push_back(v(All, c));
          return all;
        };
        check_guarded([&](Array v) { return v(All, s - 1) * v(All, 0); }, x);
        check_guarded([&](Array v) { return v(All, 1) * v(All, 0); }, x);
        check_guarded(
            [&](Array v) {
              std::vector<Array> c = columns(v);
              for (Array& k : c) k = k * c[0] * c.back();
              return stack(c, 1);
            },
            x);
        check_guarded([&](Array v) { return stack(columns(v(Slice(None, None, -1))), 1); }, x);
        check_guarded(
            [&](Array v) {
              const Array one = v(All, 0), two = v(All, s - 1);
              return zeros({n, 2 * s}, v.dtype())
                  .at(All, Slice(s, s + 2))
                  .set(stack({two, one}, 1));
            },
            x);
      }
  for (const std::int64_t n : {1, 17, 1000, 1025}) {
    const Array a = linspace(-1., 1., n * 9).reshape({n, 3, 3}) + 3. * eye(3, f64);
    const Array b = linspace(0., 1., n * 3).reshape({n, 3});
    check_guarded(
        [](Array m, Array v) {
          return vmap([](Array p, Array q) { return linalg::solve(p, q); })(m, v);
        },
        a, b);
  }
}
TEST_CASE("native: many small systems are solved without gathers") {
  if (!compiled_here() || !native::machine().avx512) return;
  const auto check = [](auto f, const auto&... x) {
    const std::string text = jit(vmap(f)).compile(x...).llvm();
    CHECK_THAT(text, !Catch::Contains("masked.gather") && !Catch::Contains("masked.scatter"));
  };
  const Array a = zeros({10'000, 3, 3}, f32), b = zeros({10'000, 3}, f32);
  check([](Array m, Array v) { return linalg::solve(m, v); }, a, b);
  check([](Array m) { return linalg::det(m); }, a);
  check([](Array m, Array v) { return matmul(m, v); }, a, b);
}
// Programs of one loop in lanes that moves elements from places to places: the interpreter's results, and nothing around
// the arrays is touched.
TEST_CASE("native: elements of records, anywhere") {
  if (!compiled_here()) return;
  std::mt19937 rng(5);
  const auto random = [&](std::int64_t lo, std::int64_t hi) {
    return std::uniform_int_distribution<std::int64_t>(lo, hi)(rng);
  };
  const auto places = [&](std::size_t count, std::int64_t end) {
    std::vector<std::int64_t> all(static_cast<std::size_t>(end));
    for (std::size_t i = 0; i < all.size(); ++i) all[i] = std::int64_t(i);
    if (random(0, 1)) std::shuffle(all.begin(), all.end(), rng);
    const auto from = std::size_t(random(0, std::int64_t(all.size() - count)));
    return std::vector(all.begin() + std::ptrdiff_t(from),
                       all.begin() + std::ptrdiff_t(from + count));
  };
  const auto index = [](std::int64_t stride, std::int64_t n, std::int64_t c) {
    const std::int64_t start = stride < 0 ? -stride * (n - 1) : 0;
    return "[" + std::to_string(stride) + "*i0+" + std::to_string(start + c) + "]";
  };
  for (int trial = 0; trial < 150; ++trial) {
    const DType d = std::vector{f32, f64, i32, f16, u8, b1, c64, c128}[std::size_t(random(0, 7))];
    const std::int64_t lanes = native::machine().vector_bytes /
                               std::max<std::int64_t>(4, std::int64_t(width(d))) * random(1, 2);
    const std::int64_t n = 70 * lanes + random(0, 1) * random(-lanes, lanes);
    const std::int64_t stride = random(1, 36) * (random(0, 3) ? 1 : -1), step = random(1, 36);
    const auto count = std::size_t(std::min({random(1, 36), std::abs(stride), step}));
    const auto from = places(count, std::abs(stride)), to = places(count, step);
    const std::int64_t in_size =
        std::abs(stride) * (n - 1) + *std::max_element(from.begin(), from.end()) + 1;
    const std::int64_t out_size = step * (n - 1) + *std::max_element(to.begin(), to.end()) + 1;
    const bool chosen = random(0, 2) == 0 && count > 2;
    const auto in_order = [&](std::string& text) {  // reads first, or each before its write
      const bool first = random(0, 1);
      std::string writes;
      for (std::size_t k = 0; k < count; ++k) {
        const std::string v = "%v" + std::to_string(k);
        text += "  " + v + " = x0" + index(stride, n, from[k]) + "\n";
        const std::string write = "  y0" + index(step, n, to[k]) + " = " + v + "\n";
        (first ? writes : text) += write;
      }
      text += writes;
    };
    std::string text = "in x0: " + std::string(name(d)) + "[" + std::to_string(in_size) +
                       "]\nin x1: i32[" + std::to_string(n) + "]\nout y0: " + name(d) + "[" +
                       std::to_string(out_size) + "]\n";
    if (chosen) text += "out y1: " + std::string(name(d)) + "[" + std::to_string(n) + "]\n";
    text += "parallel i0 < " + std::to_string(n) + " lanes " + std::to_string(lanes) + "\n";
    if (chosen) {
      std::string at = index(stride, n, 0);
      at.insert(at.size() - 1, "+%c");
      text +=
          "  %k = x1[i0]\n  %c = clip %k 0 " +
          std::to_string(std::min<std::int64_t>(2, *std::max_element(from.begin(), from.end()))) +
          "\n  %x = x0" + at + "\n  y1[i0] = %x\n";
    }
    in_order(text);
    INFO(text);
    loops::Program p = loops::parse(text);
    REQUIRE_NOTHROW(loops::verify(p));
    loops::plan_memory(p);
    const Array data = (arange(in_size) * 37 % 101).astype(d);
    const Array choice = (arange(n) * 7 % 5 - 1).astype(i32);
    const auto bytes = std::size_t(out_size) * width(d);
    for (const Side side : {Side::begin, Side::end}) {
      Guarded in(bytes_of(data), side), in1(std::size_t(n) * 4, side), got(bytes, side),
          want(bytes, side), got1(std::size_t(n) * width(d), side),
          want1(std::size_t(n) * width(d), side);
      std::memcpy(in.data, data.data<char>(), in.bytes);
      std::memcpy(in1.data, choice.data<char>(), in1.bytes);
      const void* inputs[] = {in.data, in1.data};
      void* outputs[] = {want.data, want1.data};
      loops::Interpreter(p).run(inputs, outputs);
      outputs[0] = got.data, outputs[1] = got1.data;
      native::NativeProgram(p, false).run(inputs, outputs);
      CHECK(!std::memcmp(got.data, want.data, bytes));
      CHECK(!std::memcmp(got1.data, want1.data, got1.bytes));
    }
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

TEST_CASE("native: results larger than the caches go past them") {
  native::Machine m = native::machine();
  if (!m.cache_bytes) return;
  const auto text = [&](const char* program, std::size_t cache_bytes) {
    loops::Program p = loops::parse(program);
    m.cache_bytes = cache_bytes;
    m.vector_bytes = 64;
    return native::generate(p, m, true).modules[0];
  };
  const char* copy =
      "in x0: f32[4100]\nout y0: f32[4100]\nparallel i0 < 4100 lanes 16\n  %0 = x0[i0]\n  y0[i0] = "
      "%0\n";
  CHECK_THAT(text(copy, 16400), Catch::Contains("nontemporal") && Catch::Contains("sfence"));
  CHECK_THAT(text(copy, 16401), !Catch::Contains("nontemporal") && !Catch::Contains("sfence"));
  const char* rows =  // the second row stands between two registers
      "in x0: f32[4100]\nout y0: f32[4100]\nparallel i0 < 2\n  parallel i1 < 2050 lanes 16\n"
      "    %0 = x0[2050*i0+i1]\n    y0[2050*i0+i1] = %0\n";
  CHECK_THAT(text(rows, 1), !Catch::Contains("nontemporal"));
  const char* read =
      "in x0: f32[4096]\nout y0: f32[4096]\nparallel i0 < 4096 lanes 16\n  %0 = x0[i0]\n  y0[i0] = "
      "%0\n"
      "  %1 = y0[i0]\n  %2: f32 = neg %1\n  y0[i0] = %2\n";
  CHECK_THAT(text(read, 1), !Catch::Contains("nontemporal"));
}
TEST_CASE("native: a result past the caches, in memory of any alignment") {
  const std::size_t cache = native::machine().cache_bytes;
  if (!compiled_here() || !cache || cache > (std::size_t(128) << 20)) return;
  const auto n = std::int64_t(cache / 4) + 37;
  const Array x = arange(n).astype(f32);
  const auto c = jit([](Array v) { return v * 2.f; }).compile(x);
  CHECK_THAT(c.llvm(), Catch::Contains("nontemporal"));
  std::vector<float> room(std::size_t(n) + 32);
  const auto start = (64 - reinterpret_cast<std::uintptr_t>(room.data()) % 64) % 64 / 4;
  for (const std::size_t shift : {0, 1}) {
    float* y = room.data() + start + shift;
    const void* in[] = {x.data<char>()};
    void* out[] = {y};
    c.call(in, out);
    bool right = true;
    for (std::int64_t i = 0; i < n; ++i) right = right && y[i] == float(i) * 2;
    CHECK(right);
  }
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
  // Work items inside of a loop, which use its variable and values from around them.
  check(
      [](Array v) {
        const auto step = [](Array i, Array s) {
          const Array first = s(0), number = i.astype(f32);
          return sin(s(Slice(None, None, -1))) * number + s * 0.5 - first;
        };
        return fori_loop(0, 3, step, v);
      },
      linspace(-2., 2., 100'000).astype(f32));
}

TEST_CASE("native: loops inside of serial loops, while and cond have work items") {
  const auto pull = [](Array x) {  // sums over rows and columns
    const Array d = x(None) - x(All, None), w = exp(-d * d);
    return x + 1e-3 * (sum(w * d, 1) - 0.5 * sum(w, 0));
  };
  const auto in_scan = [=](Array x) {
    const auto step = [=](Array s, Array k) {
      const Array next = pull(s) * k;
      return std::pair(next, max(next));
    };
    const auto [end, largest] = scan(step, x, linspace(0.9, 1.1, 4).astype(f32));
    return sum(end * end) + sum(largest);
  };
  const auto in_while = [=](Array x) {
    using State = std::pair<Array, Array>;
    const auto go = [](const State& s) { return s.second < 3; };
    const auto step = [=](const State& s) { return State(pull(s.first), s.second + 1); };
    return sum(while_loop(go, step, State(x, Array(0))).first);
  };
  const auto in_cond = [=](Array x) {
    const auto step = [=](Array i, Array s) {
      return cond(
          i % 2 == 0, pull, [](Array y) { return y * 0.5f; }, s);
    };
    return sum(fori_loop(0, 4, step, x));
  };
  const auto check = [](auto f) {
    const Array x = random::normal(random::key(3), {600}, f32);
    const auto c = jit(f);
    INFO(c.compile(x).loops());
    if (compiled_here())  // a chunk below a head that is itself inside
      CHECK(c.compile(x).loops().find("\n  parallel") != std::string::npos);
    if (compiled_here()) CHECK(c.compile(x).loops().find("grain") != std::string::npos);
    const int before = num_threads();
    set_num_threads(1);
    const Array one = c(x);
    for (int threads : {2, 4}) {
      set_num_threads(threads);
      CHECK(same_bits(c(x), one));
    }
    set_num_threads(before);
    CHECK(allclose(one, f(x), 1e-4, 1e-4));
  };
  check(in_scan);
  check(grad(in_scan));
  check(in_while);
  check(in_cond);
}

TEST_CASE("native: sums of columns") {
  // Beside a result of every element the lanes are columns; their sums, of one vector or several, stay in registers.
  for (DType d : {f32, f64, bf16, i32, i64, c64})
    for (std::int64_t columns : {1, 3, 8, 10, 16, 17, 40, 64})
      for (std::int64_t rows : {1, 5, 3000}) {
        const Array x = (random::normal(random::key(1), {rows, columns}) * 4.f).astype(d);
        const Array b = (random::normal(random::key(2), {columns}) * 4.f).astype(d);
        const auto f = [](Array v, Array w) {
          const Array y = v * w + w;
          return std::tuple(y, w - 2 * sum(y, 0), where(sum(y, 0) == 0, w, sum(v, 0)));
        };
        const auto [y, s, t] = jit(f)(x, b);
        const auto [y2, s2, t2] = f(x, b);
        INFO(x.type()->str());
        const double bound = is_inexact(d) ? (d == bf16 ? 0.1 : 1e-5) : 0;
        const auto close = [&](const Array& a, const Array& c) {
          const Array size = is_complex(d) ? abs(c) : abs(c.astype(f64));
          const Array off = is_complex(d) ? abs(a - c) : abs(a.astype(f64) - c.astype(f64));
          CHECK(double(max(off).astype(f64)) <=
                bound * (double(max(size).astype(f64)) + double(rows)));
        };
        close(y, y2);
        close(s, s2);
        close(t, t2);
      }
  if (!compiled_here()) return;
  const Array x = ones({4000, 16}, f32);
  const auto text =
      jit([](Array v) { return std::pair(v * 2, 1 - sum(v * 2, 0)); }).compile(x).loops();
  CHECK(text.find("< 4000 lanes") == std::string::npos);
}
TEST_CASE("native: sums beside those of other work items") {
  // Rows of 3 sums, which the lanes of an inner loop share; and sums that lie a row apart, between those of other rows.
  const std::int64_t n = 512;
  const Array x = random::normal(random::key(1), {n, 3}), m = random::uniform(random::key(2), {n});
  const auto force = [](Array p, Array w) {
    const Array d = p(None) - p(All, None);
    const Array r2 = sum(d * d, -1) + 0.01f;
    return einsum("ijk,ij,j->ik", d, pow(r2, -1.5f), w);
  };
  const auto turned = [&](Array p, Array w) { return transpose(force(p, w)); };
  const auto gradient = [&](Array p, Array w) {
    return grad<0, 1>([&](Array q, Array v) { return sum(sin(force(q, v))); })(p, w);
  };
  const auto same = [&](auto f) {
    const auto compiled = jit(f);
    set_num_threads(1);
    const std::vector<Array> one = tree_leaves(compiled(x, m));
    set_num_threads(4);
    for (int i = 0; i < 50; ++i) {
      const std::vector<Array> four = tree_leaves(compiled(x, m));
      for (std::size_t k = 0; k < one.size(); ++k) REQUIRE(bool(all(one[k] == four[k])));
    }
  };
  const int before = num_threads();
  same(force);
  same(turned);
  same(gradient);
  set_num_threads(before);
}
TEST_CASE("native: threads compile and call the same functions at the same time") {
  const Array x = random::normal(random::key(1), {300, 64}),
              w = random::normal(random::key(2), {64, 64});
  const auto work = jit([](Array a, Array b) { return sum(tanh(matmul(a, b)) * a, 0); });
  const auto gradient = jit([](Array a, Array b) {
    return grad<0, 1>([](Array p, Array q) { return sum(sin(matmul(p, q))); })(a, b);
  });
  const auto loop = jit([](Array a, Array b) {
    return scan([&](Array s, Array row) { return std::pair(tanh(matmul(s, b)) + row, sum(s)); },
                zeros({64}), a);
  });
  const auto sorted = jit([](Array a, Array b) { return std::pair(sort(a, 0), max(b) + a); });
  constexpr std::size_t kThreads = 16, kRounds = 3;
  const int before = num_threads();
  std::vector<std::vector<Array>> results[4];
  for (auto& r : results) r.resize(kThreads * kRounds);
  std::barrier start(std::ptrdiff_t{kThreads});
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < kThreads; ++t)
    threads.emplace_back([&, t] {
      start.arrive_and_wait();
      for (std::size_t k = 0; k < kRounds; ++k)
        for (std::size_t i = 0; i < 4; ++i) {
          const std::size_t which = (i + t) % 4, at = t * kRounds + k;
          set_num_threads(int(1 + (t + k) % 4));
          results[which][at] = which == 0   ? tree_leaves(work(x, w))
                               : which == 1 ? tree_leaves(gradient(x, w))
                               : which == 2 ? tree_leaves(loop(x, w))
                                            : tree_leaves(sorted(x, w));
        }
    });
  for (auto& t : threads) t.join();
  set_num_threads(before);
  for (const auto& r : results)
    for (const auto& leaves : r)
      for (std::size_t k = 0; k < leaves.size(); ++k) CHECK(bool(all(leaves[k] == r[0][k])));
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
