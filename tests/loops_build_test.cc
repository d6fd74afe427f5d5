// loops_build_test.cc -- from jaxprs to loop programs: what each primitive becomes means what its kernel computes.
//
// Every sample of every primitive, small programs as text, and random ones run as loop programs and equation by equation.
// The oracle runs loops and branches by itself: kernels of scan, while and cond are loop programs too.
#include <catch2/catch.hpp>
#include "backends/loops/interpret.h"
#include "backends/loops/loops.h"
#include "backends/passes/passes.h"
#include "jaxpp/core/jaxpr.h"
#include "jaxpp/lax.h"
#include "jaxpp/ops/host_fn.h"
#include "jaxpp/ops/primitives.h"
#include "property/programs.h"
#include "rule_samples.h"

using namespace jaxpp;
using namespace jaxpp::internal;
using namespace jaxpp::testing;

namespace {

// ---- The oracle
void oracle(const JaxprBody& j, Args in, Results& out);
Results oracle(const JaxprBody& j, const Results& in) {
  Results out;
  oracle(j, args(in), out);
  return out;
}
// Lane k of arrays whose shape begins with the lanes'.
Array where(const Array& lanes, const Array& yes, const Array& no) {
  if (yes.size() == 0) return no;
  return lax::select(lax::broadcast_in_dim(lanes, yes.shape(),
                                           [&] {
                                             Dims d;
                                             for (int i = 0; i < lanes.ndim(); ++i) d.push_back(i);
                                             return d;
                                           }()),
                     yes, no);
}
Array row(const Array& x, std::int64_t i) {
  return lax::squeeze(lax::slice_in_dim(x, i, i + 1, 0), {0});
}
void run_scan(const ScanParams& p, Args x, Array* y) {
  const auto nc = std::size_t(p.num_consts), nk = std::size_t(p.num_carry);
  Results carry(x.begin() + nc, x.begin() + nc + nk);
  const std::size_t n_ys = p.jaxpr->outs.size() - nk;
  std::vector<std::vector<Array>> ys(n_ys, std::vector<Array>(std::size_t(p.length)));
  for (std::int64_t k = 0; k < p.length; ++k) {
    const std::int64_t t = p.reverse ? p.length - 1 - k : k;
    Results in(x.begin(), x.begin() + nc);
    in.append(carry.begin(), carry.end());
    for (std::size_t i = nc + nk; i < x.size(); ++i) in.push_back(row(x[i], t));
    Results out = oracle(*p.jaxpr, in);
    for (std::size_t i = 0; i < nk; ++i) carry[i] = out[i];
    for (std::size_t i = 0; i < n_ys; ++i) ys[i][std::size_t(t)] = out[nk + i];
  }
  std::copy(carry.begin(), carry.end(), y);
  for (std::size_t i = 0; i < n_ys; ++i) {
    const Type t = p.jaxpr->out_types()[nk + i];
    Shape s = t->shape;
    s.insert(0, p.length);
    y[nk + i] = p.length ? lax::stack(ys[i], 0) : lax::full(make_type(t->dtype, s), 0);
  }
}
void run_while(const WhileParams& p, Args x, Array* y) {
  const auto nc = std::size_t(p.cond_nconsts), nb = std::size_t(p.body_nconsts);
  Results carry(x.begin() + nc + nb, x.end());
  for (;;) {
    Results c(x.begin(), x.begin() + nc), b(x.begin() + nc, x.begin() + nc + nb);
    c.append(carry.begin(), carry.end());
    b.append(carry.begin(), carry.end());
    const Array more = oracle(*p.cond_jaxpr, c)[0];
    Dims all;
    for (int i = 0; i < more.ndim(); ++i) all.push_back(i);
    if (!lax::reduce_or(more, all).item<bool>()) break;
    const Results next = oracle(*p.body_jaxpr, b);
    for (std::size_t i = 0; i < carry.size(); ++i)
      carry[i] = more.ndim() ? where(more, next[i], carry[i]) : next[i];
  }
  std::copy(carry.begin(), carry.end(), y);
}
void run_cond(const CondParams& p, Args x, Array* y) {
  const Array index = lax::clamp(Array(0), x[0], Array(std::int32_t(p.branches.size()) - 1));
  const Results in(x.begin() + 1, x.end());
  if (index.ndim() == 0) {
    const Results out = oracle(*p.branches[std::size_t(index.item<std::int32_t>())], in);
    std::copy(out.begin(), out.end(), y);
    return;
  }
  for (std::size_t k = 0; k < p.branches.size(); ++k) {
    const Results out = oracle(*p.branches[k], in);
    for (std::size_t i = 0; i < out.size(); ++i)
      y[i] = k ? where(lax::eq(index, Array(std::int32_t(k))), out[i], y[i]) : out[i];
  }
}
void oracle(const JaxprBody& j, Args in, Results& out) {
  std::vector<Array> env(j.types.size());
  for (std::size_t i = 0; i < in.size(); ++i) env[j.invars[i]] = in[i];
  for (const Equation& e : j.eqns) {
    Results x;
    for (const Atom& a : e.in) x.push_back(a.is_var() ? env[a.var()] : a.value());
    Array* y = e.n_out ? &env[e.out] : nullptr;
    if (e.prim == &scan_p)
      run_scan(e.params().as<ScanParams>(), args(x), y);
    else if (e.prim == &while_p)
      run_while(e.params().as<WhileParams>(), args(x), y);
    else if (e.prim == &cond_p)
      run_cond(e.params().as<CondParams>(), args(x), y);
    else
      e.prim->bind(args(x), e.params(), y, e.loc);
  }
  for (const Atom& a : j.outs) out.push_back(a.is_var() ? env[a.var()] : a.value());
}

// ---- Running loop programs
Arrays execute(const loops::Program& p, const Arrays& x, const std::vector<Type>& types) {
  const loops::Interpreter run{loops::Program(p)};
  std::vector<const void*> in;
  std::vector<void*> out;
  Arrays y;
  for (const Array& a : x) in.push_back(a.data<char>());
  for (Type t : types) {
    y.push_back(Array::make(t));
    out.push_back(y.back().data<char>());
  }
  run.run(in, out);
  return y;
}
double tolerance(const JaxprBody& j) {
  double t = 1e-12;
  for (Type type : j.types) {
    const DType d = type->dtype;
    t = std::max(t, d == f16 ? 2e-3 : d == bf16 ? 2e-2 : d == f32 || d == c64 ? 2e-6 : 0.);
  }
  return t;
}
std::string check_program(const JaxprBody& j, const Arrays& x) {
  Results want;
  oracle(j, x, want);
  loops::Program p = loops::build(j);
  const std::string text = loops::print(p);
  const std::string wrong = guarded("loop program", [&] {
    loops::verify(p);
    return compare("value", execute(p, x, j.out_types()), {want.begin(), want.end()}, tolerance(j));
  });
  return wrong.empty() ? wrong : wrong + "\n" + to_string(j, 0, {}) + "\n" + text;
}
std::string check_both(const JaxprBody& j, const Arrays& x) {
  const JaxprPtr lowered = passes::lower(j);
  std::string wrong = check_program(*lowered, x);
  return wrong.empty() ? check_program(*passes::optimize(*lowered), x) : wrong;
}
Arrays arguments(const std::vector<Type>& types, std::uint64_t seed) {
  Random random(seed);
  Arrays x;
  for (Type t : types)
    x.push_back(is_integer(t->dtype) ? random.array(t->dtype, t->shape, 0, 6, is_signed(t->dtype))
                                     : random.array(t->dtype, t->shape, 0.1, 1, true));
  return x;
}
std::string check_text(const std::string& text, std::uint64_t seed = 1) {
  return guarded(text, [&] {
    const Jaxpr j = Jaxpr::parse(text);
    j.check();
    return check_both(*j.body(), arguments(j.body()->in_types(), seed));
  });
}
/// One equation: in("a:f64[3] b:f64[]"), eqn("add a b"), out("f64[3]").
std::string check_one(const std::string& in, const std::string& eqn, const std::string& out) {
  return check_text("{ lambda ; " + in + ". let z:" + out + " = " + eqn + " in (z,) }");
}
std::string check_fn(const Fn& f, const Arrays& x) {
  Fn g = f;
  const Jaxpr j = make_jaxpr_flat(flat(g), types_of(x), Loc::current());
  Arrays all = j.consts();
  all.insert(all.end(), x.begin(), x.end());
  return check_both(*j.body(), all);
}

}  // namespace

