// residuals_test.cc -- what the gradient of a loop stores: texts, numbers of values a step, and that derivatives stay right
// whatever is stored or computed again.
#include <catch2/catch.hpp>
#include <random>
#include "backends/passes/passes.h"
#include "jaxpp/core/jaxpr.h"
#include "jaxpp/jaxpp.h"
#include "jaxpp/ops/primitives.h"

using namespace jaxpp;
using namespace jaxpp::internal;

namespace {
std::string after(const std::string& text) {
  const Jaxpr p = Jaxpr::parse(text.substr(1, text.size() - 2));
  Jaxpr q(passes::residuals(*p.body()), p.consts());
  q.check();
  return "\n" + q.to_string() + "\n";
}
// The scans of a program, in order, those inside of others too.
void scans_of(const JaxprBody& j, std::vector<const ScanParams*>& to) {
  for (const Equation& e : j.eqns) {
    if (e.prim == &scan_p) to.push_back(&e.params().as<ScanParams>());
    for (auto& s : sub_jaxprs(e)) scans_of(*s, to);
  }
}
struct Loops {
  JaxprPtr program;
  std::vector<const ScanParams*> scans;
  /// Bytes that number i writes in each step.
  std::int64_t stacked(std::size_t i) const {
    const JaxprBody& body = *scans.at(i)->jaxpr;
    std::int64_t n = 0;
    for (std::size_t k = std::size_t(scans[i]->num_carry); k < body.outs.size(); ++k)
      n += body.type(body.outs[k])->size * std::int64_t(width(body.type(body.outs[k])->dtype));
    return n;
  }
};
template <class F, class... A>
Loops loops_of(const F& f, const A&... x) {
  const Jaxpr j = make_jaxpr(f)(x...);
  Loops l{passes::optimize(*j.body()), {}};
  check_jaxpr(*l.program);
  scans_of(*l.program, l.scans);
  return l;
}
// Is there an operation of this name on arrays of at least `size` elements, inside a loop?
bool sweeps(const JaxprBody& j, const Primitive& p, std::int64_t size) {
  for (const Equation& e : j.eqns)
    if (e.prim == &p && j.types[e.out]->size >= size) return true;
  return false;
}
Array normal(int seed, Shape s) { return random::normal(random::key(seed), s).astype(f64); }
}  // namespace

