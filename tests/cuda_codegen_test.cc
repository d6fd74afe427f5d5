// cuda_codegen_test.cc -- loop programs as CUDA kernels: what the emulated device computes is what
// the interpreter does, whatever the order in which threads run; what NVRTC makes of the kernels;
// what is left to the host.
//
// Programs are small texts with sizes filled in.  Sizes straddle what the scheduler decides by: the
// width of a vector, a warp, a block, a chunk.
#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>
#include <map>
#include <random>
#include "backends/cuda/codegen.h"
#include "backends/cuda/schedule.h"
#include "backends/eager/kernels.h"
#include "backends/loops/interpret.h"
#include "backends/loops/loops.h"

using namespace jaxpp;
using namespace jaxpp::cuda;
using Schedule = EmulatorOptions::Schedule;
using Role = loops::Buffer::Role;

namespace {

using Bytes = std::vector<std::byte>;

// ---- Programs and their inputs
std::string filled(std::string text, const std::map<std::string, std::string>& words) {
  for (auto& [name, value] : words)
    for (std::size_t at = 0; (at = text.find("$" + name, at)) != text.npos; at += value.size())
      text.replace(at, name.size() + 1, value);
  return text;
}
std::string filled(std::string text, const std::map<std::string, long>& numbers) {
  std::map<std::string, std::string> words;
  for (auto& [name, value] : numbers) words[name] = std::to_string(value);
  return filled(std::move(text), words);
}
loops::Program program(const std::string& text) {
  loops::Program p = loops::parse(text[0] == '\n' ? text.substr(1) : text);
  loops::verify(p);
  return p;
}

std::size_t bytes(const loops::Buffer& b) { return std::size_t(b.size) * width(b.dtype); }
Bytes random_elements(DType d, std::int64_t n, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<> normal;
  Bytes all(std::size_t(n) * width(d));
  by_dtype(d, [&](auto t) {
    using T = decltype(t);
    for (std::int64_t i = 0; i < n; ++i) {
      T v;
      if constexpr (std::is_same_v<T, bool>)
        v = normal(random) > 0;
      else if constexpr (std::is_integral_v<T>)
        v = T(std::int64_t(40 * normal(random)));
      else if constexpr (is_complex_type<T>)
        v = T(typename T::value_type(normal(random)), typename T::value_type(normal(random)));
      else if constexpr (is_half<T>)
        v = T(float(normal(random)));
      else
        v = T(normal(random));
      std::memcpy(all.data() + std::size_t(i) * sizeof v, &v, sizeof v);
    }
  });
  return all;
}
std::vector<double> numbers(DType d, const Bytes& from) {
  std::vector<double> all;
  by_dtype(d, [&](auto t) {
    using T = decltype(t);
    for (std::size_t i = 0; i < from.size() / sizeof(T); ++i) {
      T v;
      std::memcpy(&v, from.data() + i * sizeof v, sizeof v);
      if constexpr (is_complex_type<T>) {
        all.push_back(double(v.real()));
        all.push_back(double(v.imag()));
      } else if constexpr (is_half<T>) {
        all.push_back(double(float(v)));
      } else {
        all.push_back(double(v));
      }
    }
  });
  return all;
}

// ---- Running them
std::shared_ptr<Driver> device(Schedule schedule) {
  static std::map<Schedule, std::shared_ptr<Driver>> all;
  auto [it, first] = all.try_emplace(schedule);
  if (first) {
    std::string why;
    EmulatorOptions o;
    o.schedule = schedule;
    it->second = emulated_driver(&why, o);
    if (!it->second) WARN("skipped: " << why);
  }
  return it->second;
}

struct Case {
  loops::Program program;
  Code code;
  std::vector<Bytes> in, want;
  explicit Case(const std::string& text) : program(::program(text)), code(generate(program, 132)) {
    for (const loops::Buffer& b : program.buffers) {
      if (b.role == Role::input) {
        in.resize(std::max(in.size(), std::size_t(b.index) + 1));
        in[std::size_t(b.index)] = random_elements(b.dtype, b.size, std::uint64_t(b.index) + 1);
      }
      if (b.role == Role::output) want.resize(std::max(want.size(), std::size_t(b.index) + 1));
    }
    want = interpreted(program);
  }
  std::vector<Bytes> interpreted(const loops::Program& p) const {
    std::vector<Bytes> out(want.size());
    std::vector<const void*> from;
    std::vector<void*> to(out.size());
    for (const Bytes& b : in) from.push_back(b.data());
    for (const loops::Buffer& b : p.buffers)
      if (b.role == Role::output) {
        out[std::size_t(b.index)].resize(bytes(b));
        to[std::size_t(b.index)] = out[std::size_t(b.index)].data();
      }
    loops::Interpreter(p).run(from, to);
    return out;
  }
  // On a device; an output never takes over the memory of an input here.
  std::vector<Bytes> run(Driver& d) const {
    const loops::Program& p = code.program;
    std::vector<Address> at(p.buffers.size());
    const Address arena = d.allocate(std::size_t(p.arena) + 1);
    for (std::size_t i = 0; i < at.size(); ++i) {
      const loops::Buffer& b = p.buffers[i];
      if (b.role == Role::temp) at[i] = arena + Address(b.offset);
      if (b.role == Role::temp || b.role == Role::local) continue;
      at[i] = d.allocate(bytes(b) + 1);
      if (b.role == Role::input)
        d.copy_in(at[i], in[std::size_t(b.index)].data(), bytes(b), Stream::compute);
      if (b.role == Role::constant)
        d.copy_in(at[i], b.value.data<char>(), bytes(b), Stream::compute);
    }
    const Module module = code.source.empty() ? nullptr : d.load(*d.compile(code.source));
    for (const Step& s : code.steps) {
      auto place = [&](const Step::Place& q) {
        return at[std::size_t(q.buffer)] +
               Address(q.at) * width(p.buffers[std::size_t(q.buffer)].dtype);
      };
      REQUIRE(s.kind != Step::Kind::host);
      if (s.kind == Step::Kind::gemm) {
        d.gemm(s.gemm, place(s.a), place(s.b), place(s.c), Stream::compute);
        continue;
      }
      std::vector<void*> args;
      for (int b : s.buffers) args.push_back(&at[std::size_t(b)]);
      d.launch(d.function(module, s.name.c_str()), s.grid, s.block, s.shared_bytes, args,
               Stream::compute);
    }
    std::vector<Bytes> out(want.size());
    for (std::size_t i = 0; i < at.size(); ++i) {
      const loops::Buffer& b = p.buffers[i];
      if (b.role != Role::output) continue;
      out[std::size_t(b.index)].resize(bytes(b));
      d.copy_out(out[std::size_t(b.index)].data(), at[i], bytes(b), Stream::compute);
    }
    d.synchronize();
    for (std::size_t i = 0; i < at.size(); ++i)
      if (p.buffers[i].role != Role::temp && p.buffers[i].role != Role::local) d.free(at[i]);
    d.free(arena);
    if (module) d.unload(module);
    return out;
  }
  // The greatest error, relative to the greatest number of an output, or to 1.
  double error(const std::vector<Bytes>& got) const {
    double worst = 0;
    for (const loops::Buffer& b : program.buffers) {
      if (b.role != Role::output) continue;
      const auto x = numbers(b.dtype, want[std::size_t(b.index)]),
                 y = numbers(b.dtype, got[std::size_t(b.index)]);
      double scale = 1, difference = 0;
      for (std::size_t i = 0; i < x.size(); ++i) {
        if (std::isfinite(x[i])) scale = std::max(scale, std::fabs(x[i]));
        if (std::isnan(x[i]) != std::isnan(y[i])) return HUGE_VAL;
        if (x[i] != y[i] && !std::isnan(x[i]))
          difference = std::max(difference, std::fabs(x[i] - y[i]));
      }
      worst = std::max(worst, difference / scale);
    }
    return worst;
  }
  std::vector<std::string> kernels() const {
    std::vector<std::string> names;
    for (const Step& s : code.steps)
      if (s.kind == Step::Kind::kernel) names.push_back(s.name);
    return names;
  }
};

// The scheduled program means what the program means; the kernels compute it, under every order of
// threads with the same bits; NVRTC makes code of them that keeps everything in registers.
Case check(const std::string& text, double tolerance = 0) {
  Case c(text);
  INFO(loops::print(c.code.program) << c.code.source);
  loops::verify(c.code.program);
  CHECK(c.error(c.interpreted(c.code.program)) <= tolerance);
  std::vector<Bytes> first;
  for (Schedule s : {Schedule::forward, Schedule::reverse, Schedule::shuffled}) {
    auto d = device(s);
    if (!d) break;
    const std::vector<Bytes> got = c.run(*d);
    if (first.empty()) {
      first = got;
      CHECK(c.error(got) <= tolerance);
    }
    CHECK(got == first);
  }
  std::string why;
  if (!c.code.source.empty())
    if (auto cubin = nvrtc_compile(c.code.source, "sm_90", false, &why))
      for (const Usage& u : cubin->usage) {
        INFO(u.kernel);
        CHECK(u.spill_bytes == 0);
        CHECK(u.registers <= 128);
      }
  return c;
}
bool has_vector_loads(const Case& c) {
  std::string why;
  auto cubin = nvrtc_compile(c.code.source, "sm_90", true, &why);
  if (!cubin) {
    WARN("skipped: " << why);
    return true;
  }
  return cubin->ptx.find("ld.global.nc.v4.f32") != std::string::npos &&
         cubin->ptx.find("st.global.v4.f32") != std::string::npos;
}
bool is_form(const Case& c, std::size_t kernel, const char* form) {
  const auto k = c.kernels();
  return kernel < k.size() && k[kernel].ends_with("_" + std::string(form));
}

// ---- Texts that several cases use
const char* const kSoftmax = R"(
in x0: f32[$N]
out y0: f32[$N]
parallel i0 < $R
  local t0: f32[1]
  local t1: f32[$C]
  local t2: f32[1]
  %0: f32 = -inf
  t0[0] = %0
  parallel i1 < $C
    %1 = x0[$C*i0+i1]
    t0[0] max= %1
  %2 = t0[0]
  %3: f32 = 0.0
  t2[0] = %3
  parallel i2 < $C
    %4 = x0[$C*i0+i2]
    %5: f32 = sub %4 %2
    %6: f32 = exp %5
    t1[i2] = %6
    t2[0] += %6
  %7 = t2[0]
  parallel i3 < $C
    %8 = t1[i3]
    %9: f32 = div %8 %7
    y0[$C*i0+i3] = %9
)";
// Layer norm, with sums over the rows: of its input, by column, and of everything.
const char* const kLayerNorm = R"(
in x0: f32[$N]
in x1: f32[$C]
out y0: f32[$N]
out y1: f32[$C]
out y2: f32[1]
parallel i9 < $C
  %90: f32 = 0.0
  y1[i9] = %90
