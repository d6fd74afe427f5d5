// control_test.cc -- scan, while_loop, fori_loop, cond, switch_, associative_scan and map, under
// every transform.
#include <catch2/catch.hpp>
#include <cmath>
#include "jaxpp/jaxpp.h"
#include "message.h"

using namespace jaxpp;
using Catch::Matchers::Contains;

namespace {

using V = std::vector<double>;
V list(const Array& a) { return a.to_vector(); }
struct State {
  Array position, velocity;
  int id = 3;
};
State push(State s, const Array& force) {
  s.velocity += 0.1 * force;
  s.position += 0.1 * s.velocity;
  return s;
}
auto kick = [](State s, Array force) {
  s = push(s, force);
  return std::pair(s, s.position);
};
// The same loop in plain C++.
auto unrolled = [](State s, Array forces) {
  std::vector<Array> path;
  for (std::int64_t i = 0; i < forces.shape()[0]; ++i) {
    s = push(s, forces(i));
    path.push_back(s.position);
  }
  return std::pair(s, stack(path));
};

}  // namespace

// ---- scan

TEST_CASE("control: scan with a struct carry") {
  Array forces = {1., -2., 0.5, 3.};
  auto [end, path] = scan(kick, State{0.0, 1.0}, forces);
  auto [end2, path2] = unrolled(State{0.0, 1.0}, forces);
  CHECK(allclose(path, path2, 1e-15, 0));
  CHECK(double(end.velocity) == Approx(double(end2.velocity)));
  CHECK(end.id == 3);
  auto last = [](Array f) { return scan(kick, State{0.0, f(0)}, f).first.position; };
  auto last2 = [](Array f) { return unrolled(State{0.0, f(0)}, f).first.position; };
  CHECK(allclose(grad(last)(forces), grad(last2)(forces), 1e-14, 0));
  CHECK(allclose(jit(grad(last))(forces), grad(last2)(forces), 1e-14, 0));
  CHECK(allclose(hessian([&](Array f) { return sin(last(f * f)); })(forces),
                 hessian([&](Array f) { return sin(last2(f * f)); })(forces), 1e-12, 1e-15));
  CHECK(allclose(jvp(last, forces, forces).second, jvp(last2, forces, forces).second, 1e-14, 0));
  Array batch = stack({forces, 2 * forces, forces * forces});
  CHECK(allclose(vmap(grad(last))(batch), vmap(grad(last2))(batch), 1e-14, 0));
  check_grads(last, forces);
}

TEST_CASE("control: scan, its options") {
  auto count = [](Array c) { return std::pair(c + 1, c); };
  auto [c, ys] = scan(count, 0.0, None, {.length = 4});
  CHECK(double(c) == 4);
  CHECK(list(ys) == V{0, 1, 2, 3});
  auto with_none = [](Array a, NoneType) { return std::pair(a * 2, None); };
  CHECK(double(scan(with_none, 1.0, None, {.length = 5}).first) == 32);
  auto running = [](Array s, Array x) { return std::pair(s + x, s + x); };
  Array xs = {1., 2., 3., 4., 5.};
  CHECK(list(scan(running, 0.0, xs).second) == V{1, 3, 6, 10, 15});
  CHECK(list(scan(running, 0.0, xs, {.reverse = true}).second) == V{15, 14, 12, 9, 5});
  CHECK(list(scan(running, 0.0, xs, {.unroll = 2}).second) == V{1, 3, 6, 10, 15});
  auto [zero, none] = scan(running, 7.0, zeros({0}, f64));
  CHECK(double(zero) == 7);
  CHECK(none.shape() == Shape{0});
  // Trees on all sides.
  auto body = [](std::tuple<Array, Array> t, std::pair<Array, Array> x) {
    auto [a, b] = t;
    return std::pair(std::tuple(a + x.first, b * x.second), std::vector{a, b});
  };
  auto [t, v] = scan(body, std::tuple(0.0, 1.0), std::pair(xs, xs));
  CHECK(double(std::get<1>(t)) == 120);
  CHECK(list(v.at(1)) == V{1, 1, 2, 6, 24});
}

