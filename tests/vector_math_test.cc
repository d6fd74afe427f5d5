// The vector math against stored values of high precision, its special values against the C library's, and the scalar
// code as generated code against itself on C++ numbers.
#include <bit>
#include <complex>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <map>
#include <random>
#include <sstream>
#include "backends/cpu/elementwise.h"
#include "backends/cpu/llvm.h"
#include "backends/cpu/runtime.h"
#include "backends/eager/kernels.h"
#include "jaxpp/jit.h"
#include "jaxpp/math.h"
#include "jaxpp/ops/elementwise.h"
#include "jaxpp/ops/params.h"
#include "jaxpp/ops/primitives.h"

using namespace jaxpp;
using namespace jaxpp::internal;
namespace ir = native::ir;

namespace {

constexpr int kLanes = 16;

struct Case {
  std::string name;
  const Primitive* primitive;
  internal::Params params;
  std::vector<DType> x, z;
};
struct TestRuntime : native::Runtime {
  std::vector<native::BlockCall> blocks;
};
void run_block(const native::Runtime* r, std::int64_t k, void** operands, std::int64_t n) {
  static_cast<const TestRuntime*>(r)->blocks[std::size_t(k)].run(operands, n);
}

// Elements of a type with corner cases among them.
template <class T>
void fill(std::vector<char>& bytes, std::size_t n, unsigned seed) {
  std::mt19937_64 random(seed);
  bytes.resize(n * sizeof(T));
  for (std::size_t i = 0; i < n; ++i) {
    T v{};
    auto real = [&](auto r) {
      using R = decltype(r);
      using L = std::numeric_limits<R>;
      const R corners[] = {0,
                           -R(0),
                           1,
                           -1,
                           L::infinity(),
                           -L::infinity(),
                           L::quiet_NaN(),
                           L::min(),
                           L::denorm_min(),
                           L::max(),
                           L::lowest(),
                           R(0.5),
                           R(1e6),
                           R(3e9),
                           R(1e30),
                           -R(2.5),
                           R(1.5),
                           R(-3)};
      const auto k = random() % 100;
      if (k < std::size(corners)) return corners[k];
      const double u = double(random() >> 11) * 0x1p-53;
      if (k < 50) return R((2 * u - 1) * 4);
      return R((random() & 1 ? 1 : -1) * std::exp2((2 * u - 1) * (k < 80 ? 20 : 140)));
    };
    if constexpr (std::is_same_v<T, bool>)
      v = random() & 1;
    else if constexpr (std::is_integral_v<T>)
      v = random() % 3 ? T(random()) : T(int(random() % 9) - 4);
    else if constexpr (is_complex_type<T>)
      v = T(real(typename T::value_type()), real(typename T::value_type()));
    else if constexpr (is_half<T>)
      v = T(real(float()));
    else
      v = real(T());
    std::memcpy(bytes.data() + i * sizeof(T), &v, sizeof(T));
  }
}

ir::Type memory_type(DType d) { return {is_bool(d) ? ir::Kind::i8 : native::kind_of(d), 1}; }

// Reads operand k's lanes, or writes: as arrays are, which is kLanes elements from `at` on.
native::Element read(ir::Writer& w, ir::Value at, DType d) {
  ir::Type t = memory_type(d);
  t.lanes = kLanes * (is_complex(d) ? 2 : 1);
  const ir::Value v = w.load(t, at, 1);
  if (is_bool(d)) return {d, {w.compare("ne", v, ir::integer(ir::Kind::i8, 0))}};
  if (!is_complex(d)) return {d, {v}};
  std::vector<int> even, odd;
  for (int i = 0; i < kLanes; ++i) even.push_back(2 * i), odd.push_back(2 * i + 1);
  return {d, {w.shuffle(v, v, even), w.shuffle(v, v, odd)}};
}
void write(ir::Writer& w, ir::Value at, native::Element z) {
  const ir::Value v = w.widen(z.v[0], kLanes);
  if (is_bool(z.dtype)) return w.store(w.cast("zext", v, ir::Kind::i8), at, 1);
  if (!is_complex(z.dtype)) return w.store(v, at, 1);
  std::vector<int> order;
  for (int i = 0; i < kLanes; ++i) order.push_back(i), order.push_back(kLanes + i);
  w.store(w.shuffle(v, w.widen(z.v[1], kLanes), order), at, 1);
}

// define void @NAME(ptr operands, ptr runtime): kLanes elements.  Whether the operation has a generated form; if not, its
// block kernel is called.
bool write_case(native::Target& t, const std::string& name, const Case& c) {
  ir::Writer& w = t.writer;
  const ir::Type pointer{ir::Kind::pointer, 1}, parameters[] = {pointer, pointer};
  w.begin(name, ir::Kind::nothing, parameters, "");
  t.runtime = w.parameter(1);
  auto operand = [&](std::size_t k) {
    return w.load(pointer, w.address(w.parameter(0), ir::i64(std::int64_t(k)), pointer), 8);
  };
  std::vector<native::Element> x, z(c.z.size());
  for (std::size_t k = 0; k < c.x.size(); ++k) x.push_back(read(w, operand(k), c.x[k]));
  for (std::size_t k = 0; k < c.z.size(); ++k) z[k].dtype = c.z[k];
  const bool generated = native::emit(t, *c.primitive, c.params, c.z[0], x, z.data());
  if (!generated) REQUIRE(native::call_block(t, *c.primitive, c.params, x, z));
  for (std::size_t k = 0; k < c.z.size(); ++k) {
    CHECK(z[k].dtype == c.z[k]);
    write(w, operand(x.size() + k), z[k]);
  }
  w.ret();
  w.end();
  return generated;
}

template <class T>
bool same_bits(const char* a, const char* b) {
  T x, y;
  std::memcpy(&x, a, sizeof x);
  std::memcpy(&y, b, sizeof y);
  if constexpr (is_complex_type<T>) {
    using R = typename T::value_type;
    return same_bits<R>(a, b) && same_bits<R>(a + sizeof(R), b + sizeof(R));
  } else if constexpr (is_half<T>) {
    if (float(x) != float(x)) return float(y) != float(y);
  } else if constexpr (std::is_floating_point_v<T>) {
    if (x != x) return y != y;
  }
  return std::memcmp(a, b, sizeof(T)) == 0;
}

std::vector<Case> all_cases() {
  std::vector<Case> cases;
  auto name_of = [](const Primitive& p, DType d) {
    return std::string(p.name) + "_" + std::string(name(d));
  };
  auto every = [&](Domain domain, auto f) {
    for (std::size_t d = 0; d < kNumDTypes; ++d)
      if (in_domain(domain, DType(d))) f(DType(d));
  };
#define UNARY(id, text, doc, linear, domain, result, ...)                                       \
  every(Domain::domain, [&](DType d) {                                                          \
    cases.push_back({name_of(id##_p, d), &id##_p, {}, {d}, {result_dtype(Result::result, d)}}); \
  });
#define BINARY(id, text, doc, linear, domain, ...)                   \
  every(Domain::domain, [&](DType d) {                               \
    cases.push_back({name_of(id##_p, d), &id##_p, {}, {d, d}, {d}}); \
  });
#define COMPARE(id, text, doc, domain, ...)                                  \
  every(Domain::domain, [&](DType d) {                                       \
    cases.push_back({name_of(id##_p, d), &id##_p, {}, {d, d}, {DType::b1}}); \
  });
#include "jaxpp/ops/elementwise.def"
#undef UNARY
#undef BINARY
#undef COMPARE
  every(Domain::Any, [&](DType from) {
    every(Domain::Any, [&](DType to) {
      cases.push_back({name_of(convert_element_type_p, from) + "_" + std::string(name(to)),
                       &convert_element_type_p,
                       {},
                       {from},
                       {to}});
    });
    cases.push_back({name_of(select_n_p, from), &select_n_p, {}, {DType::b1, from, from}, {from}});
    cases.push_back({name_of(select_n_p, from) + "_3",
                     &select_n_p,
                     {},
                     {DType::i32, from, from, from},
                     {from}});
  });
  every(Domain::Ordered, [&](DType d) {
    cases.push_back({name_of(clamp_p, d), &clamp_p, {}, {d, d, d}, {d}});
  });
  static std::vector<PowParams> powers;
  static std::vector<PrecisionParams> precisions;
  powers.reserve(8), precisions.reserve(8);
  for (const std::int64_t y : {-3, -1, 0, 1, 2, 5}) {
    powers.push_back({y});
    every(Domain::Numeric, [&](DType d) {
      cases.push_back({name_of(integer_pow_p, d) + "_" + std::to_string(powers.size()),
                       &integer_pow_p,
                       internal::Params(powers.back()),
                       {d},
                       {d}});
    });
  }
  for (const auto& [e, m] : std::vector<std::pair<int, int>>{{5, 10}, {8, 7}, {4, 3}, {8, 0}}) {
    precisions.push_back({e, m});
    every(Domain::Float, [&](DType d) {
      cases.push_back({name_of(reduce_precision_p, d) + "_" + std::to_string(precisions.size()),
                       &reduce_precision_p,
                       internal::Params(precisions.back()),
                       {d},
                       {d}});
    });
  }
  static const RoundParams roundings[] = {{RoundingMethod::AWAY_FROM_ZERO},
                                          {RoundingMethod::TO_NEAREST_EVEN}};
  for (const RoundParams& r : roundings)
    every(Domain::Float, [&](DType d) {
      cases.push_back({name_of(round_p, d) + "_" + std::to_string(&r - roundings),
                       &round_p,
                       internal::Params(r),
                       {d},
                       {d}});
    });
  const DType u = DType::u32;
  cases.push_back({"threefry2x32", &threefry2x32_p, {}, {u, u, u, u}, {u, u}});
  for (const auto& [r, c] : {std::pair{DType::f32, DType::c64}, {DType::f64, DType::c128}}) {
    cases.push_back({name_of(complex_p, r), &complex_p, {}, {r, r}, {c}});
    cases.push_back({name_of(real_p, c), &real_p, {}, {c}, {r}});
    cases.push_back({name_of(imag_p, c), &imag_p, {}, {c}, {r}});
    cases.push_back({name_of(conj_p, c), &conj_p, {}, {c}, {c}});
    cases.push_back({name_of(conj_p, r), &conj_p, {}, {r}, {c}});
  }
  return cases;
}

}  // namespace

TEST_CASE("generated elements have the bits of the block kernels", "[vector_math][llvm]") {
  if (!native::llvm_available()) return;
  constexpr int blocks = 40, n = kLanes * blocks;
  const std::vector<Case> cases = all_cases();
  for (const bool out_of_line : {false, true}) {
    for (std::size_t first = 0; first < cases.size(); first += 100) {
      ir::Writer w;
      TestRuntime runtime;
      runtime.block = run_block;
      native::Target t{
          .writer = w, .runtime = {}, .blocks = runtime.blocks, .out_of_line = out_of_line};
      const std::size_t last = std::min(first + 100, cases.size());
      std::vector<bool> generated;
      for (std::size_t i = first; i < last; ++i) {
        if (out_of_line && !is_float(cases[i].x[0])) continue;
        write_case(t, "case" + std::to_string(i), cases[i]);
      }
      const auto code = native::compile_ir(w.module("nounwind"));
      for (std::size_t i = first; i < last; ++i) {
        const Case& c = cases[i];
        const auto f = reinterpret_cast<void (*)(void**, const native::Runtime*)>(
            code->find("case" + std::to_string(i)));
        if (!f) continue;
        std::vector<std::vector<char>> in(c.x.size()), expected(c.z.size()), got(c.z.size());
        std::vector<const void*> from;
        std::vector<void*> to;
        std::unique_ptr<bool[]> full(new bool[c.x.size()]);
        for (std::size_t k = 0; k < c.x.size(); ++k) {
          internal::by_dtype(c.x[k], [&](auto v) { fill<decltype(v)>(in[k], n, unsigned(k + 1)); });
          from.push_back(in[k].data());
          full[k] = true;
        }
        for (std::size_t k = 0; k < c.z.size(); ++k) {
          expected[k].resize(n * width(c.z[k]));
          got[k].resize(n * width(c.z[k]));
          to.push_back(expected[k].data());
        }
        internal::block_op(*c.primitive, c.params, c.x, c.z[0])
            .run({from, full.get(), to.data()}, n);
        for (int b = 0; b < blocks; ++b) {
          std::vector<void*> operands;
          for (std::size_t k = 0; k < c.x.size(); ++k)
            operands.push_back(in[k].data() + std::size_t(b) * kLanes * width(c.x[k]));
          for (std::size_t k = 0; k < c.z.size(); ++k)
            operands.push_back(got[k].data() + std::size_t(b) * kLanes * width(c.z[k]));
          f(operands.data(), &runtime);
        }
        for (std::size_t k = 0; k < c.z.size(); ++k)
          internal::by_dtype(c.z[k], [&](auto v) {
            using R = decltype(v);
            int different = 0, at = -1;
            for (int j = 0; j < n; ++j)
              if (!same_bits<R>(&expected[k][std::size_t(j) * sizeof(R)],
                                &got[k][std::size_t(j) * sizeof(R)])) {
                if (at < 0) at = j;
                ++different;
              }
            INFO(c.name << ", " << different << " of " << n << ", element " << at
                        << (out_of_line ? ", out of line" : ""));
            CHECK(different == 0);
          });
      }
    }
  }
}

namespace {

// What the documentation promises, in ulps; lgamma and digamma: of max(1, |f|).  The incomplete functions lose digits where
// they are small differences from 1, and far out where exponents are large; in float they are rounded values.
const std::map<std::string, double> kBars = {{"exp", 1.5},
                                             {"exp2", 1.5},
                                             {"expm1", 1.5},
                                             {"log", 1.5},
                                             {"log1p", 1.5},
                                             {"sin", 1.5},
                                             {"cos", 1.5},
                                             {"tan", 1.5},
                                             {"asin", 2},
                                             {"acos", 2},
                                             {"atan", 2},
                                             {"atan2", 2},
                                             {"sinh", 1.5},
                                             {"cosh", 1.5},
                                             {"tanh", 1.5},
                                             {"asinh", 1.5},
                                             {"acosh", 1.5},
                                             {"atanh", 1.5},
                                             {"cbrt", 1.5},
                                             {"erf", 2.5},
                                             {"erfc", 5},
                                             {"pow", 2.5},
                                             {"lgamma", 4},
                                             {"digamma", 4},
                                             {"bessel_i0e", 5},
                                             {"bessel_i1e", 7},
                                             {"igamma", 40},
                                             {"igammac", 300},
                                             {"igamma_grad_a", 100},
                                             {"random_gamma_grad", 100},
                                             {"regularized_incomplete_beta", 120}};

const Primitive* primitive_of(const std::string& name) {
#define UNARY(id, text, ...) \
  if (name == text) return &id##_p;
#define BINARY(id, text, ...) \
  if (name == text) return &id##_p;
#define COMPARE(...)
#include "jaxpp/ops/elementwise.def"
#undef UNARY
#undef BINARY
#undef COMPARE
  if (name == "regularized_incomplete_beta") return &regularized_incomplete_beta_p;
  return nullptr;
}
template <class R>
std::vector<R> run_rows(const Primitive& p, const std::vector<std::vector<R>>& x,
                        std::size_t step) {
  const std::vector<DType> in(x.size(), dtype_of<R>);
  const BlockOp op = block_op(p, {}, in, dtype_of<R>);
  const bool full[] = {true, true, true};
  std::vector<R> z(x[0].size());
  for (std::size_t i = 0; i < z.size(); i += step) {
    std::vector<const void*> from;
    for (auto& v : x) from.push_back(&v[i]);
    void* to[] = {&z[i]};
    op.run({from, full, to}, std::int64_t(std::min(step, z.size() - i)));
  }
  return z;
}
// Floats as integers in their order, so that neighbours differ by 1.
template <class R>
auto in_order(R v) {
  using I = std::conditional_t<sizeof(R) == 4, std::int32_t, std::int64_t>;
  const I bits = std::bit_cast<I>(v);
  return bits < 0 ? I(std::numeric_limits<I>::min() - bits) : bits;
}

struct Reference {
  std::vector<std::vector<std::uint64_t>> x;  // operands
  std::vector<std::uint64_t> y;
  std::vector<int> thousandths;
};
template <class R>
void check_reference(const std::string& name, const Reference& r) {
  using U = std::conditional_t<sizeof(R) == 4, std::uint32_t, std::uint64_t>;
  auto number = [](std::uint64_t bits) { return std::bit_cast<R>(U(bits)); };
  std::vector<std::vector<R>> x;
  for (auto& operand : r.x) {
    x.emplace_back();
    for (auto bits : operand) x.back().push_back(number(bits));
  }
  double worst = 0;
  std::size_t at = 0;
  for (const std::size_t step : {std::size_t(1), std::size_t(1) << 20}) {
    const std::vector<R> z = run_rows<R>(*primitive_of(name), x, step);
    for (std::size_t i = 0; i < z.size(); ++i) {
      const R y = number(r.y[i]);
      double e = std::abs(double(in_order(z[i]) - in_order(y)) - r.thousandths[i] / 1e3);
      if (name == "lgamma" || name == "digamma")
        if (std::abs(y) < 1)
          e = std::abs(double(z[i]) - double(y)) / double(std::numeric_limits<R>::epsilon());
      if (z[i] != z[i]) e = 1e30;
      if (e > worst) worst = e, at = i;
    }
  }
  std::printf("%-18s f%d  %zu arguments, at most %.3f ulp\n", name.c_str(), int(8 * sizeof(R)),
              r.y.size(), worst);
  INFO(name << "(" << x[0][at] << (x.size() > 1 ? ", " + std::to_string(x[1][at]) : "") << ")");
  CHECK(worst <= kBars.at(name));
}

}  // namespace

TEST_CASE("vector math is as precise as documented", "[vector_math]") {
  std::ifstream file(JAXPP_SOURCE_DIR "/tests/data/vector_math.txt");
  REQUIRE(file);
  std::map<std::pair<std::string, std::string>, Reference> all;
  Reference* current = nullptr;
  for (std::string text; std::getline(file, text);) {
    std::istringstream line(text);
    if (text[0] == '#') {
      std::string dtype, name;
      std::size_t operands = 0;
      line.ignore(1) >> dtype >> name >> operands;
      current = &all[{name, dtype}];
      current->x.resize(operands);
    } else {
      line >> std::hex;
      std::uint64_t bits;
      for (auto& operand : current->x) line >> bits, operand.push_back(bits);
      line >> bits;
      current->y.push_back(bits);
      int thousandths;
      line >> std::dec >> thousandths;
      current->thousandths.push_back(thousandths);
    }
    REQUIRE(line);
  }
  CHECK(all.size() == 2 * kBars.size());
  for (auto& [key, r] : all)
    key.second == "f32" ? check_reference<float>(key.first, r)
                        : check_reference<double>(key.first, r);
}

TEST_CASE("vector math: special values are the C library's", "[vector_math]") {
  auto check = []<class R>(R) {
    using L = std::numeric_limits<R>;
    const std::vector<R> values = {R(0),
                                   -R(0),
                                   R(1),
                                   R(-1),
                                   L::infinity(),
                                   -L::infinity(),
                                   L::quiet_NaN(),
                                   L::min(),
                                   -L::min(),
                                   L::max(),
                                   L::lowest(),
                                   L::denorm_min(),
                                   -L::denorm_min(),
                                   R(0.5),
                                   R(-0.5),
                                   R(2),
                                   R(-2),
                                   R(3),
                                   R(-3),
                                   R(1e-20),
                                   R(-1e-20),
                                   R(1e20),
                                   R(-1e20),
                                   R(8388609),
                                   R(-8388609),
                                   R(1.5),
                                   R(-1.5),
                                   R(4194304.5),
                                   R(0x1p53),
                                   -R(0x1p53),
                                   R(0x1p24) + 1,
                                   R(90),
                                   R(-110),
                                   R(720),
                                   R(-750)};
    auto compare = [](const char* name, R got, R expected, R x, R y) {
      // Where both are finite, precision is another test's; the sign of zero and what over- or underflows is not.
      const bool same = expected != expected ? got != got
                        : expected == 0 || std::isinf(expected) || got == 0
                            ? got == expected && std::signbit(got) == std::signbit(expected)
                            : std::abs(got - expected) <=
                                  8 * L::epsilon() * std::abs(expected) + 2 * L::denorm_min();
      INFO(name << "(" << x << ", " << y << "): " << got << ", not " << expected);
      CHECK(same);
    };
#define JAXPP_SPECIAL(name)                                        \
  {                                                                \
    const auto z = run_rows<R>(name##_p, {values}, values.size()); \
    for (std::size_t i = 0; i < values.size(); ++i)                \
      compare(#name, z[i], std::name(values[i]), values[i], R(0)); \
  }
    JAXPP_SPECIAL(exp)
    JAXPP_SPECIAL(exp2)
    JAXPP_SPECIAL(expm1)
    JAXPP_SPECIAL(log)
    JAXPP_SPECIAL(log1p)
    JAXPP_SPECIAL(sin)
    JAXPP_SPECIAL(cos)
    JAXPP_SPECIAL(tan)
    JAXPP_SPECIAL(asin)
    JAXPP_SPECIAL(acos)
    JAXPP_SPECIAL(atan)
    JAXPP_SPECIAL(sinh)
    JAXPP_SPECIAL(cosh)
    JAXPP_SPECIAL(tanh)
    JAXPP_SPECIAL(asinh)
    JAXPP_SPECIAL(acosh)
    JAXPP_SPECIAL(atanh)
    JAXPP_SPECIAL(cbrt)
    JAXPP_SPECIAL(erf)
    JAXPP_SPECIAL(erfc)
#undef JAXPP_SPECIAL
    for (R y : values) {
      const std::vector<R> second(values.size(), y);
      const auto powers = run_rows<R>(pow_p, {values, second}, values.size());
      const auto angles = run_rows<R>(atan2_p, {values, second}, values.size());
      for (std::size_t i = 0; i < values.size(); ++i) {
        compare("pow", powers[i], std::pow(values[i], y), values[i], y);
        compare("atan2", angles[i], std::atan2(values[i], y), values[i], y);
      }
    }
  };
  check(float());
  check(double());
}

namespace {

// z against the same function of long double, and its infinities, NaNs and signs of zero against the C library's.
template <class R, class Wide, class Standard>
void check_complex(const Primitive& p, double bar, Wide wide, Standard standard) {
  using C = std::complex<R>;
  using W = std::complex<long double>;
  using L = std::numeric_limits<R>;
  std::mt19937_64 random(11);
  auto real = [&] { return 2 * double(random() >> 11) * 0x1p-53 - 1; };
  std::vector<C> x;
  for (int i = 0; i < 3000; ++i) {
    const double angle = 3.2 * real(),
                 size = i % 3 == 0 ? 1 : std::exp2((i % 3 == 1 ? 3 : 20) * real());
    x.push_back(i % 2 ? C(R(size * std::cos(angle)), R(size * std::sin(angle)))
                      : C(R(size * real()), R(8 * real())));
  }
  const std::vector<DType> in = {dtype_of<C>};
  const BlockOp op = block_op(p, {}, in, dtype_of<C>);
  auto run = [&](const std::vector<C>& from) {
    std::vector<C> z(from.size());
    const void* a[] = {from.data()};
    void* to[] = {z.data()};
    const bool full[] = {true};
    op.run({a, full, to}, std::int64_t(z.size()));
    return z;
  };
  const std::vector<C> z = run(x);
  double worst = 0;
  C at;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const W y = wide(W(x[i]));
    const long double size = std::abs(y);
    if (!(size < 1e30l) || size < 1e-30l) continue;
    const double e = double(std::abs(W(z[i]) - y) / size) / double(L::epsilon());
    if (e > worst) worst = e, at = x[i];
  }
  std::printf("%-18s c%d  at most %.3f of an ulp's size\n", p.name, int(16 * sizeof(R)), worst);
  INFO(p.name << "(" << at.real() << ", " << at.imag() << ")");
  CHECK(worst <= bar);

  const R inf = L::infinity(), nan = L::quiet_NaN();
  std::vector<C> corners;
  for (R a : {R(0), -R(0), R(1), R(-2), R(1000), R(-1000), inf, -inf, nan})
    for (R b : {R(0), -R(0), R(1), R(-2), inf, -inf, nan}) corners.push_back(C(a, b));
  const std::vector<C> ends = run(corners);
  // The sign of infinities and zeros next to a NaN is nobody's business.
  auto same = [](R got, R expected, bool sign) {
    if (expected != expected) return got != got;
    if (!std::isinf(expected) && expected != 0)
      return std::abs(got - expected) <= 8 * L::epsilon() * std::abs(expected);
    return std::abs(got) == std::abs(expected) &&
           (!sign || std::signbit(got) == std::signbit(expected));
  };
  for (std::size_t i = 0; i < corners.size(); ++i) {
    const C y = standard(corners[i]);
    const bool sign = y.real() == y.real() && y.imag() == y.imag();
    INFO(p.name << corners[i] << ": " << ends[i] << ", not " << y);
    CHECK((same(ends[i].real(), y.real(), sign) && same(ends[i].imag(), y.imag(), sign)));
  }
}

}  // namespace

TEST_CASE("complex functions: precision, and C's infinities and zeros", "[vector_math]") {
  auto check = []<class R>(R) {
#define JAXPP_COMPLEX(name, bar) \
  check_complex<R>(              \
      name##_p, bar, [](auto x) { return std::name(x); }, [](auto x) { return std::name(x); });
    JAXPP_COMPLEX(exp, 2)
    JAXPP_COMPLEX(log, 2)
    JAXPP_COMPLEX(sqrt, 2)
    JAXPP_COMPLEX(sin, 2)
    JAXPP_COMPLEX(cos, 2)
    JAXPP_COMPLEX(sinh, 2)
    JAXPP_COMPLEX(cosh, 2)
    JAXPP_COMPLEX(tan, 4)
    JAXPP_COMPLEX(tanh, 4)
#undef JAXPP_COMPLEX
  };
  check(float());
  check(double());
}

TEST_CASE("special functions by scipy's names", "[vector_math]") {
  auto near = [](const Array& x, double y) {
    INFO(x << " is not " << y);
    CHECK(std::abs(double(x) - y) <= 1e-14 * std::abs(y));
  };
  near(gammainc(2.5, 1.0), 0.15085496391539038);
  near(gammaincc(2.5, 1.0), 0.8491450360846096);
  near(gammaincc(1e6, 1.003e6), 0.001361740646217591);
  near(betainc(2.0, 3.5, 0.25), 0.3149603739595749);
  near(i0(1.0), 1.2660658777520082);
  near(i1(-1.0), -0.5651591039924851);
  near(i0e(100.0), 0.03994437929909668);
  near(i1e(100.0), 0.03974415302513025);
  near(polygamma(2, 1.5), -0.8287966442343199);
  near(zeta(2.0, 1.0), 1.6449340668482264);
  near(jit([](Array a, Array x) { return gammainc(a, x); })(2.5, 1.0), 0.15085496391539038);
  near(jit([](Array x) { return betainc(2.0, 3.5, x); })(0.25), 0.3149603739595749);
  CHECK(betainc(ones({2, 1}), ones({3}), 0.5).shape() == Shape{2, 3});
}