TEST_CASE("loops: every sample of every primitive", "[loops]") {
  for (auto* list : {&elementwise_samples, &structural_samples, &analysis_samples, &call_samples})
    for (const Sample& s : list()) {
      Random random(seed_of(s.name));
      std::vector<Arrays> lanes;
      for (int i = 0; i < 3; ++i) lanes.push_back(s.make(random));
      CHECK(guarded(s.name, [&] { return check_fn(s.f, lanes[0]); }) == "");
      if (!s.options.batch || lanes[0].empty()) continue;
      Arrays batch;
      for (std::size_t i = 0; i < lanes[0].size(); ++i) {
        Arrays rows;
        for (auto& lane : lanes) rows.push_back(lane[i]);
        batch.push_back(lax::stack(rows, 0));
      }
      CHECK(guarded("vmap " + s.name, [&] { return check_fn(vmapped(s.f), batch); }) == "");
    }
}

TEST_CASE("loops: derivatives of the samples", "[loops]") {
  for (auto* list : {&elementwise_samples, &structural_samples, &analysis_samples, &call_samples})
    for (const Sample& s : list()) {
      if (!s.options.derivatives || s.options.order < 2) continue;
      Random random(seed_of(s.name));
      const Arrays x = s.make(random);
      CHECK(guarded("jvp " + s.name, [&] {
              return check_fn(pushforward(s.f, x.size(), s.options),
                              with_tangents(random, x, s.options));
            }) == "");
      if (!s.options.reverse) continue;
      CHECK(guarded("vjp " + s.name, [&] {
              return check_fn(pullback(s.f, x.size(), s.options),
                              with_cotangents(random, x, evaluate(s.f, x)));
            }) == "");
    }
}

// ---- One equation each: sizes 0 and 1, every element type, odd parameters
namespace {
struct One {
  std::string in, eqn, out;
};
std::string sized(const std::string& text, DType d) {  // T: the element type
  std::string r;
  for (std::size_t i = 0; i < text.size(); ++i)
    r += text.compare(i, 2, "T[") ? std::string(1, text[i]) : std::string(name(d));
  return r;
}
void check_all(const std::vector<One>& list, const std::vector<DType>& dtypes) {
  for (const One& o : list)
    for (DType d : dtypes) CHECK(check_one(sized(o.in, d), sized(o.eqn, d), sized(o.out, d)) == "");
}
const std::vector<DType> kFloats{f16, bf16, f32, f64}, kComplex{c64, c128},
    kIntegers{i8, i16, i32, i64, u8, u16, u32, u64},
    kNumbers{i8, i16, i32, i64, u8, u16, u32, u64, f16, bf16, f32, f64, c64, c128},
    kReal{i8, i16, i32, i64, u8, u16, u32, u64, f16, bf16, f32, f64},
    kAny{b1, i8, i16, i32, i64, u8, u16, u32, u64, f16, bf16, f32, f64, c64, c128};
}  // namespace

TEST_CASE("loops: views of every element type", "[loops]") {
  check_all(
      {{"a:T[2,3]", "transpose[permutation=(1, 0)] a", "T[3,2]"},
       {"a:T[2,3]", "rev[dimensions=(0, 1)] a", "T[2,3]"},
       {"a:T[2,6]", "slice[limit_indices=(2, 6) start_indices=(1, 1) strides=(1, 2)] a", "T[1,3]"},
       {"a:T[3] b:T[1] c:T[2]", "concatenate[dimension=0] a b c", "T[6]"},
       {"a:T[2] b:T[]", "pad[padding_config=((1, 2, 3))] a b", "T[8]"},
       {"a:T[2,3]", "reshape[dimensions=None new_sizes=(3, 2)] a", "T[3,2]"},
       {"a:T[2,3]", "tile[reps=(2, 2)] a", "T[4,6]"}},
      kAny);
  check_all(
      {// sizes of 0 and 1
       {"a:T[0,3]", "transpose[permutation=(1, 0)] a", "T[3,0]"},
       {"a:T[1,3]", "broadcast_in_dim[broadcast_dimensions=(0, 1) shape=(0, 3)] a", "T[0,3]"},
       {"a:T[1,1]", "broadcast_in_dim[broadcast_dimensions=(0, 2) shape=(3, 2, 1)] a", "T[3,2,1]"},
       {"a:T[1,3,1]", "squeeze[dimensions=(0, 2)] a", "T[3]"},
       {"a:T[0]", "expand_dims[dimensions=(0, 2)] a", "T[1,0,1]"},
       {"a:T[4]", "slice[limit_indices=(2,) start_indices=(2,) strides=None] a", "T[0]"},
       {"a:T[1]", "rev[dimensions=(0,)] a", "T[1]"},
       {"a:T[0] b:T[2] c:T[0]", "concatenate[dimension=0] a b c", "T[2]"},
       {"a:T[0] b:T[0]", "concatenate[dimension=0] a b", "T[0]"},
       {"a:T[0] b:T[0]", "stack[axis=1] a b", "T[0,2]"},
       {"a:T[]", "stack[axis=0] a", "T[1]"},
       {"a:T[0] b:T[]", "pad[padding_config=((2, 1, 0))] a b", "T[3]"},
       {"a:T[2,0] b:T[]", "pad[padding_config=((0, 0, 0), (2, 1, 0))] a b", "T[2,3]"},
       {"a:T[1] b:T[]", "pad[padding_config=((0, 0, 5))] a b", "T[1]"},
       {"a:T[3] b:T[]", "pad[padding_config=((-1, -2, 0))] a b", "T[0]"},
       {"a:T[3] b:T[]", "pad[padding_config=((-2, 4, 1))] a b", "T[7]"},
       {"a:T[3,2] b:T[]", "pad[padding_config=((-1, 1, 2), (2, -1, 1))] a b", "T[7,4]"},
       {"a:T[2] b:T[]", "pad[padding_config=((-5, 9, 0))] a b", "T[6]"},
       {"a:T[1] b:T[]", "pad[padding_config=((3, -4, 0))] a b", "T[0]"},
       {"a:T[2,3,2] b:T[]", "pad[padding_config=((1, 0, 1), (0, 1, 0), (0, 0, 2))] a b",
        "T[4,4,4]"},
       {"a:T[0,2]", "tile[reps=(3, 2)] a", "T[0,4]"},
       {"a:T[1,2]", "tile[reps=(3, 0)] a", "T[3,0]"},
       {"a:T[1,2]", "tile[reps=(3, 1)] a", "T[3,2]"},
       {"a:T[0,4]", "reshape[dimensions=None new_sizes=(2, 0)] a", "T[2,0]"},
       {"a:T[1]", "reshape[dimensions=None new_sizes=()] a", "T[]"},
       {"a:T[]", "reshape[dimensions=None new_sizes=(1, 1)] a", "T[1,1]"},
       {"a:T[2,1,3]", "reshape[dimensions=None new_sizes=(1, 6, 1)] a", "T[1,6,1]"},
       // with and without common digits
       {"a:T[6,4]", "reshape[dimensions=None new_sizes=(3, 8)] a", "T[3,8]"},
       {"a:T[2,3]", "reshape[dimensions=None new_sizes=(6,)] a", "T[6]"},
       {"a:T[4,6]", "reshape[dimensions=None new_sizes=(3, 2, 4)] a", "T[3,2,4]"},
       {"a:T[4,6]", "reshape[dimensions=(1, 0) new_sizes=(24,)] a", "T[24]"},
       {"a:T[4,3,2]", "reshape[dimensions=(2, 0, 1) new_sizes=(4, 6)] a", "T[4,6]"},
       {"a:T[5,7]", "reshape[dimensions=None new_sizes=(7, 5)] a", "T[7,5]"}},
      {f32});
  check_all({{"a:T[2]", "add a 1:T[]", "T[2]"}, {"a:T[2]", "copy a", "T[2]"}}, {i32, u8});
}

TEST_CASE("loops: iota of every element type", "[loops]") {
  for (DType d : kNumbers) {
    const std::string n = numpy_name(d);
    CHECK(check_one("a:f32[]", "iota[dimension=1 dtype=" + n + " shape=(2, 5)]",
                    std::string(name(d)) + "[2,5]") == "");
    CHECK(check_one("a:f32[]", "iota[dimension=0 dtype=" + n + " shape=(1,)]",
                    std::string(name(d)) + "[1]") == "");
    CHECK(check_one("a:f32[]", "iota[dimension=0 dtype=" + n + " shape=(300,)]",
                    std::string(name(d)) + "[300]") == "");
  }
}