TEST_CASE("residuals: cheap functions of the carry are computed again") {
  // Of h and 2 h one is enough.
  CHECK(after(R"(
{ lambda ; a:f64[1000] b:f64[1000]. let
    c:f64[1000] d:f64[500,1000] e:f64[500,1000] = scan[
      jaxpr={ lambda ; f:f64[1000] g:f64[1000]. let
          h:f64[1000] = mul f g
          i:f64[1000] = mul 2.0:f64[] h
          j:f64[1000] = add h i
        in (j, h, i) }
      length=500
      num_carry=1
      num_consts=1
    ] a b
    k:f64[1000] = scan[
      jaxpr={ lambda ; l:f64[1000] m:f64[1000] n:f64[1000]. let
          o:f64[1000] = mul l m
          p:f64[1000] = mul o n
        in (p,) }
      length=500
      num_carry=1
      reverse=True
    ] c d e
  in (k,) }
)") == R"(
{ lambda ; a:f64[1000] b:f64[1000]. let
    c:f64[1000] d:f64[500,1000] = scan[
      jaxpr={ lambda ; e:f64[1000] f:f64[1000]. let
          g:f64[1000] = mul e f
          h:f64[1000] = mul 2.0:f64[] g
          i:f64[1000] = add g h
        in (i, g) }
      length=500
      num_carry=1
      num_consts=1
    ] a b
    j:f64[1000] = scan[
      jaxpr={ lambda ; k:f64[1000] l:f64[1000]. let
          m:f64[1000] = mul 2.0:f64[] l
          n:f64[1000] = mul k l
          o:f64[1000] = mul n m
        in (o,) }
      length=500
      num_carry=1
      reverse=True
    ] c d
  in (j,) }
)");
}

TEST_CASE("residuals: what leaves a step is handed on to the step before it") {
  // h = tanh(W h): the backward loop needs h as it comes in and as it goes out; one of them is stacked.
  const auto f = [](Array w, Array x) {
    return sum(fori_loop(
        0, 50, [w](Array, Array h) { return tanh(matmul(w, h)); }, x));
  };
  const Loops l = loops_of(grad<0, 1>(f), zeros({32, 32}), zeros({32}));
  REQUIRE(l.scans.size() == 2);
  CHECK(l.stacked(0) == 32 * 4);
  CHECK(l.scans[1]->num_carry == 2);  // dh, h
  CHECK(l.scans[1]->jaxpr->invars.size() == 1 + 2 + 1);
}

TEST_CASE("residuals: numbers of values a step") {
  struct State {
    Array x, y, z;
  };
  const auto lorenz = [](Array x, Array y, Array z, Array s, Array r, Array b) {
    const auto slope = [=](const State& u) {
      return State{s * (u.y - u.x), u.x * (r - u.z) - u.y, u.x * u.y - b * u.z};
    };
    const auto go = [](const State& u, double h, const State& d) {
      return State{u.x + h * d.x, u.y + h * d.y, u.z + h * d.z};
    };
    const auto step = [=](Array, State u) {
      const double h = 1e-3;
      const State k1 = slope(u), k2 = slope(go(u, h / 2, k1)), k3 = slope(go(u, h / 2, k2)),
                  k4 = slope(go(u, h, k3));
      return go(go(go(go(u, h / 6, k1), h / 3, k2), h / 3, k3), h / 6, k4);
    };
    const State e = fori_loop(0, 10000, step, State{x, y, z});
    return e.x + e.y + e.z;
  };
  const Array one(1.0);
  const Loops l = loops_of(value_and_grad<0, 1, 2, 3, 4, 5>(lorenz), one, one, one, one, one, one);
  REQUIRE(l.scans.size() == 2);
  CHECK(l.stacked(0) == 3 * 8);

  // A large state: the sine is computed again too.
  const auto wave = [](Array x) {
    return sum(square(fori_loop(
        0, 1000, [](Array, Array u) { return u + 0.001f * sin(u) * u; }, x)));
  };
  const Loops w = loops_of(grad(wave), zeros({100000}, f32));
  REQUIRE(w.scans.size() == 2);
  CHECK(w.stacked(0) == 100000 * 4);

  // A small one keeps the expensive part of a scalar step.
  const auto pendulum = [](Array x) {
    return fori_loop(
        0, 100, [](Array, Array u) { return u + 0.001 * sin(u); }, x);
  };
  const Loops p = loops_of(grad(pendulum), one);
  REQUIRE(p.scans.size() == 2);
  CHECK(p.stacked(0) == 8);  // the cosine

  // Pairs of 200 bodies: 3 numbers for each body, not for each pair.
  const auto bodies = [](Array x, Array v) {
    const auto acceleration = [](const Array& at) {
      const Array d = expand_dims(at, 0) - expand_dims(at, 1);
      return sum(expand_dims(pow(sum(square(d), 2) + 0.01f, -1.5f), 2) * d, 1);
    };
    const auto end = fori_loop(
        0, 10,
        [=](Array, std::pair<Array, Array> s) {
          const Array next = s.first + 0.01f * s.second;
          return std::pair(next, s.second + 0.01f * acceleration(next));
        },
        std::pair(x, v));
    return sum(square(end.first)) + sum(square(end.second));
  };
  const Loops n = loops_of(grad<0, 1>(bodies), zeros({200, 3}, f32), zeros({200, 3}, f32));
  REQUIRE(n.scans.size() == 2);
  CHECK(n.stacked(0) == 200 * 3 * 4);

  // An LSTM: the two states and the four gates; the tanh of the cell comes from the cell that is handed on.
  const auto lstm = [](Array wx, Array wh, Array xs) {
    const auto step = [=](std::pair<Array, Array> s, Array x) {
      const auto g = split(matmul(x, wx) + matmul(s.first, wh), 4, -1);
      const Array c = nn::sigmoid(g[1]) * s.second + nn::sigmoid(g[0]) * tanh(g[2]);
      const Array h = nn::sigmoid(g[3]) * tanh(c);
      return std::pair(std::pair(h, c), h);
    };
    const Array zero = zeros({32, 64}, f32);
    return mean(square(scan(step, std::pair(zero, zero), xs).second));
  };
  const Loops m = loops_of(grad<0, 1>(lstm), zeros({64, 256}, f32), zeros({64, 256}, f32),
                           zeros({100, 32, 64}, f32));
  REQUIRE(m.scans.size() == 2);
  CHECK(m.stacked(0) == (1 + 6) * 32 * 64 * 4);  // one of them is the result
}

TEST_CASE("residuals: windows at places that a loop computes are added in place") {
  const auto rows = [](Array table) {
    return fori_loop(
        0, 100,
        [table](Array i, Array s) {
          const Array at[] = {i, Array(0)};
          return s + sum(tanh(lax::dynamic_slice(table, at, {1, 16}) * s));
        },
        Array(0.5));
  };
  const Loops d = loops_of(grad(rows), zeros({100, 16}, f64));
  REQUIRE(d.scans.size() == 2);
  CHECK_FALSE(sweeps(*d.scans[1]->jaxpr, add_any_p, 1600));
  CHECK_FALSE(sweeps(*d.scans[1]->jaxpr, broadcast_in_dim_p, 1600));
  const auto taken = [](Array table, Array index) {
    return scan([table](Array s,
                        Array i) { return std::pair(s + sum(tanh(take(table, i, 0) * s)), None); },
                Array(0.5), index)
        .first;
  };
  const Array index = (arange(100) * 37) % 100;
  const Loops g = loops_of(grad(taken), zeros({100, 16}, f64), index);
  REQUIRE(g.scans.size() == 2);
  CHECK_FALSE(sweeps(*g.scans[1]->jaxpr, add_any_p, 1600));
  const Array table = normal(3, {100, 16});
  const auto plain = [](Array t) {
    Array s = 0.5;
    for (int i = 0; i < 100; ++i) s = s + sum(tanh(t(i) * s));
    return s;
  };
  const auto plain_taken = [](Array t) {
    Array s = 0.5;
    for (int i = 0; i < 100; ++i) s = s + sum(tanh(t(37 * i % 100) * s));
    return s;
  };
  // The sums grow, and with them what rounding does to them.
  CHECK(allclose(jit(grad(rows))(table), grad(plain)(table), 1e-7, 1e-6));
  CHECK(allclose(grad(rows)(table), grad(plain)(table), 1e-7, 1e-6));
  CHECK(allclose(jit(grad(taken))(table, index), grad(plain_taken)(table), 1e-7, 1e-6));
  CHECK(allclose(grad(taken)(table, index), grad(plain_taken)(table), 1e-7, 1e-6));
}

TEST_CASE("residuals: memory of the gradient of a loop over a large state") {
  // 1000 steps of 100,000 numbers: one state a step is 400 MB; blocks of 40 steps need 25 + 40 states.
  const auto step = [](Array, Array u) { return u + 0.001f * sin(u) * u; };
  const auto plain = [=](Array x) { return sum(square(fori_loop(0, 1000, step, x))); };
  const auto blocks = [=](Array x) {
    const auto block = checkpoint([=](Array u) { return fori_loop(0, 40, step, u); });
    return sum(square(fori_loop(
        0, 25, [=](Array, Array u) { return block(u); }, x)));
  };
  const Array x = zeros({100000}, f32);
  CHECK(jit(grad(plain)).compile(x).memory().peak() <= 402 * 1000 * 1000);
  CHECK(jit(grad(blocks)).compile(x).memory().peak() <= 40 * 1000 * 1000);
}

TEST_CASE("residuals: shallow products of matrices leave the loop") {
  const auto products = [](const std::string& text) {
    const Jaxpr p = Jaxpr::parse(text.substr(1, text.size() - 2));
    Jaxpr q(passes::products(*p.body()), p.consts());
    q.check();
    return "\n" + q.to_string() + "\n";
  };
  // Two sums; what a carry brings into the loop stays in front of the sum.
  CHECK(products(R"(
{ lambda ; a:f32[32,64] b:f32[4,32] c:f32[10,4,64]. let
    d:f32[32,64] e:f32[4,32] = scan[
      jaxpr={ lambda ; f:f32[32,64] g:f32[4,32] h:f32[4,64]. let
          i:f32[4,32] = tanh g
          j:f32[32,64] = dot_general[dimension_numbers=(([0], [0]), ([], []))] i h
          k:f32[32,64] = add_any f j
        in (k, i) }
      length=10
      num_carry=2
      reverse=True
    ] a b c
  in (d, e) }
)") == R"(
{ lambda ; a:f32[32,64] b:f32[4,32] c:f32[10,4,64]. let
    d:f32[4,32] e:f32[10,4,32] = scan[
      jaxpr={ lambda ; f:f32[4,32]. let g:f32[4,32] = tanh f in (g, g) }
      length=10
      num_carry=1
      reverse=True
    ] b
    h:f32[32,64] = dot_general[dimension_numbers=(([0, 1], [0, 1]), ([], []))] e
      c
    i:f32[32,64] = add_any a h
  in (i, d) }
)");
  // A sum that the loop reads stays; so do deep products, and what would be stacked beyond what the loop reads.
  const auto stays = [&](const std::string& depth, const std::string& xs, const std::string& read) {
    std::string text = R"(
{ lambda ; a:f32[32,64] b:f32[DEPTH,32] c:f32[10,XS]. let
    d:f32[32,64] e:f32[DEPTH,32] f:f32[10,32,64] = scan[
      jaxpr={ lambda ; g:f32[32,64] h:f32[DEPTH,32] i:f32[XS]. let
          j:f32[DEPTH,32] = tanh h
          k:f32[DEPTH,64] = concatenate[dimension=1] j h
          l:f32[32,64] = dot_general[dimension_numbers=(([0], [0]), ([], []))] j k
          m:f32[32,64] = add_any g l
          n:f32[32,64] = broadcast_in_dim[shape=(32, 64)] 1.0:f32[]
        in (m, j, READ) }
      length=10
      num_carry=2
    ] a b c
  in (d, e, f) }
)";
    for (auto& [from, to] : std::vector<std::pair<std::string, std::string>>{
             {"DEPTH", depth}, {"XS", xs}, {"READ", read}})
      for (std::size_t at; (at = text.find(from)) != std::string::npos;)
        text.replace(at, from.size(), to);
    const Jaxpr p = Jaxpr::parse(text.substr(1, text.size() - 2));
    return passes::products(*p.body())->eqns.size() == 1;
  };
  CHECK_FALSE(stays("4", "400", "n"));
  CHECK(stays("4", "400", "g"));
  CHECK(stays("4", "300", "n"));
  CHECK(stays("200", "100000", "n"));
}

// ---- Random loops
namespace {
struct Cell {
  Array v, s;  // f64[3], f64[]
};
// A step made from a seed: a few random operations on the carry, the element of xs and what is captured.
struct RandomStep {
  unsigned seed;
  std::pair<Cell, Array> operator()(const Array& w, const Array& m, Cell c, const Array& x) const {
    std::mt19937 random(seed);
    std::vector<Array> v{c.v, x, w, c.v * c.s}, s{c.s, sum(c.v)};
    const auto pick = [&](std::vector<Array>& from) { return from[random() % from.size()]; };
    for (int i = 0; i < 8; ++i) {
      const Array a = pick(v), b = pick(v), k = pick(s);
      switch (random() % 9) {
        case 0: v.push_back(sin(a)); break;
        case 1: v.push_back(tanh(a * b)); break;
        case 2: v.push_back(0.5 * (a - b)); break;
        case 3: v.push_back(tanh(matmul(m, a))); break;
        case 4: v.push_back(where(a > 0.1, sin(b), 0.3 * a)); break;
        case 5: s.push_back(tanh(sum(a * b))); break;
        case 6: v.push_back(a * sin(k)); break;
        case 7: v.push_back(b / (1.5 + square(a))); break;
        default: s.push_back(logaddexp(k, a(0)));
      }
    }
    Cell next{tanh(v.back() + 0.5 * pick(v)), sin(s.back() + pick(s))};
    if (seed % 5 == 0) next.s = c.s;  // a carry that never changes
    if (seed % 7 == 0) next.v = next.v + 0.1 * w;
    return {next, pick(v)};
  }
};
constexpr int kSteps = 4;
}  // namespace

TEST_CASE("residuals: the gradient of a random loop is that of its steps one after the other") {
  for (unsigned seed = 1; seed <= 24; ++seed) {
    const RandomStep step{seed};
    const bool reverse = seed % 3 == 0;
    const auto looped = [=](Array w, Array m, Array xs) {
      const auto body = [=](Cell c, Array x) { return step(w, m, c, x); };
      auto [c, ys] = scan(body, Cell{w, sum(w)}, xs, {.reverse = reverse});
      return sum(c.v) + c.s + sum(sin(ys));
    };
    const auto unrolled = [=](Array w, Array m, Array xs) {
      Cell c{w, sum(w)};
      Array total = 0.0;
      for (int i = 0; i < kSteps; ++i) {
        auto [next, y] = step(w, m, c, xs(reverse ? kSteps - 1 - i : i));
        c = next;
        total = total + sum(sin(y));
      }
      return sum(c.v) + c.s + total;
    };
    INFO("seed " << seed);
    const Array w = 0.5 * normal(int(seed), {3}), m = 0.5 * normal(int(seed) + 100, {3, 3}),
                xs = normal(int(seed) + 200, {kSteps, 3});
    const auto same = [&](const auto& a, const auto& b) {
      CHECK(allclose(std::get<0>(a), std::get<0>(b), 1e-9, 1e-11));
      CHECK(allclose(std::get<1>(a), std::get<1>(b), 1e-9, 1e-11));
      CHECK(allclose(std::get<2>(a), std::get<2>(b), 1e-9, 1e-11));
    };
    const auto want = grad<0, 1, 2>(unrolled)(w, m, xs);
    same(grad<0, 1, 2>(looped)(w, m, xs), want);
    same(jit(grad<0, 1, 2>(looped))(w, m, xs), want);
    // Second order: reverse over reverse.
    const auto length = [](const auto& f) {
      return [f](Array a, Array b, Array c) {
        const auto [x, y, z] = grad<0, 1, 2>(f)(a, b, c);
        return sum(square(x)) + sum(square(y)) + sum(square(z));
      };
    };
    const auto want2 = grad<0, 1, 2>(length(unrolled))(w, m, xs);
    if (seed % 4 == 0) same(grad<0, 1, 2>(length(looped))(w, m, xs), want2);
    same(jit(grad<0, 1, 2>(length(looped)))(w, m, xs), want2);
    // A batch of xs, the rest shared.
    const Array batch = stack({xs, 2 * xs, sin(xs)});
    const auto batched =
        jit(vmap(grad<0, 1, 2>(looped), {.in_axes = {None, None, 0}}))(w, m, batch);
    for (int i = 0; i < 3; ++i)
      same(tree_map([i](const Array& a) { return a(i); }, batched),
           grad<0, 1, 2>(unrolled)(w, m, batch(i)));
  }
}