TEST_CASE("control: numbers in a carry take the body's dtype") {
  Array xs = {1., 2.};
  CHECK(double(scan([](Array c, Array x) { return std::pair(c + x, None); }, 0, xs).first) == 3);
  CHECK(scan([](auto c, Array x) { return std::pair(std::pair(c.first + x, c.second + 1), None); },
             std::pair(0, 0), xs)
            .first.second.dtype() == i32);
  CHECK(double(while_loop([](Array x) { return x < 10; }, [](Array x) { return x * 1.5; }, 1)) ==
        Approx(11.390625));
  CHECK(fori_loop(
            0, 3, [](Array, Array c) { return c * 0.5; }, 8)
            .dtype() == f64);
}

TEST_CASE("control: scan with checkpoints") {
  Array forces = sin(arange(11.0));
  auto last = [](std::int64_t k, bool reverse) {
    return [=](Array f) {
      auto [end, path] = scan(kick, State{0.0, f(0)}, f, {.reverse = reverse, .checkpoint = k});
      return end.position * end.velocity + sum(path * path);
    };
  };
  for (bool reverse : {false, true})
    for (std::int64_t k : {1, 2, 3, 4, 5, 11, 20}) {
      CAPTURE(reverse, k);
      CHECK(allclose(last(k, reverse)(forces), last(0, reverse)(forces), 1e-14, 0));
      CHECK(allclose(grad(last(k, reverse))(forces), grad(last(0, reverse))(forces), 1e-13, 1e-15));
    }
  CHECK(allclose(jit(grad(last(4, false)))(forces), grad(last(0, false))(forces), 1e-13, 1e-15));
}

TEST_CASE("control: the body of a scan may close over what is differentiated") {
  Array xs = {1., 2., 3.};
  auto f = [xs](Array a) {
    return scan([a](Array c, Array x) { return std::pair(sin(c * a) + x, c); }, a, xs).first;
  };
  auto g = [xs](Array a) {
    Array c = a;
    for (int i = 0; i < 3; ++i) c = sin(c * a) + xs(i);
    return c;
  };
  CHECK(double(grad(f)(0.7)) == Approx(double(grad(g)(0.7))).epsilon(1e-13));
  CHECK(double(grad(grad(f))(0.7)) == Approx(double(grad(grad(g))(0.7))).epsilon(1e-13));
  CHECK(allclose(vmap(grad(f))(Array{0.1, 0.7}), vmap(grad(g))(Array{0.1, 0.7}), 1e-13, 0));
}

// ---- while_loop, fori_loop

TEST_CASE("control: while_loop") {
  auto halve = [](Array x) {
    return while_loop([](Array v) { return v > 1; }, [](Array v) { return v / 2; }, x);
  };
  CHECK(double(halve(100.0)) == 0.78125);
  CHECK(double(jit(halve)(100.0)) == 0.78125);
  CHECK(double(jvp(halve, 100.0, 1.0).second) == 1. / 128);
  CHECK(double(jacfwd(halve)(100.0)) == 1. / 128);
  CHECK(list(vmap(halve)(Array{100., 1., 3., -5.})) == V{0.78125, 1, 0.75, -5});
  CHECK(list(jit(vmap(halve))(Array{100., 1., 3., -5.})) == V{0.78125, 1, 0.75, -5});
  CHECK(list(vmap([&](Array x) { return jvp(halve, x, 1.0).second; })(Array{100., 1., 3.})) ==
        V{1. / 128, 1, 0.25});
  // A carry that is a tree, a limit that is captured.
  Array limit = 20.0;
  auto [n, s] = while_loop(
      [limit](const std::pair<Array, Array>& c) { return c.second < limit; },
      [](std::pair<Array, Array> c) { return std::pair(c.first + 1, c.second + c.first); },
      std::pair(Array(0), Array(0.0)));
  CHECK(int(n) == 7);
  CHECK(double(s) == 21);
}