TEST_CASE("loops: reductions of every element type", "[loops]") {
  for (const char* op : {"reduce_sum", "reduce_prod", "reduce_max", "reduce_min"})
    for (const auto& [in, axes, out] :
         std::vector<std::array<std::string, 3>>{{"a:T[3,4]", "(0,)", "T[4]"},
                                                 {"a:T[3,4]", "(1,)", "T[3]"},
                                                 {"a:T[3,4]", "(0, 1)", "T[]"},
                                                 {"a:T[3,1,4]", "(1,)", "T[3,4]"},
                                                 {"a:T[1]", "(0,)", "T[]"},
                                                 {"a:T[0,3]", "(0,)", "T[3]"},
                                                 {"a:T[0,3]", "(1,)", "T[0]"},
                                                 {"a:T[2,3]", "()", "T[2,3]"},
                                                 {"a:T[40]", "(0,)", "T[]"}}) {
      const bool empty = in == "a:T[0,3]", extreme = std::string(op).find('m') == 7;
      check_all({{in, std::string(op) + "[axes=" + axes + "] a", out}},
                empty && extreme ? kReal : kNumbers);
      if (extreme) check_all({{in, std::string(op) + "[axes=" + axes + "] a", out}}, {b1});
    }
  for (const char* op : {"reduce_and", "reduce_or", "reduce_xor"})
    check_all({{"a:T[3,4]", std::string(op) + "[axes=(0,)] a", "T[4]"},
               {"a:T[0,4]", std::string(op) + "[axes=(0,)] a", "T[4]"}},
              {b1, i8, i16, i32, i64, u8, u16, u32, u64});
  for (const char* op : {"argmax", "argmin"})
    for (const char* index : {"int32", "uint8", "int64"}) {
      const std::string d = std::string(index) == "int32"   ? "i32"
                            : std::string(index) == "uint8" ? "u8"
                                                            : "i64";
      check_all(
          {{"a:T[3,4]", std::string(op) + "[axes=(0,) index_dtype=" + index + "] a", d + "[4]"},
           {"a:T[3,4]", std::string(op) + "[axes=(1,) index_dtype=" + index + "] a", d + "[3]"},
           {"a:T[1,4]", std::string(op) + "[axes=(0,) index_dtype=" + index + "] a", d + "[4]"},
           {"a:T[0,4]", std::string(op) + "[axes=(1,) index_dtype=" + index + "] a", d + "[0]"}},
          kAny);
    }
  for (const char* op : {"cumsum", "cumprod", "cummax", "cummin"})
    for (const char* reverse : {"True", "False"})
      check_all({{"a:T[5]", std::string(op) + "[axis=0 reverse=" + reverse + "] a", "T[5]"},
                 {"a:T[2,3]", std::string(op) + "[axis=1 reverse=" + reverse + "] a", "T[2,3]"},
                 {"a:T[1,3]", std::string(op) + "[axis=0 reverse=" + reverse + "] a", "T[1,3]"},
                 {"a:T[0,3]", std::string(op) + "[axis=0 reverse=" + reverse + "] a", "T[0,3]"}},
                kNumbers);
  check_all({{"a:T[5]", "cumlogsumexp[axis=0 reverse=False] a", "T[5]"}}, {f16, bf16, f32, f64});
}

TEST_CASE("loops: NaN and infinities in reductions", "[loops]") {
  const double inf = INFINITY, nan = NAN;
  for (const std::vector<double>& v : {std::vector<double>{1, nan, 3, nan},
                                       {-inf, -inf, -inf, -inf},
                                       {inf, 2, inf, -inf},
                                       {nan, nan, nan, nan},
                                       {2, 2, 1, 1},
                                       {0., -0., 0., -0.}}) {
    const Array x{std::span<const double>(v)};
    for (DType d : kFloats) {
      const Array a = x.astype(d);
      for (auto* p : {&reduce_max_p, &reduce_min_p})
        CHECK(check_fn(apply(*p, AxesParams{{0}}), {a}) == "");
      for (auto* p : {&argmax_p, &argmin_p})
        CHECK(check_fn(apply(*p, ArgParams{{0}, i32}), {a}) == "");
      for (bool reverse : {false, true})
        for (auto* p : {&cummax_p, &cummin_p, &cumlogsumexp_p, &cumsum_p})
          CHECK(check_fn(apply(*p, CumParams{0, reverse}), {a}) == "");
    }
  }
}

TEST_CASE("loops: contractions", "[loops]") {
  const auto dot = [](DotDims d, std::optional<DType> t = {}) {
    return apply(dot_general_p, DotParams{d, t});
  };
  Random r(7);
  for (DType d : kAny) {
    const auto x = [&](Shape s) { return r.array(d, s, 0, 3, is_inexact(d)); };
    CHECK(check_fn(dot({{1}, {0}, {}, {}}), {x({2, 3}), x({3, 4})}) == "");
    CHECK(check_fn(dot({{0}, {0}, {}, {}}), {x({5}), x({5})}) == "");
    CHECK(check_fn(dot({{}, {}, {}, {}}), {x({2}), x({3})}) == "");
    CHECK(check_fn(dot({{1}, {0}, {}, {}}), {x({2, 0}), x({0, 4})}) == "");
    CHECK(check_fn(dot({{1}, {0}, {}, {}}), {x({0, 3}), x({3, 4})}) == "");
    CHECK(check_fn(dot({{1}, {0}, {}, {}}), {x({20, 17}), x({17, 18})}) == "");
  }
  const auto f = [&](Shape s) { return r.array(f64, s, 0.1, 1, true); };
  // Large: operands that are transposed, sliced, broadcast; several free, batch and contracted dimensions.
  for (bool left : {false, true})
    for (bool right : {false, true})
      CHECK(check_fn(
                [=](Args x, Results& y) {
                  const Array a = left ? lax::transpose(x[0], {1, 0}) : x[0],
                              b = right ? lax::transpose(x[1], {1, 0}) : x[1];
                  dot({{1}, {0}, {}, {}})(Borrowed(a, b), y);
                },
                {left ? f({20, 17}) : f({17, 20}), right ? f({18, 20}) : f({20, 18})}) == "");
  CHECK(check_fn(dot({{0, 3}, {2, 1}, {1}, {0}}), {f({4, 3, 17, 5}), f({3, 5, 4, 18})}) == "");
  CHECK(check_fn(
            [=](Args x, Results& y) {
              const Array a = lax::transpose(x[0], {3, 1, 0, 2}),
                          b = lax::transpose(x[1], {2, 0, 3, 1});
              dot({{1, 2}, {0, 3}, {}, {}})(Borrowed(a, b), y);
            },
            {f({4, 5, 3, 6}), f({3, 4, 5, 6})}) == "");
  CHECK(check_fn(
            [=](Args x, Results& y) {
              const Array a = lax::slice_in_dim(x[0], 1, 18, 0),
                          b = lax::broadcast_in_dim(x[1], {16, 20}, {0});
              dot({{1}, {0}, {}, {}})(Borrowed(a, b), y);
            },
            {f({20, 16}), f({16})}) == "");
  CHECK(check_fn(
            [=](Args x, Results& y) {  // a row of a larger array, as a scan sees it
              const Array a = lax::squeeze(lax::slice_in_dim(x[0], 1, 2, 0), {0});
              const Array b = lax::reshape(x[1], {16, 20});
              dot({{1}, {0}, {}, {}})(Borrowed(a, b), y);
            },
            {f({3, 17, 16}), f({4, 4, 20})}) == "");
}

// ---- Updates in place
namespace {
// A loop of n steps over a carry: body(carry..., t) -> carry...
Fn loop(std::function<void(Args, Results&)> body, std::int64_t n, bool reverse = false) {
  return [=](Args x, Results& y) {
    const Array t = lax::iota(i32, {n}, 0);
    auto f = body;
    scan_flat(flat(f), x, Args{&t, 1}, n, reverse, 1, y, Loc::current());
  };
}
Array set(const Array& x, const Array& update, const Array& at) {
  const Array start[] = {at};
  return lax::dynamic_update_slice(x, lax::reshape(update, {1}), start);
}
Array element(const Array& x, const Array& at) {
  const Array start[] = {at};
  return lax::reshape(lax::dynamic_slice(x, start, {1}), {});
}
ScatterParams points(bool unique, IndexMode mode = IndexMode::FILL_OR_DROP) {
  return {.dimension_numbers = {{}, {0}, {0}, {}, {}},
          .indices_are_sorted = false,
          .mode = mode,
          .unique_indices = unique};
}
loops::Program program_of(const Fn& f, const Arrays& x) {
  Fn g = f;
  const Jaxpr j = make_jaxpr_flat(flat(g), types_of(x), Loc::current());
  REQUIRE(j.consts().empty());
  return loops::build(*passes::optimize(*passes::lower(*j.body())));
}
// Elements that a run stores, while loops counted once.
double stores(const loops::Block& b) {
  double n = 0;
  for (const loops::Node& x : b)
    if (x.as<loops::Store>())
      n += 1;
    else if (auto* l = x.as<loops::Loop>())
      n += double(l->extent) * stores(l->body);
    else if (auto* w = x.as<loops::While>())
      n += stores(w->cond) + stores(w->body);
    else if (auto* i = x.as<loops::If>())
      n += stores(i->body) + stores(i->otherwise);
  return n;
}
Array numbers(std::int64_t n) {
  return lax::add(lax::iota(f64, {n}, 0), lax::full(scalar_type(f64), 0.5));
}
}  // namespace