%91: f32 = 0.0
y2[0] = %91
parallel i0 < $R
  local t0: f32[1]
  local t1: f32[1]
  %0: f32 = 0.0
  t0[0] = %0
  parallel i1 < $C
    %1 = x0[$C*i0+i1]
    t0[0] += %1
  %2 = t0[0]
  %3: f32 = $C.0
  %4: f32 = div %2 %3
  %5: f32 = 0.0
  t1[0] = %5
  parallel i2 < $C
    %6 = x0[$C*i0+i2]
    %7: f32 = sub %6 %4
    %8: f32 = mul %7 %7
    t1[0] += %8
  %9 = t1[0]
  %10: f32 = div %9 %3
  %11: f32 = 1e-05
  %12: f32 = add %10 %11
  %13: f32 = rsqrt %12
  parallel i3 < $C
    %14 = x0[$C*i0+i3]
    %15: f32 = sub %14 %4
    %16: f32 = mul %15 %13
    %17 = x1[i3]
    %18: f32 = mul %16 %17
    y0[$C*i0+i3] = %18
    y1[i3] += %16
    y2[0] += %18
)";
const char* const kColumns = R"(
in x0: f32[$N]
out y0: f32[$C]
parallel i0 < $C
  %0: f32 = 0.0
  y0[i0] = %0