TEST_CASE("control: while_loop in reverse mode") {
  auto root = [](auto options) {  // Newton's method
    return [options](Array a) {
      return while_loop([a](Array x) { return abs(x * x - a) > 1e-12; },
                        [a](Array x) { return 0.5 * (x + a / x); }, a, options);
    };
  };
  CHECK(double(root(WhileOptions{})(2.0)) == Approx(std::sqrt(2.)));
  auto bounded = root(WhileOptions{.max_steps = 20});
  CHECK(double(bounded(2.0)) == Approx(std::sqrt(2.)));
  CHECK(double(grad(bounded)(2.0)) == Approx(0.5 / std::sqrt(2.)));
  CHECK(double(jit(grad(bounded))(2.0)) == Approx(0.5 / std::sqrt(2.)));
  CHECK(list(vmap(grad(bounded))(Array{2., 9.}))[1] == Approx(1. / 6));
  CHECK(double(grad(grad(bounded))(2.0)) == Approx(-0.25 * std::pow(2., -1.5)));
  CHECK_THAT(message([&] { grad(root(WhileOptions{}))(2.0); }),
             Contains("while_loop") && Contains("max_steps"));
}

TEST_CASE("control: fori_loop") {
  auto power = [](int n) {
    return [n](Array x) {
      return fori_loop(
          0, n, [x](Array, Array c) { return c * x; }, 1.0);
    };
  };
  CHECK(double(power(5)(2.0)) == 32);
  CHECK(double(grad(power(5))(2.0)) == 80);
  CHECK(double(grad(grad(power(5)))(2.0)) == 160);
  CHECK(double(power(0)(2.0)) == 1);
  CHECK(int(fori_loop(
            3, 7, [](Array i, Array c) { return c + i; }, 0)) == 18);
  CHECK(int(fori_loop(
            7, 3, [](Array i, Array c) { return c + i; }, 0)) == 0);
  CHECK(fori_loop(
            0L, 2L, [](Array i, Array) { return i; }, 0L)
            .dtype() == i64);
  auto dynamic = jit([](Array n, Array x) {
    return fori_loop(
        0, n, [x](Array i, Array c) { return c + i * x; }, 0.0);
  });
  CHECK(double(dynamic(4, 0.5)) == 3);
  CHECK(double(dynamic(0, 0.5)) == 0);
  CHECK(double(jacfwd<1>(dynamic)(4, 0.5)) == 6);
  CHECK(list(vmap(dynamic, {.in_axes = {0, None}})(Array{1, 4, 0}, 0.5)) == V{0, 3, 0});
}