TEST_CASE("loops: a loop that updates its carry costs the updates", "[loops]") {
  const std::int64_t n = 1000, steps = 50;
  const Array x = numbers(n),
              i{std::span<const std::int32_t>(std::vector<std::int32_t>{3, 1, 3}), Shape{3, 1}},
              v = numbers(3);
  const auto cost = [&](const Fn& f, const Arrays& in) {
    CHECK(check_fn(f, in) == "");
    return stores(program_of(f, in).body);
  };
  SECTION("dynamic_update_slice") {
    auto body = [](Args c, Results& y) {
      y.push_back(set(c[0], lax::sin(element(c[0], c[1])), lax::add(c[1], Array(1))));
    };
    CHECK(cost(loop(body, steps), {x}) < n + 10 * steps);
  }
  SECTION("what was there is read after the update: it is kept") {
    auto body = [](Args c, Results& y) {
      const Array old = element(c[0], c[1]), other = element(c[0], lax::add(c[1], Array(7)));
      const Array z = set(set(c[0], other, c[1]), lax::mul(old, old), Array(5));
      y.push_back(set(z, lax::add(old, other), Array(6)));
    };
    CHECK(cost(loop(body, steps), {x}) < n + 20 * steps);
  }
  SECTION("two carries") {
    auto body = [](Args c, Results& y) {
      y.push_back(set(c[0], element(c[1], c[2]), c[2]));
      y.push_back(set(c[1], element(c[0], c[2]), c[2]));
    };
    CHECK(cost(loop(body, steps), {x, lax::neg(x)}) < 2 * n + 20 * steps);
  }
  SECTION("scatter-add") {
    auto body = [&](Args c, Results& y) {
      const Array z = lax::scatter_add(c[0], i, lax::mul(v, element(c[0], c[1])), points(false));
      y.push_back(z);
    };
    Fn f = [=](Args in, Results& y) { loop(body, steps)(in, y); };
    CHECK(check_fn(f, {x}) == "");
  }
  SECTION("loops in loops, and branches") {
    auto body = [](Args c, Results& y) {
      auto inner = [](Args d, Results& z) {
        auto keep = [](Args e, Results& w) { w.push_back(e[0]); };
        auto change = [](Args e, Results& w) { w.push_back(set(e[0], lax::cos(e[2]), e[1])); };
        FlatFn branches[] = {flat(keep), flat(change)};
        const Array value = element(d[0], d[2]);
        const Array operands[] = {d[0], d[2], value};
        cond_flat(lax::gt(value, Array(9.)), branches, operands, "cond", z, Loc::current());
        z.push_back(lax::add(d[1], value));
      };
      Results out;
      const Array t = lax::iota(i32, {4}, 0), init[] = {c[0], c[1]};
      scan_flat(flat(inner), Args{init, 2}, Args{&t, 1}, 4, true, 1, out, Loc::current());
      y.push_back(set(out[0], out[1], c[2]));
      y.push_back(lax::mul(out[1], Array(0.5)));
    };
    CHECK(cost(loop(body, steps), {x, Array(1.)}) < n + 60 * steps);
  }
  SECTION("while") {
    Fn f = [](Args in, Results& y) {
      auto more = [](Args c, Results& z) { z.push_back(lax::lt(c[1], Array(20))); };
      auto body = [](Args c, Results& z) {
        z.push_back(set(c[0], lax::sin(element(c[0], c[1])), lax::add(c[1], c[1])));
        z.push_back(lax::add(c[1], Array(1)));
      };
      while_flat(flat(more), flat(body), in, y, Loc::current());
    };
    CHECK(cost(f, {x, Array(0)}) < n + 20);
  }
  SECTION("a view of the operand is a carry too, and comes first") {
    auto body = [](Args c, Results& y) {
      y.push_back(c[0]);
      y.push_back(set(c[1], lax::add(element(c[0], Array(1)), element(c[1], c[2])), c[2]));
    };
    Fn f = [&](Args in, Results& y) {
      const Array z = lax::sin(in[0]), init[] = {lax::slice_in_dim(z, 2, 5, 0), z};
      loop(body, steps)(Args{init, 2}, y);
    };
    CHECK(cost(f, {x}) < 2 * n + 20 * steps);
    Fn g = [&](Args in, Results& y) {
      const Array z = lax::sin(in[0]), init[] = {lax::slice_in_dim(z, 2, 5, 0), z};
      auto change = [](Args c, Results& w) {
        w.push_back(c[0]);
        w.push_back(set(c[1], Array(7.), Array(3)));
      };
      auto keep = [](Args c, Results& w) { w.append(c.begin(), c.end()); };
      FlatFn branches[] = {flat(change), flat(keep)};
      cond_flat(lax::gt(in[1], Array(0.)), branches, Args{init, 2}, "cond", y, Loc::current());
    };
    for (double p : {-1., 1.}) CHECK(cost(g, {x, Array(p)}) < 2 * n + 20);
  }
  SECTION("no loop: one copy of the input for a chain of updates") {
    Fn f = [](Args in, Results& y) {
      Array z = in[0];
      for (int k = 0; k < 10; ++k) z = set(z, lax::sin(element(z, Array(k))), Array(2 * k));
      y.push_back(z);
    };
    CHECK(cost(f, {x}) < n + 50);
  }
}

TEST_CASE("loops: updates whose operand is needed later copy it", "[loops]") {
  const Array x = numbers(6), k(2);
  const auto check = [&](const std::function<void(Args, Results&)>& f, Arrays in) {
    CHECK(check_fn(f, in) == "");
    CHECK(check_fn(loop(
                       [=](Args c, Results& y) {
                         Results z;
                         f(c.first(c.size() - 1), z);
                         for (std::size_t i = 0; i + 1 < c.size(); ++i)
                           y.push_back(i < z.size() && z[i].type() == c[i].type() ? z[i] : c[i]);
                         y.append(z.begin(), z.end());
                       },
                       3),
                   in) == "");
  };
  check(
      [](Args c, Results& y) {  // both
        y.push_back(set(c[0], Array(9.), c[1]));
        y.push_back(lax::reduce_sum(c[0], {0}));
      },
      {x, k});
  check(
      [](Args c, Results& y) {  // before and after
        const Array z = lax::mul(c[0], c[0]);
        y.push_back(set(z, Array(9.), c[1]));
        y.push_back(lax::neg(z));
      },
      {x, k});
  check(
      [](Args c, Results& y) {  // a view of the operand is the update
        const Array start[] = {c[1]};
        y.push_back(lax::dynamic_update_slice(c[0], lax::slice_in_dim(c[0], 0, 3, 0), start));
      },
      {x, k});
  check(
      [](Args c, Results& y) {  // reversed onto itself
        const Array start[] = {Array(0)};
        y.push_back(lax::dynamic_update_slice(c[0], lax::slice_in_dim(lax::rev(c[0], {0}), 1, 6, 0),
                                              start));
      },
      {x, k});
  check(
      [](Args c, Results& y) {  // the old value chooses where
        const Array at = lax::convert_element_type(element(c[0], c[1]), i32);
        const Array z = set(c[0], Array(7.), at);
        y.push_back(set(z, lax::add(element(z, at), element(c[0], at)), at));
      },
      {x, k});
  check(
      [](Args c, Results& y) {  // two updates of one array
        y.push_back(set(c[0], Array(7.), c[1]));
        y.push_back(set(c[0], Array(8.), c[1]));
      },
      {x, k});
  check(
      [](Args c, Results& y) {  // through a transpose
        const Array z = lax::transpose(lax::reshape(lax::sin(c[0]), {2, 3}), {1, 0});
        const Array start[] = {c[1], Array(1)}, u = lax::full(make_type(f64, {1, 1}), 5);
        y.push_back(lax::reshape(lax::dynamic_update_slice(z, u, start), {6}));
      },
      {x, k});
  check(
      [](Args c, Results& y) {  // of what was padded, joined, added to
        Array z = lax::pad(lax::slice_in_dim(c[0], 0, 2, 0), Array(0.), {{1, 3, 0}});
        z = lax::add_slice(z, lax::slice_in_dim(c[0], 2, 6, 0), {1}, {5}, {});
        y.push_back(set(z, Array(7.), c[1]));
        y.push_back(lax::add(z, z));
      },
      {x, k});
  check(
      [](Args c,
         Results& y) {  // of a reduction, of a running sum, of a product, of a kernel's result
        const Array m = lax::broadcast_in_dim(c[0], {6, 6}, {0}), parts[] = {c[0]};
        y.push_back(set(lax::reduce_sum(m, {0}), Array(7.), c[1]));
        y.push_back(set(lax::cumsum(c[0], 0), Array(7.), c[1]));
        const DotParams p{{{1}, {0}, {}, {}}, {}};
        y.push_back(set(dot_general_p.apply(p, Loc::current(), m, c[0]), Array(7.), c[1]));
        y.push_back(set(lax::sort(parts, 0)[0], Array(7.), c[1]));
      },
      {x, k});
  check(
      [](Args c, Results& y) {  // a broadcast, a constant
        const Array start[] = {c[1], Array(1)}, u = lax::full(make_type(f64, {1, 1}), 5);
        const Array z = lax::broadcast_in_dim(c[0], {6, 6}, {1});
        y.push_back(lax::reduce_sum(lax::dynamic_update_slice(z, u, start), {0}));
        y.push_back(set(lax::full(c[0].type(), 2), Array(3.), c[1]));
      },
      {x, k});
}