parallel i1 < $R
  parallel i2 < $C
    %1 = x0[$C*i1+i2]
    %2: f32 = sin %1
    %3: f32 = exp %2
    y0[i2] += %3
)";
const char* const kSum = R"(
in x0: f32[$N]
out y0: f32[1]
out y1: f32[$N]
%0: f32 = 0.0
y0[0] = %0
parallel i0 < $N
  %1 = x0[i0]
  %2: f32 = sin %1
  %3: f32 = exp %2
  y1[i0] = %3
  y0[0] += %3
)";
std::map<std::string, long> sizes(long rows, long columns) {
  return {{"N", rows * columns}, {"R", rows}, {"C", columns}};
}

}  // namespace

TEST_CASE("cuda: elementwise kernels, of every number of elements") {
  const char* text = R"(
in x0: f32[$N]
in x1: f32[$N]
out y0: f32[$N]
out y1: bool[$N]
parallel i0 < $N
  %0 = x0[i0]
  %1 = x1[i0]
  %2: f32 = mul %0 %1
  %3: f32 = logistic %2
  y0[i0] = %3
  %4: bool = lt %0 %1
  y1[i0] = %4
)";
  for (long n : {1, 31, 32, 33, 255, 257, 1023, 4097}) {
    const Case c = check(filled(text, std::map<std::string, long>{{"N", n}}), 2e-7);
    CHECK(c.kernels() == std::vector<std::string>{"k0_loop"});
  }
  CHECK(has_vector_loads(check(filled(R"(
in x0: f32[4096]
in x1: f32[64]
out y0: f32[8192]
parallel i0 < 64
  %0 = x1[i0]
  parallel i1 < 64
    %1 = x0[64*i0+i1]
    %2: f32 = mul %0 %1
    y0[64*i0+i1] = %2
    y0[64*i0+i1+4096] = %1
)",
                                      std::map<std::string, long>{}))));
}