TEST_CASE("control: vmap keeps a condition for each lane") {
  auto halve = [](Array x) {
    return while_loop([](Array v) { return v > 1; }, [](Array v) { return v / 2; }, x);
  };
  CHECK(make_jaxpr(vmap(vmap(halve)))(zeros({2, 3}, f64)).to_string() ==
        R"({ lambda ; a:f64[2,3]. let
    b:f64[2,3] = while[
      body_jaxpr={ lambda ; c:f64[2,3]. let
          d:f64[2,3] = div c 2.0:f64[]
        in (d,) }
      cond_jaxpr={ lambda ; e:f64[2,3]. let
          f:bool[2,3] = gt e 1.0:f64[]
        in (f,) }
    ] a
  in (b,) })");
  const Array x = {{100., 1., 3.}, {-5., 6., 2.}};
  const V halved = {0.78125, 1, 0.75, -5, 0.75, 1}, slope = {1. / 128, 1, 0.25, 1, 0.125, 0.5};
  auto both = [&](Array v) { return jvp(halve, v, 1.0); };
  for (bool jitted : {false, true}) {
    CAPTURE(jitted);
    CHECK(list(jitted ? jit(vmap(vmap(halve)))(x) : vmap(vmap(halve))(x)) == halved);
    auto [y, dy] = jitted ? jit(vmap(vmap(both)))(x) : vmap(vmap(both))(x);
    CHECK(list(y) == halved);
    CHECK(list(dy) == slope);
    CHECK(list(jvp(vmap(vmap(halve)), x, ones({2, 3}, f64)).second) == slope);
  }
  // The condition differs along the inner axis only; a part of the carry along the outer one only.
  auto steps = [](Array limit, Array step) {
    return while_loop([limit](auto c) { return c.first < limit; },
                      [step](auto c) { return std::pair(c.first + 1, c.second + step); },
                      std::pair(Array(0.0), Array(0.0)))
        .second;
  };
  auto table = vmap(vmap(steps, {.in_axes = {0, None}}), {.in_axes = {None, 0}});
  CHECK(list(table(Array{1., 0., 3.}, Array{1., 10.})) == V{1, 0, 3, 10, 0, 30});
  CHECK(list(jit(table)(Array{1., 0., 3.}, Array{1., 10.})) == V{1, 0, 3, 10, 0, 30});
  // Lanes that have finished still take part in what mixes lanes.
  auto share = [](Array v) {
    return while_loop([](Array a) { return a < 10; }, [](Array a) { return a + psum(a, "i"); }, v);
  };
  CHECK(list(vmap(share, {.axis_name = "i"})(Array{1., 4., 20.})) == V{26, 29, 20});
  CHECK(list(jit(vmap(share, {.axis_name = "i"}))(Array{1., 4., 20.})) == V{26, 29, 20});
}

TEST_CASE("control: vmap keeps an index for each lane") {
  auto f = [](Array x, Array w) {
    return cond(
        x > 0, [w](Array v) { return log(v) + sum(w); }, [](Array v) { return -v; }, x);
  };
  const Array x = {1., -2., 3., 0.}, w = {0.5, 1.5, 2.};
  const VmapOptions over_x{.in_axes = {0, None}};
  const std::string text = make_jaxpr(vmap(f, over_x))(x, w).to_string();
  CHECK_THAT(text, Contains("cond[") && !Contains("select_n"));
  const Array want = {4., 2., 4 + std::log(3.), 0.};
  const V slope = {1, -1, 1. / 3, -1};
  CHECK(allclose(vmap(f, over_x)(x, w), want, 1e-15));
  CHECK(allclose(jit(vmap(f, over_x))(x, w), want, 1e-15));
  // Derivatives before and after; a lane that does not take a branch gives it no NaN.
  auto total = [&](Array a, Array b) { return sum(vmap(f, over_x)(a, b)); };
  auto [dx, dw] = grad<0, 1>(total)(x, w);
  CHECK(list(dx) == slope);
  CHECK(list(dw) == V{2, 2, 2});
  auto [jx, jw] = jit(grad<0, 1>(total))(x, w);
  CHECK(list(jx) == slope);
  CHECK(list(jw) == list(dw));
  CHECK(list(vmap(grad<0>(f), over_x)(x, w)) == slope);
  CHECK(list(jvp(vmap(f, over_x), std::tuple(x, w), std::tuple(ones({4}, f64), zeros({3}, f64)))
                 .second) == slope);
  CHECK(allclose(hessian<0>(total)(x, w), diag(Array{-1., 0., -1. / 9, 0.}), 1e-15, 1e-15));
  // Two axes; the shared operand follows the outer one.  With four entries its shape begins as the index's does.
  for (std::int64_t n : {3, 4}) {
    CAPTURE(n);
    const Array ws = sin(arange(2. * double(n))).reshape({2, n});
    auto table = [&](Array a, Array b) { return vmap(vmap(f, over_x))(a, b); };
    auto loop = [&](Array a, Array b) {
      std::vector<Array> rows;
      for (int i = 0; i < 2; ++i) {
        std::vector<Array> row;
        for (int k = 0; k < 4; ++k) row.push_back(f(a(i, k), b(i)));
        rows.push_back(stack(row));
      }
      return stack(rows);
    };
    const Array xs = stack({x + 0.5, 0.25 - x});
    CHECK(allclose(table(xs, ws), loop(xs, ws), 1e-15, 0));
    CHECK(allclose(jit(table)(xs, ws), loop(xs, ws), 1e-15, 0));
    auto sum_of = [](auto g) { return [g](Array a, Array b) { return sum(sin(g(a, b))); }; };
    auto [a1, b1] = grad<0, 1>(sum_of(table))(xs, ws);
    auto [a2, b2] = grad<0, 1>(sum_of(loop))(xs, ws);
    CHECK(allclose(a1, a2, 1e-14, 1e-15));
    CHECK(allclose(b1, b2, 1e-14, 1e-15));
  }
  // Collectives mix lanes: such branches are computed for all.
  auto mixed = [](Array v) {
    return cond(
        v > 0, [](Array a) { return a / psum(a, "i"); }, [](Array a) { return a; }, v);
  };
  CHECK(list(vmap(mixed, {.axis_name = "i"})(Array{1., -3., 6.})) == V{0.25, -3, 1.5});
  // Linear maps are transposed lane by lane.
  const Array which = {1, 0, 7};
  auto linear = [which](Array v, Array u) {
    return vmap(
        [](Array i, Array a, Array b) {
          return cond(
              i, [](Array p, Array q) { return 2 * p + q; }, [](Array p, Array) { return -p; }, a,
              b);
        },
        {.in_axes = {0, 0, None}})(which > 0, v, u);
  };
  auto [vt, ut] = linear_transpose(linear, zeros({3}, f64), Array(0.0))(Array{1., 10., 100.});
  CHECK(list(vt) == V{2, -10, 200});
  CHECK(double(ut) == 101);
}