TEST_CASE("loops: scatters of every kind", "[loops]") {
  Random r(3);
  for (DType d : {f64, f32, f16, bf16, i32, u8, b1, c64})
    for (auto* p : {&scatter_p, &scatter_add_p, &scatter_sub_p, &scatter_mul_p, &scatter_min_p,
                    &scatter_max_p})
      for (IndexMode m : {IndexMode::CLIP, IndexMode::FILL_OR_DROP})
        for (DType index : {i32, i8, u64}) {
          const Array i = r.array(index, {6, 1}, 0, 5, is_signed(index));
          CHECK(check_fn(apply(*p, points(false, m)),
                         {r.array(d, {4}, 0, 5), i, r.array(d, {6}, 0, 5)}) == "");
        }
  // Rows and columns, pairs of indices, batches on both sides.
  const auto x = [&](Shape s) { return r.array(f64, s, 0.1, 1, true); };
  const auto i = [&](Shape s, double n) { return r.array(i32, s, -1, n); };
  const auto p = [](ScatterDims d, bool unique = false) {
    return ScatterParams{d, false, IndexMode::FILL_OR_DROP, unique};
  };
  for (auto* s : {&scatter_p, &scatter_add_p, &scatter_max_p}) {
    CHECK(check_fn(apply(*s, p({{1}, {0}, {0}, {}, {}})), {x({4, 3}), i({5, 1}, 4), x({5, 3})}) ==
          "");
    CHECK(check_fn(apply(*s, p({{0}, {1}, {1}, {}, {}})), {x({4, 3}), i({5, 1}, 3), x({4, 5})}) ==
          "");
    CHECK(check_fn(apply(*s, p({{}, {0, 1}, {1, 0}, {}, {}})), {x({4, 3}), i({5, 2}, 3), x({5})}) ==
          "");
    CHECK(check_fn(apply(*s, p({{2, 3}, {}, {0, 1}, {}, {}})),
                   {x({4, 3}), i({2, 3, 2}, 3), x({2, 3, 2, 2})}) == "");
    CHECK(check_fn(apply(*s, p({{}, {1}, {1}, {0}, {0}})),
                   {x({4, 3}), i({4, 2, 1}, 3), x({4, 2})}) == "");
    CHECK(check_fn(apply(*s, p({{}, {0}, {0}, {}, {}})), {x({4}), i({0, 1}, 4), x({0})}) == "");
    CHECK(check_fn(apply(*s, p({{}, {}, {}, {}, {}})), {x({}), i({0}, 4), x({})}) == "");
  }
}

TEST_CASE("loops: gathers of every kind", "[loops]") {
  Random r(4);
  for (DType d : kAny)
    for (IndexMode m : {IndexMode::CLIP, IndexMode::FILL_OR_DROP, IndexMode::PROMISE_IN_BOUNDS,
                        IndexMode::ONE_HOT})
      for (DType index : {i32, i8, u8, u64})
        CHECK(check_fn(apply(gather_p,
                             GatherParams{{{1}, {0}, {0}, {}, {}}, {}, false, m, {1, 3}, false}),
                       {r.array(d, {4, 3}, 0, 5),
                        r.array(index, {2, 3, 1}, 0, 6, is_signed(index))}) == "");
  const auto x = [&](Shape s) { return r.array(f64, s, 0.1, 1, true); };
  const auto i = [&](Shape s, double n) { return r.array(i32, s, -1, n); };
  for (IndexMode m : {IndexMode::CLIP, IndexMode::FILL_OR_DROP}) {
    const auto p = [&](GatherDims g, Dims sizes) {
      return apply(gather_p, GatherParams{g, Number(std::int64_t(3)), false, m, sizes, false});
    };
    CHECK(check_fn(p({{0}, {1}, {1}, {}, {}}, {4, 1}), {x({4, 3}), i({5, 1}, 4)}) == "");
    CHECK(check_fn(p({{0, 1}, {}, {1, 0}, {}, {}}, {2, 2}), {x({4, 3}), i({5, 2}, 4)}) == "");
    CHECK(check_fn(p({{}, {1}, {1}, {0}, {0}}, {1, 1}), {x({4, 3}), i({4, 2, 1}, 3)}) == "");
    CHECK(check_fn(p({{0}, {}, {0}, {}, {}}, {0}), {x({4}), i({5, 1}, 4)}) == "");
  }
  // A window of a window, of a strided and of a reversed view.
  CHECK(
      check_fn(
          [](Args a, Results& y) {
            const Array v = lax::slice(lax::rev(a[0], {0}), {1}, {12}, {2});
            const Array s[] = {a[1]}, t[] = {a[2]};
            const Array w = lax::dynamic_slice(v, s, {4});
            y.push_back(lax::dynamic_slice(w, t, {2}));
            y.push_back(lax::gather(lax::iota(i32, {9}, 0), lax::reshape(a[1], {1, 1}),
                                    {.dimension_numbers = {{}, {0}, {0}, {}, {}},
                                     .fill_value = {},
                                     .slice_sizes = {1}}));
            y.push_back(lax::dynamic_slice(lax::reshape(lax::reshape(a[0], {4, 3}), {12}), s, {5}));
            y.push_back(lax::dynamic_slice(lax::tile(a[0], {2}), s, {15}));
          },
          {numbers(12), Array(1), Array(std::int64_t(1))}) == "");
}

// ---- Loops and branches
namespace {
using Body = std::function<void(Args, Results&)>;
Fn while_of(Body more, Body body) {
  return [=](Args x, Results& y) {
    auto m = more;
    auto b = body;
    while_flat(flat(m), flat(b), x, y, Loc::current());
  };
}
Fn cond_of(std::vector<Body> branches) {
  return [=](Args x, Results& y) {
    std::vector<Body> b = branches;
    std::vector<FlatFn> f;
    for (auto& g : b) f.push_back(flat(g));
    cond_flat(x[0], f, x.subspan(1), "cond", y, Loc::current());
  };
}
// On n lanes, on 1 lane, on none; on 2 x 3 lanes; inside a loop.
std::string check_lanes(const Fn& f, const Arrays& x, const std::vector<int>& mapped) {
  Random r(11);
  std::string wrong = check_fn(f, x);
  const auto lanes = [&](const Arrays& from, std::int64_t n) {
    Arrays in = from;
    for (int i : mapped) {
      Arrays rows;
      const Array& a = from[std::size_t(i)];
      for (std::int64_t k = 0; k < n; ++k)
        rows.push_back(
            is_integer(a.dtype())
                ? lax::add(a, lax::convert_element_type(Array(std::int32_t(k)), a.dtype()))
                : lax::mul(a, lax::convert_element_type(Array(1 + 0.25 * double(k)), a.dtype())));
      in[std::size_t(i)] = n ? lax::stack(rows, 0)
                             : lax::full(make_type(a.dtype(),
                                                   [&] {
                                                     Shape s = a.shape();
                                                     s.insert(0, 0);
                                                     return s;
                                                   }()),
                                         0);
    }
    return in;
  };
  const auto over = [&](const Fn& g) -> Fn {
    return [=](Args in, Results& y) {
      std::vector<int> axes(in.size(), kUnmapped);
      for (int i : mapped) axes[std::size_t(i)] = 0;
      const int out = 0;
      vmap_flat(flat(g), in, axes, {&out, 1}, -1, "", y, Loc::current());
    };
  };
  for (std::int64_t n : {3, 1, 0})
    if (wrong.empty()) wrong = guarded("lanes", [&] { return check_fn(over(f), lanes(x, n)); });
  if (wrong.empty())
    wrong =
        guarded("lanes of lanes", [&] { return check_fn(over(over(f)), lanes(lanes(x, 3), 2)); });
  if (wrong.empty())
    wrong = guarded("lanes in a loop", [&] {
      const Fn g = over(f);
      return check_fn(loop(
                          [=](Args c, Results& y) {
                            Results z;
                            g(c.first(c.size() - 1), z);
                            for (std::size_t i = 0; i + 1 < c.size(); ++i)
                              y.push_back(i < z.size() && z[i].type() == c[i].type() ? z[i] : c[i]);
                            y.append(z.begin(), z.end());
                          },
                          2),
                      lanes(x, 3));
    });
  return wrong;
}
Array half(const Array& x) { return lax::mul(x, lax::full(scalar_type(x.dtype()), 0.5)); }
}  // namespace