TEST_CASE("cuda: integers of all widths wrap and never trap") {
  const char* text = R"(
in x0: $D[1000]
in x1: $D[1000]
out y0: $D[1000]
out y1: $D[1000]
out y2: $D[1000]
out y3: f32[1000]
out y4: bool[1000]
out y5: $D[1]
%90: $D = 0
y5[0] = %90
parallel i0 < 1000
  %0 = x0[i0]
  %1 = x1[i0]
  %2: $D = mul %0 %1
  %3: $D = div %2 %1
  %4: $D = add %3 %2
  %5: $D = rem %4 %0
  %6: $D = max %5 %1
  y0[i0] = %6
  %7: $D = neg %6
  %8: $D = abs %7
  %9: $D = sign %8
  %10: $D = mulhi %7 %4
  %11: $D = add %9 %10
  %12: $D = population_count %11
  %13: $D = clz %2
  %14: $D = xor %12 %13
  y1[i0] = %14
  %15: $D = 3
  %16: $D = shift_left %0 %15
  %17: $D = shift_right_logical %0 %15
  %18: $D = shift_right_arithmetic %0 %15
  %19: $D = or %16 %17
  %20: $D = and %19 %18
  %21: $D = integer_pow[y=3] %0
  %22: $D = sub %21 %20
  %23: $D = not %22
  y2[i0] = %23
  %24: f32 = convert_element_type[new_dtype=float32] %23
  y3[i0] = %24
  %25: bool = ge %23 %14
  y4[i0] = %25
  y5[0] += %23
)";
  for (const char* d : {"i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64"})
    check(filled(text, std::map<std::string, std::string>{{"D", d}}));
}

TEST_CASE("cuda: floats of all widths") {
  const char* text = R"(
in x0: $D[1000]
in x1: $D[1000]
in x2: i32[1000]
out y0: $D[1000]
out y1: $D[1000]
out y2: i32[1000]
out y3: $D[1000]
parallel i0 < 1000
  %0 = x0[i0]
  %1 = x1[i0]
  %2: $D = mul %0 %1
  %3: $D = div %2 %1
  %4: $D = tanh %3
  %5: $D = erf %4
  %6: $D = atan2 %5 %0
  y0[i0] = %6
  %7: $D = nan
  %8: $D = -0.5
  %9: $D = clamp %8 %6 %1
  %10: $D = round[rounding_method=RoundingMethod.TO_NEAREST_EVEN] %3
  %11: $D = floor %1
  %12: $D = add %10 %11
  %13: $D = reduce_precision[exponent_bits=5 mantissa_bits=4] %12
  %14: $D = nextafter %13 %1
  %15: $D = add %14 %9
  %16: bool = lt %15 %0
  %17: $D = select_n %16 %15 %7
  y1[i0] = %17
  %18: i32 = convert_element_type[new_dtype=int32] %1
  y2[i0] = %18
  %19: $D = erf_inv %4
  %20: $D = lgamma %1
  %21: $D = digamma %1
  %22: $D = index 3*i0-5
  %23: $D = add %19 %20
  %24: $D = add %23 %21
  %25: $D = mul %24 %22
  %26 = x2[i0]
  %27: $D = convert_element_type[new_dtype=$L] %26
  %28: $D = integer_pow[y=-2] %27
  %29: $D = add %28 %25
  %30: $D = rsqrt %29
  y3[i0] = %30
)";
  for (auto [d, l] :
       {std::pair("f16", "float16"), {"bf16", "bfloat16"}, {"f32", "float32"}, {"f64", "float64"}})
    check(filled(text, std::map<std::string, std::string>{{"D", d}, {"L", l}}),
          d[0] == 'f' && d[1] == '1' ? 1e-3 : 1e-6);
}

TEST_CASE("cuda: complex arithmetic; complex elementary functions are for the host") {
  const char* text = R"(
in x0: $D[500]
in x1: $D[500]
in x2: $R[500]
out y0: $D[500]
out y1: $R[500]
out y2: $D[1]
%0: $D = 0.0+0.0j
y2[0] = %0
parallel i0 < 500
  %1 = x0[i0]
  %2 = x1[i0]
  %3 = x2[i0]
  %4: $D = mul %1 %2
  %5: $D = div %4 %1
  %6: $D = complex %3 %3
  %7: $D = sub %5 %6
  %8: $D = conj %7
  %9: $D = 1.5-2.0j
  %10: $D = add %8 %9
  %11: $D = sign %10
  %12: $D = integer_pow[y=3] %11
  y0[i0] = %12
  y2[0] += %10
  %13: $R = abs %10
  %14: $R = real %11
  %15: $R = imag %11
  %16: $R = add %14 %15
  %17: $R = add %16 %13
  y1[i0] = %17
)";
  check(filled(text, std::map<std::string, std::string>{{"D", "c64"}, {"R", "f32"}}), 1e-5);
  check(filled(text, std::map<std::string, std::string>{{"D", "c128"}, {"R", "f64"}}), 1e-14);

  const Case c(R"(
in x0: c64[10]
out y0: c64[10]
parallel i0 < 10
  %0 = x0[i0]
  %1: c64 = exp %0
  y0[i0] = %1
)");
  REQUIRE(c.code.steps.size() == 1);
  CHECK(c.code.steps[0].kind == Step::Kind::host);
  CHECK(c.code.steps[0].why == "exp: no device form for c64");
  CHECK(c.code.source.empty());
}