// ---- cond, switch_

TEST_CASE("control: cond") {
  auto f = [](Array x) {
    return cond(
        x > 0, [](Array v) { return v * v; }, [](Array v) { return -v; }, x);
  };
  CHECK(double(f(3.0)) == 9);
  CHECK(double(f(-3.0)) == 3);
  CHECK(double(grad(f)(3.0)) == 6);
  CHECK(double(grad(f)(-3.0)) == -1);
  CHECK(double(jit(grad(f))(3.0)) == 6);
  CHECK(double(grad(jit(f))(-3.0)) == -1);
  CHECK(list(vmap(f)(Array{3., -3.})) == V{9, 3});
  CHECK(list(vmap(grad(f))(Array{3., -3.})) == V{6, -1});
  CHECK(list(jit(vmap(grad(f)))(Array{3., -3.})) == V{6, -1});
  CHECK(double(jvp(f, 3.0, 2.0).second) == 12);
  CHECK(double(cond(
            true, [] { return 1.0; }, [] { return 2.0; })) == 1);
  CHECK(double(cond(
            Array(false), [](Array x) { return x; }, [](Array) { return 0.0; }, 5.0)) == 0);
  auto [a, b] = cond(
      3 > 2, [](Array x, Array y) { return std::tuple(x, y); },
      [](Array x, Array y) { return std::tuple(y, x); }, 1.0, 2.0);
  CHECK(double(a) == 1);
  CHECK(double(b) == 2);
  auto s = cond(
      Array(true), [](State t) { return push(t, 1.0); }, [](State t) { return t; },
      State{0.0, 1.0, 9});
  CHECK(s.id == 9);
  CHECK(double(s.velocity) == 1.1);
}