TEST_CASE("loops: while", "[loops]") {
  const Array x(9.), v = numbers(4);
  // each lane stops by itself
  const Body above = [](Args c, Results& y) { y.push_back(lax::gt(c[0], Array(1.))); };
  const Body halve = [](Args c, Results& y) {
    y.push_back(half(c[0]));
    y.push_back(lax::add(c[1], Array(1)));
  };
  CHECK(check_lanes(while_of(above, halve), {x, Array(0)}, {0}) == "");
  // a carry of a vector per lane; a swap; a carry that stays
  const Body more = [](Args c, Results& y) {
    y.push_back(lax::gt(lax::reduce_sum(c[0], {0}), Array(2.)));
  };
  const Body step = [](Args c, Results& y) {
    y.push_back(half(c[1]));
    y.push_back(c[0]);
    y.push_back(c[2]);
  };
  CHECK(check_lanes(while_of(more, step), {v, lax::rev(v, {0}), x}, {0, 1}) == "");
  // lanes are mixed by nothing, but a kernel is called: finished lanes keep their carry by select
  const Body sorted = [](Args c, Results& y) {
    const Array parts[] = {half(c[0])};
    y.push_back(lax::sort(parts, 0)[0]);
    y.push_back(lax::add(c[1], Array(1)));
  };
  CHECK(check_lanes(while_of(more, sorted), {v, Array(0)}, {0}) == "");
  // an array updated in place, a scalar position
  const Body walk = [](Args c, Results& y) {
    y.push_back(set(c[0], half(element(c[0], c[1])), c[1]));
    y.push_back(lax::rem(lax::add(c[1], Array(1)), Array(4)));
  };
  CHECK(check_lanes(while_of(more, walk), {v, Array(0)}, {0}) == "");
  CHECK(check_lanes(while_of(more, walk), {v, Array(0)}, {0, 1}) == "");
  // loops in loops
  const Body nested = [=](Args c, Results& y) {
    Results z;
    const Array init[] = {lax::add(c[0], c[0]), c[1]};
    while_of(above, halve)(Args{init, 2}, z);
    y.push_back(half(half(lax::add(c[0], z[0]))));
    y.push_back(z[1]);
  };
  CHECK(check_lanes(while_of(above, nested), {x, Array(0)}, {0}) == "");
  // it never runs; it returns a constant
  CHECK(check_lanes(while_of([](Args, Results& y) { y.push_back(Array(false)); }, halve),
                    {x, Array(0)}, {0}) == "");
  CHECK(check_lanes(while_of(above,
                             [](Args c, Results& y) {
                               y.push_back(Array(0.));
                               y.push_back(c[1]);
                             }),
                    {x, Array(0)}, {0}) == "");
}

TEST_CASE("loops: scan", "[loops]") {
  const Array v = numbers(4), x(0.5);
  for (bool reverse : {false, true})
    for (std::int64_t n : {0, 1, 2, 5}) {
      const auto of = [&](Body body) -> Fn {
        return [=](Args in, Results& y) {
          auto f = body;
          const Array xs[] = {lax::broadcast_in_dim(in[0], {n, 4}, {1}), lax::iota(f64, {n}, 0)};
          scan_flat(flat(f), in, Args{xs, 2}, n, reverse, 1, y, Loc::current());
        };
      };
      // a swap, a carry that stays, results that are carries, xs, constants
      CHECK(check_lanes(of([](Args c, Results& y) {
                          y.push_back(c[1]);
                          y.push_back(lax::add(c[0], lax::mul(c[3], c[4])));
                          y.push_back(c[2]);
                          y.push_back(c[0]);
                          y.push_back(c[3]);
                          y.push_back(Array(2.f));
                          y.push_back(lax::reduce_sum(c[0], {0}));
                        }),
                        {v, lax::neg(v), x}, {0, 1}) == "");
      // lanes are shifted, reversed
      CHECK(check_lanes(of([](Args c, Results& y) {
                          y.push_back(lax::rev(c[0], {0}));
                          y.push_back(lax::mul(c[0], c[2]));
                        }),
                        {v}, {0}) == "");
      // products of matrices, small and large, inside
      CHECK(check_fn(of([](Args c, Results& y) {
                       const Array m = lax::broadcast_in_dim(c[0], {16, 4}, {1});
                       const DotParams p{{{1}, {1}, {}, {}}, {}};
                       const Array s = dot_general_p.apply(p, Loc::current(), m, m);
                       const DotParams q{{{0}, {0}, {}, {}}, {}};
                       const Array t = dot_general_p.apply(q, Loc::current(), s, s);
                       y.push_back(lax::slice(half(half(half(t))), {0, 0}, {1, 4}, {}).ndim() == 2
                                       ? half(c[0])
                                       : c[0]);
                       y.push_back(lax::reduce_max(t, {0, 1}));
                     }),
                     {v}) == "");
    }
}

TEST_CASE("loops: cond", "[loops]") {
  const Array v = numbers(4);
  const Body sine = [](Args c, Results& y) {
    y.push_back(lax::sin(c[0]));
    y.push_back(c[1]);
  };
  const Body swap = [](Args c, Results& y) {
    y.push_back(c[1]);
    y.push_back(c[0]);
  };
  const Body constant = [](Args c, Results& y) {
    y.push_back(lax::full(c[0].type(), 3));
    y.push_back(lax::neg(c[1]));
  };
  const Body calls = [](Args c, Results& y) {
    const Array parts[] = {c[0]};
    y.push_back(lax::sort(parts, 0)[0]);
    y.push_back(lax::add(c[1], c[0]));
  };
  const Body change = [](Args c, Results& y) {
    y.push_back(set(c[0], Array(7.), Array(2)));
    y.push_back(c[1]);
  };
  for (int index : {-1, 0, 1, 2, 9})
    for (const auto& branches : std::vector<std::vector<Body>>{{sine},
                                                               {sine, swap},
                                                               {swap, constant, sine},
                                                               {sine, calls},
                                                               {change, sine, swap, constant, sine},
                                                               {change, change}})
      for (const auto& mapped : {std::vector<int>{0, 1, 2}, {0}, {1}, {1, 2}})
        CHECK(check_lanes(cond_of(branches), {Array(index), v, lax::cos(v)}, mapped) == "");
}

TEST_CASE("loops: what leaves no trace", "[loops]") {
  const auto count = [](const loops::Block& b) {
    std::size_t n = 0;
    loops::each_node(b, [&](const loops::Node& x) { n += x.as<loops::Call>() != nullptr; });
    return n;
  };
  const auto temporaries = [](const loops::Program& p) {
    std::size_t n = 0;
    for (const loops::Buffer& b : p.buffers) n += b.role == loops::Buffer::Role::temp;
    return n;
  };
  SECTION("reshapes with common digits: one loop nest") {
    Fn f = [](Args x, Results& y) {
      const Array a = lax::reshape(lax::sin(x[0]), {4, 6, 2, 4});
      const Array b = lax::cos(lax::transpose(a, {0, 2, 1, 3}));
      const Array c = lax::reshape(lax::transpose(b, {0, 2, 1, 3}), {24, 8});
      const Array d = lax::mul(c, lax::broadcast_in_dim(x[1], {24, 8}, {1}));
      y.push_back(lax::reduce_sum(lax::reshape(d, {192}), {0}));
      y.push_back(lax::tanh(lax::reshape(lax::rev(lax::reshape(d, {192}), {0}), {2, 12, 8})));
    };
    Random r(1);
    const Arrays in{r.array(f64, {24, 8}, 0, 1), r.array(f64, {8}, 0, 1)};
    CHECK(check_fn(f, in) == "");
    CHECK(temporaries(program_of(f, in)) <= 1);  // what is reversed
  }
  SECTION("a tile of a tile") {
    Fn f = [](Args x, Results& y) {
      y.push_back(lax::mul(lax::tile(lax::sin(lax::tile(x[0], {3})), {2}), x[1]));
    };
    CHECK(check_fn(f, {numbers(4), numbers(24)}) == "");
  }
  SECTION("a transposed product is another product") {
    const DotParams p{{{0}, {0}, {}, {}}, {}};
    Fn f = [=](Args x, Results& y) {
      y.push_back(lax::transpose(dot_general_p.apply(p, Loc::current(), x[0], x[1]), {1, 0}));
    };
    Random r(1);
    const Arrays in{r.array(f64, {16, 20}, 0, 1), r.array(f64, {16, 17}, 0, 1)};
    CHECK(check_fn(f, in) == "");
    const loops::Program once = program_of(f, in);
    CHECK(once.body.size() == 1);
    CHECK(count(once.body) == 1);
    Fn g = [=](Args x, Results& y) {  // both
      const Array z = dot_general_p.apply(p, Loc::current(), x[0], x[1]);
      y.push_back(lax::transpose(z, {1, 0}));
      y.push_back(z);
    };
    CHECK(check_fn(g, in) == "");
    const DotParams q{{{3}, {1}, {0, 1}, {0, 2}}, {}};  // with batches, and two free dimensions
    Fn h = [=](Args x, Results& y) {
      const Array z = dot_general_p.apply(q, Loc::current(), x[0], x[1]);
      y.push_back(lax::transpose(z, {0, 1, 3, 4, 2}));
      y.push_back(
          lax::transpose(dot_general_p.apply(q, Loc::current(), x[0], x[1]), {1, 0, 3, 4, 2}));
    };
    CHECK(check_fn(h, {r.array(f64, {2, 3, 17, 16}, 0, 1), r.array(f64, {2, 16, 3, 4, 5}, 0, 1)}) ==
          "");
  }
  SECTION("checkpoint: what is computed again is not kept") {
    const auto memory = [](int layers, bool keep) {
      const auto layer = [](Args x, Results& y) {
        const DotParams p{{{1}, {0}, {}, {}}, {}};
        Array h = x[0];
        for (int i = 0; i < 3; ++i) h = lax::tanh(dot_general_p.apply(p, Loc::current(), h, x[1]));
        y.push_back(h);
      };
      Fn f = [=](Args x, Results& y) {
        Array h = x[0];
        for (int i = 0; i < layers; ++i) {
          const Array in[] = {h, x[1]};
          Results z;
          if (keep)
            layer(Args{in, 2}, z);
          else
            checkpoint_flat(flat(layer), Args{in, 2}, nullptr, z, Loc::current());
          h = z[0];
        }
        y.push_back(h);
      };
      Random r(1);
      const Array x = r.array(f32, {20, 20}, 0, 0.1);
      loops::Program p = program_of(pullback(f, 2), {x, x, x});
      loops::plan_memory(p);
      return double(p.arena) / (400 * 4);  // arrays
    };
    CHECK(memory(12, false) - memory(6, false) < 7.5);  // one for each layer
    CHECK(memory(12, true) - memory(6, true) > 17.5);   // three
  }
}