TEST_CASE("cuda: strides, negative strides, broadcasts, indices as values") {
  check(R"(
in x0: f32[4000]
out y0: f32[1000]
out y1: f32[1000]
out y2: i32[2000]
parallel i0 < 1000
  %0 = x0[3*i0+7]
  %1 = x0[-2*i0+3999]
  %2: f32 = add %0 %1
  y0[i0] = %2
  y1[-i0+999] = %0
  %3: i32 = index 2*i0+1
  y2[2*i0] = %3
  %4: i32 = index -i0
  y2[2*i0+1] = %4
)");
}

TEST_CASE("cuda: softmax, a row in a warp or in a block") {
  for (auto [r, c] :
       {std::pair(3, 1), {5, 33}, {7, 1000}, {4, 5000}, {2, 20000}, {1500, 64}, {1030, 100}}) {
    const Case k = check(filled(kSoftmax, sizes(r, c)), 1e-6);
    INFO(r << " x " << c);
    CHECK(k.kernels().size() == 1);
    if (c > 1) CHECK(is_form(k, 0, "rows"));
  }
  // The row stays in registers: x is the only thing loaded, and nothing is shared but the parts of
  // reductions.
  const Case c(filled(kSoftmax, sizes(16384, 4096)));
  CHECK(c.code.program.arena == 0);
  CHECK(c.code.source.find("float t1[16];") != std::string::npos);
  CHECK(c.code.steps[0].grid == Dim3{16384, 1, 1});
  // A row too long for a block's memory goes through global memory.
  CHECK(Case(filled(kSoftmax, sizes(4, 65536))).code.program.arena == 4 * 65536 * 4);
}

TEST_CASE("cuda: layer norm with sums over its rows, in chunks") {
  for (auto [r, c] : {std::pair(1, 64), {50, 1}, {37, 64}, {64, 300}, {1200, 128}, {300, 1000}})
    check(filled(kLayerNorm, sizes(r, c)), 2e-5);
  const Case c(filled(kLayerNorm, sizes(4096, 1024)));
  CHECK(c.kernels() == std::vector<std::string>{"k0_rows", "k1_columns", "k2_sum"});
}

TEST_CASE("cuda: sums over columns") {
  for (auto [r, c] :
       {std::pair(1, 700), {1000, 1}, {333, 10}, {1000, 512}, {5000, 33}, {64, 4096}, {3, 12500}})
    check(filled(kColumns, sizes(r, c)), 5e-6);
  const Case c(filled(kColumns, sizes(65536, 4096)));
  CHECK(c.kernels() == std::vector<std::string>{"k0_columns", "k1_columns"});
  CHECK(has_vector_loads(c));
}

TEST_CASE("cuda: sums over everything, with the sum's terms") {
  for (long n : {1, 33, 1000, 16384, 20000, 100003, 262144})
    check(filled(kSum, std::map<std::string, long>{{"N", n}}), 2e-6);
  const Case c(filled(kSum, std::map<std::string, long>{{"N", 1 << 26}}));
  CHECK(c.kernels() == std::vector<std::string>{"k0_sum", "k1_sum"});
  CHECK(has_vector_loads(c));
}