TEST_CASE("control: the branch not taken leaves no NaN in the gradient") {
  auto f = [](Array x) {
    return cond(
        x > 0, [](Array v) { return log(v); }, [](Array) { return 0.0; }, x);
  };
  CHECK(double(grad(f)(2.0)) == 0.5);
  CHECK(double(grad(f)(-2.0)) == 0);
  CHECK(list(vmap(grad(f))(Array{2., -2., 0.})) == V{0.5, 0, 0});
  auto g = [](Array x) {
    return sum(vmap([](Array v) {
      return cond(
          v > 0, [](Array u) { return sqrt(u); }, [](Array u) { return u; }, v);
    })(x));
  };
  CHECK(list(grad(g)(Array{4., -1.})) == V{0.25, 1});
}

TEST_CASE("control: switch_") {
  auto f = [](Array i, Array x) {
    return switch_(i,
                   std::tuple([](Array v) { return v; }, [](Array v) { return v * v; },
                              [](Array) { return 7.0; }),
                   x);
  };
  CHECK(double(f(0, 3.0)) == 3);
  CHECK(double(f(1, 3.0)) == 9);
  CHECK(double(f(2, 3.0)) == 7);
  CHECK(double(f(-5, 3.0)) == 3);  // clamped
  CHECK(double(f(99, 3.0)) == 7);
  CHECK(double(jit(f)(1, 3.0)) == 9);
  CHECK(list(vmap(f, {.in_axes = {0, None}})(Array{0, 1, 2, 5}, 3.0)) == V{3, 9, 7, 7});
  CHECK(list(vmap(grad<1>(f), {.in_axes = {0, None}})(Array{0, 1, 2, 5}, 3.0)) == V{1, 6, 0, 0});
}

// ---- associative_scan, map

TEST_CASE("control: associative_scan") {
  for (int n : {1, 2, 3, 4, 5, 8, 13}) {
    CAPTURE(n);
    Array x = sin(arange(double(n)) + 1);
    auto plus = [](Array a, Array b) { return a + b; };
    CHECK(allclose(associative_scan(plus, x), cumsum(x), 1e-14, 1e-14));
    CHECK(allclose(associative_scan(plus, x, {.reverse = true}), flip(cumsum(flip(x))), 1e-14,
                   1e-14));
    // Products of 2x2 matrices do not commute.
    Array m = sin(arange(4.0 * n)).reshape({n, 2, 2});
    auto times = [](Array a, Array b) { return matmul(a, b); };
    Array got = associative_scan(times, m), p = m(0);
    for (int i = 0; i < n; ++i) {
      if (i > 0) p = matmul(p, m(i));
      CHECK(allclose(got(i), p, 1e-13, 1e-14));
    }
    check_grads([&](Array v) { return associative_scan(times, v); }, m, {.order = 1});
  }
  CHECK(associative_scan([](Array a, Array b) { return a + b; }, zeros({0}, f64)).shape() ==
        Shape{0});
  Array rows = {{1., 2., 3.}, {4., 5., 6.}};
  CHECK(list(associative_scan([](Array a, Array b) { return a * b; }, rows, {.axis = -1})) ==
        V{1, 2, 6, 4, 20, 120});
  // A linear recurrence y[i] = a[i] y[i-1] + b[i], as a tree.
  using T = std::pair<Array, Array>;
  auto compose = [](T f, T g) { return T(g.first * f.first, g.first * f.second + g.second); };
  Array a = {0.5, 2., -1., 0.25}, b = {1., 2., 3., 4.};
  Array y = associative_scan(compose, T(a, b)).second;
  double want = 0;
  for (int i = 0; i < 4; ++i) {
    want = list(a)[std::size_t(i)] * want + list(b)[std::size_t(i)];
    CHECK(list(y)[std::size_t(i)] == Approx(want));
  }
}