TEST_CASE("loops: operands of calls", "[loops]") {
  auto first = std::make_shared<const HostFn>(
      HostFn{"size", [](Args x, Results& y) {
               double n = 0;
               for (const Array& a : x)
                 n += double(a.size()) + (a.size() ? a.astype(f64).to_vector<double>()[0] : 0);
               y.push_back(Array(n));
             }});
  const Type out[] = {scalar_type(f64)};
  Fn f = [=](Args x, Results& y) {
    const Array with_none[] = {lax::slice_in_dim(x[0], 2, 2, 0), x[0]};
    pure_callback_flat(first, out, with_none, y, Loc::current());
    const Array parts[] = {
        lax::rev(x[0], {0}),        Array(3),
        lax::full(x[0].type(), 2),  x[0],
        lax::reshape(x[0], {2, 2}), lax::transpose(lax::reshape(x[0], {2, 2}), {1, 0})};
    pure_callback_flat(first, out, parts, y, Loc::current());
  };
  CHECK(check_fn(f, {numbers(4)}) == "");
  Fn g = [=](Args x, Results& y) {
    auto body = [=](Args c, Results& z) {
      Results r;
      pure_callback_flat(first, out, c, r, Loc::current());
      z.push_back(lax::add(c[0], r[0]));
      z.push_back(r[0]);
    };
    scan_flat(flat(body), x.first(1), x.subspan(1), 3, true, 1, y, Loc::current());
  };
  CHECK(check_fn(g, {numbers(4), lax::broadcast_in_dim(numbers(2), {3, 2}, {1})}) == "");
}

TEST_CASE("loops: effects keep their order and are never dropped", "[loops]") {
  auto seen = std::make_shared<std::vector<double>>();
  auto print = std::make_shared<const HostFn>(
      HostFn{"print", [seen](Args x, Results&) { seen->push_back(x[0].item()); }});
  const auto show = [print](const Array& x) {
    debug_callback_flat(print, Args{&x, 1}, Loc::current());
  };
  Fn f = [=](Args x, Results& y) {
    show(lax::add(x[0], Array(1.)));
    auto body = [=](Args c, Results& z) {
      show(c[0]);
      auto quiet = [](Args d, Results& w) { w.push_back(d[0]); };
      auto loud = [=](Args d, Results& w) {
        show(lax::neg(d[0]));
        w.push_back(d[0]);
      };
      FlatFn branches[] = {flat(quiet), flat(loud)};
      Results ignored;
      cond_flat(lax::gt(c[0], Array(2.5)), branches, c.first(1), "cond", ignored, Loc::current());
      z.push_back(lax::add(c[0], Array(1.)));
    };
    Results out;
    scan_flat(flat(body), x, {}, 3, false, 1, out, Loc::current());
    show(Array(100.));
    y.push_back(lax::mul(x[0], x[0]));
  };
  const Arrays in{Array(1.)};
  const Jaxpr j = make_jaxpr_flat(flat(f), types_of(in), Loc::current());
  const loops::Program p = loops::build(*passes::lower(*j.body()));
  loops::verify(p);
  CHECK(execute(p, in, j.out_types())[0].item() == 1);
  CHECK(*seen == std::vector<double>{2, 1, 2, 3, -3, 100});
}

TEST_CASE("loops: random programs", "[loops]") {
  // JAXPP_FUZZ_CASES, JAXPP_FUZZ_SEED: as in property/program_test.cc.
  const auto setting = [](const char* name, long otherwise) {
    const char* v = std::getenv(name);
    return v && *v ? std::strtol(v, nullptr, 10) : otherwise;
  };
  const long cases = setting("JAXPP_FUZZ_CASES", 60), first = setting("JAXPP_FUZZ_SEED", 1);
  for (long seed = first; seed < first + cases; ++seed) {
    Random random{std::uint64_t(seed)};
    const auto f = random_program(random.bits(), int(random.integer(1, 14)));
    const auto fails = [](const testing::Program& p) {
      Random r(5);
      std::vector<Arrays> lanes;
      for (int i = 0; i < 3; ++i) lanes.push_back(p.arguments(r));
      const Arrays& x = lanes[0];
      std::string wrong = guarded("value", [&] { return check_fn(p, x); });
      Arrays batch;
      for (std::size_t i = 0; i < x.size(); ++i) {
        Arrays rows;
        for (auto& lane : lanes) rows.push_back(lane[i]);
        batch.push_back(lax::stack(rows, 0));
      }
      if (wrong.empty()) wrong = guarded("vmap", [&] { return check_fn(vmapped(p), batch); });
      if (wrong.empty())
        wrong = guarded("vjp", [&] {
          return check_fn(pullback(p, x.size()), with_cotangents(r, x, evaluate(p, x)));
        });
      if (wrong.empty())
        wrong = guarded("vmap of jvp", [&] {
          std::vector<Arrays> all;
          for (auto& lane : lanes) all.push_back(with_tangents(r, lane));
          Arrays in;
          for (std::size_t i = 0; i < all[0].size(); ++i) {
            Arrays rows;
            for (auto& lane : all) rows.push_back(lane[i]);
            in.push_back(lax::stack(rows, 0));
          }
          return check_fn(vmapped(pushforward(p, x.size())), in);
        });
      return wrong;
    };
    const std::string wrong = fails(f);
    if (wrong.empty()) continue;
    FAIL("seed " << seed << "\n" << fails(shrink(f, fails)));
  }
}

// ---- Random programs that update, branch and loop
namespace {
// Values stay moderate: every operation is bounded, or halves what it adds.
class Updates {
 public:
  Updates(std::uint64_t seed, int operations) : seed_(seed), operations_(operations) {}
  void operator()(Args x, Results& y) const {
    Random r(seed_);
    Results pool(x.begin(), x.end());
    run(r, pool, operations_, 0);
    const std::size_t n = std::min<std::size_t>(pool.size(), 4);
    for (std::size_t i = 0; i < n; ++i) y.push_back(pool[pool.size() - 1 - i]);
    y.push_back(pool[std::size_t(r.integer(0, std::int64_t(pool.size()) - 1))]);
  }
  static Arrays arguments(Random& r) {
    return {r.array(f64, {6}, 0.1, 1, true), r.array(f64, {6}, 0.1, 1, true),
            r.array(f64, {2, 3}, 0.1, 1, true), r.array(f64, {3}, 0.1, 1, true),
            r.array(f64, {}, 0.1, 1, true)};
  }