TEST_CASE("cuda: sums over rows, over a middle axis, over rows and columns at once") {
  const char* rows = R"(
in x0: f32[$N]
out y0: f32[$R]
out y1: f32[$R]
parallel i0 < $R
  %0: f32 = 0.0
  y0[i0] = %0
parallel i1 < $R
  %1: f32 = -inf
  y1[i1] = %1
parallel i2 < $R
  parallel i3 < $C
    %2 = x0[$C*i2+i3]
    %3: f32 = sin %2
    y0[i2] += %3
    y1[i2] max= %3
)";
  for (auto [r, c] : {std::pair(1, 1000), {77, 33}, {2000, 64}, {5000, 3}, {10, 5000}})
    check(filled(rows, sizes(r, c)), 5e-6);
  check(R"(
in x0: f32[48000]
out y0: f32[800]
parallel i0 < 800
  %0: f32 = 0.0
  y0[i0] = %0
parallel i1 < 20
  parallel i2 < 60
    parallel i3 < 40
      %1 = x0[2400*i1+40*i2+i3]
      y0[40*i1+i3] += %1
)",
        2e-6);
  check(R"(
in x0: f32[60000]
out y0: f32[1]
out y1: f32[200]
out y2: f32[300]
out y3: f32[60000]
%0: f32 = 0.0
y0[0] = %0
parallel i0 < 200
  %1: f32 = 0.0
  y1[i0] = %1
parallel i1 < 300
  %2: f32 = 0.0
  y2[i1] = %2
parallel i2 < 300
  parallel i3 < 200
    %3 = x0[200*i2+i3]
    %4: f32 = mul %3 %3
    y0[0] += %4
    y1[i3] += %4
    y2[i2] += %4
    y3[200*i2+i3] = %4
)",
        5e-6);
}

TEST_CASE("cuda: transposes through tiles") {
  const char* text = R"(
in x0: $D[$N]
in x1: $D[$N]
out y0: $D[$N]
parallel i0 < 3
  parallel i1 < $B
    parallel i2 < $A
      %0 = x0[$M*i0+$B*i2+i1]
      %1 = x1[$M*i0+$A*i1+i2]
      %2: $D = add %0 %1
      y0[$M*i0+$A*i1+i2] = %2
)";
  auto of = [&](long a, long b, const char* d) {
    return filled(filled(text, std::map<std::string, std::string>{{"D", d}}),
                  std::map<std::string, long>{{"A", a}, {"B", b}, {"M", a * b}, {"N", 3 * a * b}});
  };
  CHECK(is_form(check(of(64, 48, "f32")), 0, "transpose"));
  CHECK(is_form(check(of(33, 100, "c128")), 0, "transpose"));
  CHECK(is_form(check(of(128, 128, "f16")), 0, "transpose"));
  CHECK(is_form(check(of(5, 5000, "f32")), 0, "loop"));
}

TEST_CASE("cuda: threefry gives the CPU's bits") {
  check(R"(
in x0: u32[2]
out y0: u32[4001]
out y1: f32[4001]
parallel i0 < 4001
  %0 = x0[0]
  %1 = x0[1]
  %2: u32 = 0
  %3: u32 = index i0
  %4, %5: u32 = threefry2x32 %0 %1 %2 %3
  %6: u32 = xor %4 %5
  y0[i0] = %6
  %7: u32 = 9
  %8: u32 = shift_right_logical %6 %7
  %9: u32 = 1065353216
  %10: u32 = or %8 %9
  %11: f32 = bitcast_convert_type[new_dtype=float32] %10
  %12: f32 = 1.0
  %13: f32 = sub %11 %12
  y1[i0] = %13
)");
}

TEST_CASE("cuda: a vmapped scan, a vmapped while: one kernel, a thread for each lane") {
  const Case scan = check(R"(
in x0: f64[1000]
in x1: f64[1000]
out y0: f64[1000]
out y1: f64[50000]
parallel i0 < 1000
  local t0: f64[1]
  local t1: f64[1]
  %0 = x0[i0]
  t0[0] = %0
  %1 = x1[i0]
  t1[0] = %1
  serial i1 < 50
    %2 = t0[0]
    %3 = t1[0]
    %4: f64 = mul %2 %3
    %5: f64 = sub %4 %2
    %6: f64 = 0.01
    %7: f64 = mul %5 %6
    %8: f64 = add %2 %7
    %9: f64 = sub %3 %7
    t0[0] = %8
    t1[0] = %9
    y1[1000*i1+i0] = %8
  %10 = t0[0]
  y0[i0] = %10
)",
                          1e-14);
  CHECK(scan.kernels() == std::vector<std::string>{"k0_loop"});
  const Case collatz = check(R"(
in x0: i32[300]
out y0: i32[300]
parallel i0 < 300
  local t0: i32[1]
  local t1: i32[1]
  %0 = x0[i0]
  %1: i32 = abs %0
  t0[0] = %1
  %2: i32 = 0
  t1[0] = %2
  while
    %3 = t0[0]
    %4: i32 = 1
    %5: bool = gt %3 %4
  do %5
    %6 = t0[0]
    %7: i32 = 2
    %8: i32 = rem %6 %7
    %9: i32 = 0
    %10: bool = eq %8 %9
    if %10
      %11: i32 = div %6 %7
      t0[0] = %11
    else
      %12: i32 = 3
      %13: i32 = mul %6 %12
      %14: i32 = 1
      %15: i32 = add %13 %14
      t0[0] = %15
    %16: i32 = 1
    t1[0] += %16
  %17 = t1[0]
  y0[i0] = %17
)");
  CHECK(collatz.kernels() == std::vector<std::string>{"k0_loop"});
}