TEST_CASE("control: map") {
  Array xs = {1., 2., 3.};
  CHECK(list(jaxpp::map([](Array x) { return x * x; }, xs)) == V{1, 4, 9});
  auto [a, b] =
      jaxpp::map([](std::pair<Array, Array> p) { return std::pair(p.first + p.second, p.first); },
                 std::pair(xs, xs));
  CHECK(list(a) == V{2, 4, 6});
  CHECK(list(b) == V{1, 2, 3});
  CHECK(list(grad([](Array v) { return sum(jaxpp::map([](Array x) { return x * x; }, v)); })(xs)) ==
        V{2, 4, 6});
}

// ---- Misuse

TEST_CASE("control: carries and branches must agree") {
  Array xs = {1., 2.};
  CHECK_THAT(message([&] {
               scan([](Array c, Array x) { return std::pair(stack({c, x}), x); }, Array(0.0), xs);
             }),
             Contains("scan: carry 0 goes in as f64[] and comes out as f64[2].") &&
                 Contains("at control_test.cc:"));
  CHECK_THAT(message([&] {
               scan([](Array c, Array) { return std::pair(c.astype(f32), c); }, Array(0.0), xs);
             }),
             Contains("scan: carry 0 goes in as f64[] and comes out as f32[]."));
  CHECK_THAT(message([&] {
               scan(
                   [](std::vector<Array> c, Array x) {
                     c.push_back(x);
                     return std::pair(c, x);
                   },
                   std::vector<Array>{0.0}, xs);
             }),
             Contains("scan: the body returns a carry of another structure"));
  CHECK_THAT(message([&] {
               scan(
                   [](State s, Array) {
                     ++s.id;
                     return std::pair(s, None);
                   },
                   State{0.0, 1.0}, xs);
             }),
             Contains("scan: the body returns a carry of another structure"));
  CHECK_THAT(
      message([&] { scan([](Array c, Array) { return std::pair(c, c); }, 0.0, Array(1.0)); }),
      Contains("scan: xs 0 is f64[]; it needs a leading axis to loop over."));
  CHECK_THAT(message([&] { scan([](Array c) { return std::pair(c, c); }, 0.0, None); }),
             Contains("scan: the number of iterations is unknown."));
  CHECK_THAT(
      message([&] {
        scan([](Array c, auto) { return std::pair(c, c); }, 0.0, std::pair(xs, Array{1., 2., 3.}));
      }),
      Contains("scan: xs 1 is f64[3]; the loop has 2 iterations."));
  CHECK_THAT(
      message([&] { while_loop([](Array x) { return x; }, [](Array x) { return x; }, 1.0); }),
      Contains("while_loop: the condition must return one bool[], it returns f64[]."));
  CHECK_THAT(
      message([&] {
        while_loop([](Array) { return true; }, [](Array x) { return stack({x, x}); }, Array(1.0));
      }),
      Contains("while_loop: carry 0 goes in as f64[] and comes out as f64[2]."));
  CHECK_THAT(
      message([&] {
        cond(
            xs(0) > 0, [](Array x) { return x; }, [](Array x) { return sum(x); }, xs);
      }),
      Contains("cond: the branches return different types: (f64[2]) if true, (f64[]) if false.") &&
          Contains("at control_test.cc:"));
  CHECK_THAT(message([&] {
               cond(
                   xs, [](Array x) { return x; }, [](Array x) { return x; }, xs);
             }),
             Contains("cond: the predicate must be a bool or integer scalar, got f64[2]."));
  CHECK_THAT(message([&] {
               cond(
                   xs(0) > 0, [](Array x) { return std::pair(x, 1); },
                   [](Array x) { return std::pair(x, 2.0); }, xs);
             }),
             Contains("cond: the branches return different types: (f64[2], i32[]) if true, "
                      "(f64[2], f64[]) if false."));
  CHECK_THAT(message([&] {
               cond(
                   xs(0) > 0, [](State s) { return s; },
                   [](State s) {
                     ++s.id;
                     return s;
                   },
                   State{0.0, 1.0});
             }),
             Contains("cond: the branches return different structures or static values"));
}