 private:
  using Pool = Results;
  static std::size_t choice(Random& r, std::size_t n) {
    return std::size_t(r.integer(0, std::int64_t(n) - 1));
  }
  static Array any(Random& r, const Pool& pool) {  // the latest more often
    const std::size_t n = pool.size();
    return pool[r.integer(0, 1) ? n - 1 - choice(r, std::min<std::size_t>(n, 3)) : choice(r, n)];
  }
  static Array of_shape(Random& r, const Pool& pool, const Shape& s) {
    std::size_t skip = choice(r, 3);
    Array found;
    for (std::size_t i = pool.size(); i-- > 0;)
      if (pool[i].shape() == s) {
        found = pool[i];
        if (skip-- == 0) break;
      }
    return found.defined() ? found : lax::full(make_type(f64, s), 0.5);
  }
  static Array index(const Array& x) {  // about -3 .. 9
    return lax::convert_element_type(lax::mul(x, lax::full(scalar_type(f64), 9)), i32);
  }
  void run(Random& r, Pool& pool, int n, int depth) const {
    for (int i = 0; i < n; ++i) step(r, pool, depth);
  }
  void step(Random& r, Pool& pool, int depth) const {
    const Array x = any(r, pool);
    const Shape s = x.shape();
    const auto put = [&](const Array& a) { pool.push_back(a); };
    const Array scalar = of_shape(r, pool, {});
    switch (r.integer(0, depth < 2 ? 16 : 12)) {
      case 0: return put(lax::sin(x));
      case 1: return put(lax::tanh(lax::sub(x, of_shape(r, pool, s))));
      case 2: return put(s.empty() ? lax::cos(x) : lax::rev(x, {0}));
      case 3:
        return put(lax::reshape(x, s == Shape{6} ? Shape{2, 3} : s == Shape{2, 3} ? Shape{6} : s));
      case 4: {
        Dims axes;
        for (int i = 0; i < x.ndim(); ++i) axes.push_back(i);
        return put(lax::tanh(lax::reduce_sum(x, axes)));
      }
      case 5: {  // a window
        if (s.empty()) return put(lax::neg(x));
        Results start;
        Dims sizes;
        for (auto k : s) {
          start.push_back(index(scalar));
          sizes.push_back(r.integer(0, 1) ? k : k - 1);
        }
        const Array w = lax::dynamic_slice(x, args(start), sizes);
        std::vector<Dims> config;
        for (std::size_t k = 0; k < s.size(); ++k) config.push_back({s[k] - sizes[k], 0, 0});
        return put(r.integer(0, 2) ? lax::dynamic_update_slice(x, w, args(start))
                                   : lax::pad(w, scalar, config));
      }
      case 6:
      case 7: {  // an update
        if (s.empty()) return put(lax::cos(x));
        Results start;
        Dims sizes, from, to;
        for (auto k : s) {
          start.push_back(index(r.integer(0, 1) ? scalar : of_shape(r, pool, {})));
          sizes.push_back(r.integer(1, k));
          from.push_back(r.integer(0, k - sizes.back()));
          to.push_back(from.back() + sizes.back());
        }
        const Array u = lax::slice(of_shape(r, pool, s), from, to, {});
        if (r.integer(0, 2) == 0) return put(lax::tanh(lax::add_slice(x, u, from, to, {})));
        return put(lax::dynamic_update_slice(x, u, args(start)));
      }
      case 8:
      case 9: {  // points
        const Array base = of_shape(r, pool, {6}),
                    at = lax::reshape(index(of_shape(r, pool, {3})), {3, 1});
        ScatterParams p =
            points(false, r.integer(0, 1) ? IndexMode::CLIP : IndexMode::FILL_OR_DROP);
        const Primitive* const all[] = {&scatter_p, &scatter_add_p, &scatter_max_p, &scatter_p};
        const Primitive& op = *all[choice(r, 4)];
        const Array y = op.apply(p, Loc::current(), base, at, of_shape(r, pool, {3}));
        return put(&op == &scatter_add_p ? lax::tanh(y) : y);
      }
      case 10: {
        const Array at = lax::reshape(index(of_shape(r, pool, {3})), {3, 1});
        return put(lax::gather(of_shape(r, pool, {6}), at,
                               {.dimension_numbers = {{}, {0}, {0}, {}, {}},
                                .fill_value = Number(0.25),
                                .mode = r.integer(0, 1) ? IndexMode::CLIP : IndexMode::FILL_OR_DROP,
                                .slice_sizes = {1}}));
      }
      case 11: {
        const Array a = of_shape(r, pool, {6}), parts[] = {a};
        return put(r.integer(0, 2) ? lax::tanh(lax::cumsum(a, 0, r.integer(0, 1)))
                                   : lax::sort(parts, 0)[0]);
      }
      case 12: {
        const DotParams p{{{1}, {0}, {}, {}}, {}};
        return put(lax::tanh(dot_general_p.apply(p, Loc::current(), of_shape(r, pool, {2, 3}),
                                                 of_shape(r, pool, {3}))));
      }
      default: return structured(r, pool, depth);
    }
  }
  // A body over some values: changes them, one after the other, by operations on all that it sees.
  void structured(Random& r, Pool& pool, int depth) const {
    const std::size_t n = 1 + choice(r, 3);
    Results init;
    for (std::size_t i = 0; i < n; ++i) init.push_back(any(r, pool));
    const std::uint64_t seed = r.bits();
    const Pool outside = pool;  // captured
    const auto body = [=, this](std::uint64_t own, Args c, std::size_t more, Results& y) {
      Random q(own);
      Pool inner;
      for (const Array& a : outside)
        if (q.integer(0, 2) == 0) inner.push_back(a);
      inner.append(c.begin(), c.end());
      run(q, inner, 1 + int(q.integer(0, 4)), depth + 1);
      for (std::size_t i = 0; i < n; ++i)
        y.push_back(q.integer(0, 5) ? of_shape(q, inner, c[i].shape()) : c[i]);
      for (std::size_t i = 0; i < more; ++i) y.push_back(any(q, inner));
    };
    Results out;
    switch (r.integer(0, 2)) {
      case 0: {
        auto f = [&](Args c, Results& y) { body(seed, c, 1, y); };
        const std::int64_t length = r.integer(1, 3);
        const Array xs = lax::broadcast_in_dim(of_shape(r, pool, {3}), {length, 3}, {1});
        scan_flat(flat(f), args(init), Args{&xs, 1}, length, r.integer(0, 1), 1, out,
                  Loc::current());
        out.back() = lax::squeeze(lax::slice_in_dim(out.back(), 0, 1, 0), {0});
        break;
      }
      case 1: {
        init.push_back(Array(0));
        const Array limit = index(of_shape(r, pool, {}));
        auto more = [&](Args c, Results& y) {
          y.push_back(lax::lt(c[n], lax::clamp(Array(0), limit, Array(3))));
        };
        auto f = [&](Args c, Results& y) {
          body(seed, c.first(n), 0, y);
          y.push_back(lax::add(c[n], Array(1)));
        };
        while_flat(flat(more), flat(f), args(init), out, Loc::current());
        out.pop_back();
        break;
      }
      case 2: {
        auto f = [&](Args c, Results& y) { body(seed, c, 0, y); };
        auto g = [&](Args c, Results& y) { body(seed + 1, c, 0, y); };
        auto h = [&](Args c, Results& y) { y.append(c.begin(), c.end()); };
        FlatFn branches[] = {flat(f), flat(h), flat(g)};
        cond_flat(index(of_shape(r, pool, {})), branches, args(init), "cond", out, Loc::current());
        break;
      }
    }
    pool.append(out.begin(), out.end());
  }

  std::uint64_t seed_;
  int operations_;
};
}  // namespace

TEST_CASE("loops: random programs with updates and branches in loops", "[loops][property]") {
  const auto setting = [](const char* name, long otherwise) {
    const char* v = std::getenv(name);
    return v && *v ? std::strtol(v, nullptr, 10) : otherwise;
  };
  const long cases = setting("JAXPP_FUZZ_CASES", 200), first = setting("JAXPP_FUZZ_SEED", 1);
  for (long seed = first; seed < first + cases; ++seed)
    for (int operations : {2, 4, 8, 16}) {
      const Updates f(std::uint64_t(seed), operations);
      Random r(3);
      std::vector<Arrays> lanes;
      for (int i = 0; i < 3; ++i) lanes.push_back(Updates::arguments(r));
      Arrays batch;
      for (std::size_t i = 0; i < lanes[0].size(); ++i) {
        Arrays rows;
        for (auto& lane : lanes) rows.push_back(lane[i]);
        batch.push_back(lax::stack(rows, 0));
      }
      std::string wrong = guarded("value", [&] { return check_fn(f, lanes[0]); });
      if (wrong.empty()) wrong = guarded("vmap", [&] { return check_fn(vmapped(f), batch); });
      if (wrong.empty()) continue;
      FAIL("seed " << seed << ", " << operations << " operations\n" << wrong);
    }
}