TEST_CASE(
    "cuda: a scan whose state is a vector runs in one block, with barriers between its loops") {
  const char* text = R"(
in x0: f32[$N]
in x1: f32[4096]
out y0: f32[$N]
parallel i0 < $R
  local t0: f32[64]
  local t1: f32[64]
  parallel i1 < 64
    %0 = x0[64*i0+i1]
    t0[i1] = %0
  serial i2 < 20
    parallel i3 < 64
      %1: f32 = 0.0
      t1[i3] = %1
    parallel i4 < 64
      parallel i5 < 64
        %2 = x1[64*i4+i5]
        %3 = t0[i5]
        %4: f32 = mul %2 %3
        %5: f32 = 0.1
        %6: f32 = mul %4 %5
        t1[i4] += %6
    parallel i6 < 64
      %7 = t1[i6]
      %8: f32 = tanh %7
      t0[i6] = %8
  parallel i7 < 64
    %9 = t0[i7]
    y0[64*i0+i7] = %9
)";
  for (long rows : {1, 50}) {
    const Case c = check(filled(text, sizes(rows, 64)), 1e-5);
    CHECK(c.kernels() == std::vector<std::string>{"k0_rows"});
  }
}

TEST_CASE("cuda: what stands at the top without a parallel loop: scalars, while, scan, if") {
  check(R"(
in x0: f32[1000]
out y0: f32[1000]
out y1: f32[1]
out y2: i32[1]
local t0: f32[1]
local t1: i32[1]
%0: f32 = 0.0
t0[0] = %0
parallel i0 < 1000
  %1 = x0[i0]
  t0[0] += %1
%2 = t0[0]
%3: f32 = 1000.0
%4: f32 = div %2 %3
y1[0] = %4
%5: i32 = 0
t1[0] = %5
while
  %6 = t1[0]
  %7: i32 = 10
  %8: bool = lt %6 %7
do %8
  %9 = y1[0]
  %10: f32 = cos %9
  y1[0] = %10
  %11: i32 = 1
  t1[0] += %11
parallel i1 < 1000
  %12 = x0[i1]
  %13 = y1[0]
  %14: f32 = sub %12 %13
  y0[i1] = %14
%15 = t1[0]
y2[0] = %15
)",
        1e-6);
  // A branch with large loops: kernels that look at the predicate.
  const Case c = check(R"(
in x0: f32[1]
in x1: f32[100000]
out y0: f32[100000]
%0 = x0[0]
%1: f32 = 0.0
%2: bool = gt %0 %1
if %2
  parallel i0 < 100000
    %3 = x1[i0]
    %4: f32 = sin %3
    y0[i0] = %4
else
  parallel i1 < 100000
    %5 = x1[i1]
    y0[i1] = %5
)",
                       1e-6);
  CHECK(c.kernels() == std::vector<std::string>{"k0_rows", "k1_loop", "k2_loop"});
}

TEST_CASE("cuda: indices from data") {
  check(R"(
in x0: f32[640]
in x1: i32[100]
out y0: f32[6400]
parallel i0 < 100
  %0 = x1[i0]
  %1 = clip %0 0 9
  parallel i1 < 64
    %2 = x0[64*%1+i1]
    y0[64*i0+i1] = %2
)");
  // Updates that may meet in one row: every column is one thread's, which goes through them in
  // order.
  const char* scatter = R"(
in x0: f32[6400]
in x1: i32[100]
out y0: f32[640]
parallel i0 < 640
  %0: f32 = 0.0
  y0[i0] = %0
$O i1 < 100
  %1 = x1[i1]
  %2 = clip %1 0 9
  parallel i2 < 64
    %3 = x0[64*i1+i2]
    y0[64*%2+i2] $S %3
)";
  check(filled(scatter, std::map<std::string, std::string>{{"O", "parallel"}, {"S", "+="}}), 1e-6);
  check(filled(scatter, std::map<std::string, std::string>{{"O", "serial"}, {"S", "="}}));
  const char* meet = R"(
in x0: f32[$N]
in x1: i32[$N]
out y0: f32[50]
parallel i0 < 50
  %0: f32 = 0.0
  y0[i0] = %0
parallel i1 < $N
  %1 = x1[i1]
  %2 = clip %1 0 49
  %3 = x0[i1]
  y0[%2] += %3
)";
  check(filled(meet, std::map<std::string, long>{{"N", 300}}), 1e-6);
  const Case many(filled(meet, std::map<std::string, long>{{"N", 10000000}}));
  REQUIRE(many.code.steps.size() == 2);
  CHECK(many.code.steps[1].why == "scatter: several updates may meet in one element");
}

TEST_CASE("cuda: a condition within a kernel") {
  check(R"(
in x0: f32[1000]
in x1: i32[1000]
out y0: f32[1000]
parallel i0 < 1000
  %0 = x1[i0]
  %1: i32 = 0
  %2: bool = gt %0 %1
  if %2
    %3 = x0[i0]
    %4: f32 = exp %3
    y0[i0] = %4
  else
    %5: f32 = -1.0
    y0[i0] = %5
)",
        1e-6);
}

TEST_CASE("cuda: products of matrices go to the library") {
  auto product = [](const std::string& dims, const std::string& x, const std::string& y,
                    const std::string& z, long nx, long ny, long nz, const char* d = "f32") {
    return filled(R"(
in x0: $D[$X]
in x1: $D[$Y]
out y0: $D[$Z]
call dot_general[dimension_numbers=()" +
                      dims + R"() preferred_element_type=None] (x0: $D[)" + x + R"(], x1: $D[)" +
                      y + R"(]) -> (y0: $D[)" + z + R"(])
)",
                  std::map<std::string, std::string>{{"D", d},
                                                     {"X", std::to_string(nx)},
                                                     {"Y", std::to_string(ny)},
                                                     {"Z", std::to_string(nz)}});
  };
  struct Sample {
    const char *dims, *x, *y, *z;
    long nx, ny, nz;
  };
  for (const Sample& s :
       {Sample{"((1,), (0,)), ((), ())", "64,96", "96,32", "64,32", 6144, 3072, 2048},
        Sample{"((0,), (0,)), ((), ())", "96,64", "96,32", "64,32", 6144, 3072, 2048},
        Sample{"((1,), (1,)), ((), ())", "64,96", "32,96", "64,32", 6144, 3072, 2048},
        Sample{"((0,), (1,)), ((), ())", "96,64", "32,96", "64,32", 6144, 3072, 2048},
        Sample{"((2,), (1,)), ((0,), (0,))", "3,20,30", "3,30,40", "3,20,40", 1800, 3600, 2400},
        Sample{"((0,), (2,)), ((1,), (1,))", "30,3,20", "40,3,30", "3,20,40", 1800, 3600, 2400},
        Sample{"((1, 2), (0, 1)), ((), ())", "20,5,6", "5,6,40", "20,40", 600, 1200, 800}}) {
    for (const char* d : {"f32", "c128"}) {
      const Case c = check(product(s.dims, s.x, s.y, s.z, s.nx, s.ny, s.nz, d), 1e-5);
      REQUIRE(c.code.steps.size() == 1);
      CHECK(c.code.steps[0].kind == Step::Kind::gemm);
    }
  }
  const Case integers(
      product("((1,), (0,)), ((), ())", "64,96", "96,32", "64,32", 6144, 3072, 2048, "i32"));
  CHECK(integers.code.steps[0].kind == Step::Kind::host);
  const Case crossed(
      product("((1, 2), (1, 0)), ((), ())", "20,5,6", "6,5,40", "20,40", 600, 1200, 800));
  CHECK(crossed.code.steps[0].why ==
        "dot_general: an operand is no matrix with one stride for rows and one for columns");
}

TEST_CASE("cuda: many elementary functions are called, not inlined") {
  std::string text = "in x0: f32[1000]\nout y0: f32[1000]\nparallel i0 < 1000\n  %0 = x0[i0]\n";
  for (int i = 1; i <= 80; ++i)
    text += "  %" + std::to_string(i) + ": f32 = sin %" + std::to_string(i - 1) + "\n";
  const Case c = check(text + "  y0[i0] = %80\n", 1e-5);
  CHECK(c.code.source.find("#define JAXPP_ELEMENTARY __device__ __noinline__") ==
        0 + c.code.source.find("#define JAXPP_ELEMENTARY"));
}

TEST_CASE("cuda: grids and partial results depend on extents, not on the device") {
  const loops::Program p = program(filled(kLayerNorm, sizes(4096, 1024)));
  const Code a = generate(p, 8), b = generate(p, 144);
  CHECK(a.source == b.source);
  REQUIRE(a.steps.size() == b.steps.size());
  for (std::size_t i = 0; i < a.steps.size(); ++i) CHECK(a.steps[i].grid == b.steps[i].grid);
}

TEST_CASE("cuda: a program's own names are no words of C++") {
  check(R"(
in int: f32[100]
in max: f32[100]
out double: f32[100]
parallel i0 < 100
  %0 = int[i0]
  %1 = max[i0]
  %2: f32 = max %0 %1
  double[i0] = %2
)");
}
