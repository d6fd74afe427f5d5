// api_test.cc -- the transforms as users write them: arguments, results, nesting, caching, and
// what stays usable when something throws.
#include <pthread.h>
#include <catch2/catch.hpp>
#include <cmath>
#include <thread>
#include "jaxpp/jaxpp.h"
#include "message.h"

using namespace jaxpp;
using Catch::Matchers::Contains;

namespace {

struct Layer {
  Array w, b;
};
struct Mlp {
  Layer hidden, out;
  int width = 64;
};
Array mse(const Mlp& m, Array x, Array y) {
  Array h = tanh(matmul(x, m.hidden.w) + m.hidden.b);
  return mean(square(matmul(h, m.out.w) + m.out.b - y));
}
Array cube(Array x) { return x * x * x; }
auto wave = [](Array x) { return sin(x) * x; };

std::vector<double> list(const Array& a) { return a.to_vector(); }
using V = std::vector<double>;
bool idle() {  // no transform is in progress
  return !internal::context.trace && !internal::context.rule_loc && !internal::context.axes &&
         !internal::trail;
}

}  // namespace

// ---- Arguments

TEST_CASE("api: grad of anything callable, to any order") {
  const double c = std::cos(2.), s = std::sin(2.);
  CHECK(double(grad(wave)(2.0)) == Approx(2 * c + s));
  CHECK(double(grad(grad(wave))(2.0)) == Approx(2 * c - 2 * s));
  CHECK(double(grad(grad(grad(wave)))(2.0)) == Approx(-3 * s - 2 * c));
  CHECK(double(grad(cube)(2.0)) == 12);
  CHECK(double(grad(&cube)(2.0)) == 12);
  CHECK(double(grad([](auto x) { return x * x; })(2.0)) == 4);
  CHECK(double(grad([](const Array& x) { return x * x; })(2.0)) == 4);
  CHECK(double(grad([](Array& x) { return x * x; })(2.0)) == 4);
  CHECK(double(grad([](auto&& x) { return x * x; })(2.0)) == 4);
  CHECK(double(grad([](Array x) noexcept { return x * x; })(2.0)) == 4);
  CHECK(double(grad([](Array) { return 3.0; })(2.0)) == 0);  // a constant
  struct Power {
    int n;
    Array operator()(Array x) const { return pow(x, double(n)); }
  };
  CHECK(double(grad(Power{3})(2.0)) == Approx(12));
}

TEST_CASE("api: dtypes of numbers that are promoted") {
  CHECK(grad(wave)(2.0).dtype() == f64);
  CHECK(grad(wave)(2.f).dtype() == f32);
  CHECK(grad([](Array x) { return 2.0 * x; })(Array(2.f)).dtype() == f32);
  CHECK(jit([](auto n) { return n; })(3).dtype() == i32);
  CHECK(jit([](auto n) { return n; })(3L).dtype() == i64);
  CHECK(jit([](auto n) { return n; })(true).dtype() == b1);
}

TEST_CASE("api: parameter types say what is traced") {
  auto f = [](Array x, Array y, double scale) { return sum(x * x * y) * scale; };
  CHECK(double(grad(f)(3.0, 4.0, 0.5)) == 12);
  CHECK(double(grad<1>(f)(3.0, 4.0, 0.5)) == 4.5);
  auto [gx, gy] = grad<0, 1>(f)(3.0, 4.0, 0.5);
  CHECK(double(gx) == 12);
  CHECK(double(gy) == 4.5);
  auto [last] = std::tuple(grad<-2>(f)(3.0, 4.0, 0.5));
  CHECK(double(last) == 4.5);
  // Looked through: jit(grad(f)) takes what f takes.
  auto g = jit(grad(f));
  CHECK(double(g(3.0, 4.0, 0.5)) == 12);
  CHECK(double(g(3.0, 4.0, 2)) == 48);
  CHECK(double(g(1.0, 4.0, 2.0)) == 16);
  CHECK(g.cache_size() == 2);  // one for each scale
}

TEST_CASE("api: a pair is a value and something else") {
  auto f = [](Array x) {
    Array y = sin(x);
    return std::pair(y * y, std::tuple(y, 3, Layer{x, Array()}));
  };
  auto [value, aux, g] = value_and_grad(f)(1.0);
  const double s = std::sin(1.);
  CHECK(double(value) == Approx(s * s));
  CHECK(double(std::get<0>(aux)) == Approx(s));
  CHECK(std::get<1>(aux) == 3);
  CHECK(double(std::get<2>(aux).w) == 1);
  CHECK_FALSE(std::get<2>(aux).b.defined());
  CHECK(double(g) == Approx(2 * s * std::cos(1.)));
  auto [g2, aux2] = grad(f)(1.0);
  CHECK(double(g2) == double(g));
  CHECK(std::get<0>(aux2).concrete());
}

TEST_CASE("api: complex gradients") {
  Array z = std::complex<double>(3, 4);
  auto c = grad([](Array x) { return square(abs(x)); })(z).item<std::complex<double>>();
  CHECK(c.real() == Approx(6));
  CHECK(c.imag() == Approx(-8));
  auto h =
      grad([](Array x) { return x * x; }, {.holomorphic = true})(z).item<std::complex<double>>();
  CHECK(h.real() == Approx(6));
  CHECK(h.imag() == Approx(8));
}

// ---- Forward mode, vjp, linear maps

TEST_CASE("api: jvp, bare or in tuples") {
  auto f = [](Array x, Array z) { return sum(sin(x) * z); };
  auto [y, dy] = jvp(f, std::tuple(1.0, 2.0), std::tuple(1.0, 0.0));
  CHECK(double(y) == Approx(2 * std::sin(1.)));
  CHECK(double(dy) == Approx(2 * std::cos(1.)));
  auto [y1, dy1] = jvp(wave, Array{1., 2.}, Array{1., 0.});
  CHECK(list(dy1)[0] == Approx(std::sin(1.) + std::cos(1.)));
  CHECK(list(dy1)[1] == 0);
  // A number as a tangent takes the type of its primal.
  CHECK(jvp(wave, Array(1.f), 1.0).second.dtype() == f32);
  // Integers and static values carry none, whatever stands in their place.
  auto g = [](Array x, Array n, int k) { return std::pair(x * n * k, n); };
  auto [out, tangent] = jvp(g, std::tuple(2.0, 3, 5), std::tuple(1.0, 7, 11));
  CHECK(double(out.first) == 30);
  CHECK(double(tangent.first) == 15);
  CHECK(tangent.second.dtype() == i32);
  CHECK(int(tangent.second) == 0);
  // A null tangent is a zero.
  CHECK(double(jvp(f, std::tuple(1.0, 2.0), std::tuple(Array(), 1.0)).second) ==
        Approx(std::sin(1.)));
  CHECK(double(jvp([](Array) { return 3.0; }, 1.0, 1.0).second) == 0);
}

TEST_CASE("api: vjp can be pulled back again, linearize pushed again") {
  int runs = 0;
  auto f = [&](Array x, Array n, Array y) {
    ++runs;
    return std::tuple(x * y, n, sin(x));
  };
  auto [out, pullback] = vjp(f, 2.0, 3, 5.0);
  CHECK(int(std::get<1>(out)) == 3);
  auto [a, n, b] = pullback(std::tuple(1.0, Array(), 0.0));
  CHECK(double(a) == 5);
  CHECK(double(b) == 2);
  CHECK(int(n) == 0);
  auto [a2, n2, b2] = pullback(std::tuple(0.0, 7, 1.0));
  CHECK(double(a2) == Approx(std::cos(2.)));
  CHECK(double(b2) == 0);
  CHECK(runs == 1);
  auto [y, push] = linearize(f, 2.0, 3, 5.0);
  CHECK(runs == 2);
  CHECK(double(std::get<0>(push(1.0, 0, 0.0))) == 5);
  CHECK(double(std::get<0>(push(0.0, 0, 1.0))) == 2);
  CHECK(double(std::get<2>(push(2.0, 0, 1.0))) == Approx(2 * std::cos(2.)));
  CHECK(runs == 2);
  // Both are functions like any other: they can be batched and differentiated.
  auto [yw, pull] = vjp(wave, Array{1., 2.});
  Array rows = vmap(pull)(eye(2, f64));
  CHECK(list(rows)[1] == 0);
  CHECK(double(grad([&, p = pull](Array ct) { return sum(p(ct)); })(Array{1., 1.})(0)) ==
        Approx(list(rows)[0]));
}

TEST_CASE("api: linear_transpose") {
  Array m = {{1., 2., 3.}, {4., 5., 6.}};
  auto f = [m](Array x) { return matmul(m, x); };
  CHECK(list(linear_transpose(f, zeros({3}, f64))(Array{1., 10.})) == V{41, 52, 63});
  auto [a, b] = linear_transpose([](Array x, Array y) { return 2.0 * x - y; }, 1.0, 1.0)(3.0);
  CHECK(double(a) == 6);
  CHECK(double(b) == -3);
  CHECK_THROWS_AS(linear_transpose([](Array x) { return sin(x); }, 1.0)(1.0), Error);
}

// ---- vmap

TEST_CASE("api: vmap, axes in and out") {
  Array m = {{1., 2., 3.}, {4., 5., 6.}};
  auto id = [](Array x) { return x; };
  CHECK(vmap(id)(m).shape() == Shape{2, 3});
  CHECK(list(vmap([](Array x) { return sum(x); })(m)) == V{6, 15});
  CHECK(list(vmap([](Array x) { return sum(x); }, {.in_axes = 1})(m)) == V{5, 7, 9});
  CHECK(list(vmap([](Array x) { return sum(x); }, {.in_axes = -1})(m)) == V{5, 7, 9});
  CHECK(list(vmap([](Array x) { return sum(x); }, {.in_axes = {-1}})(m)) == V{5, 7, 9});
  CHECK(vmap(id, {.in_axes = 1})(m).shape() == Shape{3, 2});
  CHECK(vmap(id, {.in_axes = 1, .out_axes = 1})(m).shape() == Shape{2, 3});
  CHECK(vmap(id, {.out_axes = -1})(m).shape() == Shape{3, 2});
  auto scaled =
      vmap([](Array x, Array a) { return sin(a * x); }, {.in_axes = {0, None}})(Array{1., 2.}, 2.0);
  CHECK(list(scaled)[1] == Approx(std::sin(4.)));
  auto [a, b, c] =
      vmap([](Array x) { return std::tuple(x, Array(7.0), 2 * x); }, {.out_axes = {1, None, 0}})(m);
  CHECK(a.shape() == Shape{3, 2});
  CHECK(b.shape() == Shape{});
  CHECK(c.shape() == Shape{2, 3});
  auto leafwise = vmap([](Array x) { return Layer{x, 2 * x}; }, {.out_axes = {0, 1}})(m);
  CHECK(leafwise.w.shape() == Shape{2, 3});
  CHECK(leafwise.b.shape() == Shape{3, 2});
  auto nested = vmap([](Array x) { return std::pair(Layer{x, x}, x); }, {.out_axes = {1, 0}})(m);
  CHECK(nested.first.b.shape() == Shape{3, 2});
  CHECK(nested.second.shape() == Shape{2, 3});
  CHECK(list(vmap([](Array x, double k) { return k * x; })(Array{1., 2.}, 3)) == V{3, 6});
  CHECK(list(vmap([](Array) { return 1.0; })(Array{5., 6.})) == V{1, 1});
}

TEST_CASE("api: vmap, axes of trees") {
  Layer l{Array{{1., 2.}, {3., 4.}}, Array{10., 20.}};
  auto f = [](Layer p) { return p.w + p.b; };
  CHECK(list(vmap(f, {.in_axes = {axes_of(Layer{0, Array()})}})(l)) == V{11, 22, 13, 24});
  CHECK(list(vmap(f, {.in_axes = {axes_of(std::pair(1, None))}})(l)) == V{11, 23, 12, 24});
  CHECK(list(vmap(f, {.in_axes = axes_of(std::array{0, 0})})(l)) == V{11, 12, 23, 24});
  auto g = vmap(
      [](Layer p, Array x) {
        return Layer{p.w * x, p.b};
      },
      {.in_axes = {axes_of(Layer{0, Array()}), None}, .out_axes = {axes_of(Layer{0, Array()})}})(
      l, 2.0);
  CHECK(g.w.shape() == Shape{2, 2});
  CHECK(list(g.b) == V{10, 20});
}

TEST_CASE("api: vmap, named axes and sizes") {
  CHECK(list(vmap([](Array x) { return x / psum(x, "i"); },
                  {.axis_name = "i"})(Array{1., 2., 5.})) == V{0.125, 0.25, 0.625});
  Array ids = vmap([](Array x) { return x + axis_index("i"); },
                   {.in_axes = None, .axis_name = "i", .axis_size = 3})(1);
  CHECK(ids.to_vector<int>() == std::vector<int>{1, 2, 3});
}

TEST_CASE("api: per-example gradients") {
  Array xs = {1., 2., 3.};
  auto f = [](Array x, Array a) { return sin(a * x); };
  Array gs = vmap(grad(f), {.in_axes = {0, None}})(xs, 2.0);
  Array hs = jit(vmap(grad(grad(f)), {.in_axes = {0, None}}))(xs, 2.0);
  for (int i = 0; i < 3; ++i) {
    CHECK(list(gs)[std::size_t(i)] == Approx(2 * std::cos(2. * (i + 1))));
    CHECK(list(hs)[std::size_t(i)] == Approx(-4 * std::sin(2. * (i + 1))));
  }
}

// ---- jit

TEST_CASE("api: a training step") {
  Mlp m{{Array{{0.5, -0.2}}, Array{0.1, 0.2}}, {Array{{-0.3}, {0.4}}, Array{0.0}}};
  Array x = {{1.5}, {-0.5}}, y = {{0.7}, {0.1}};
  auto step = jit([](Mlp p, Array in, Array out) {
    auto [loss, g] = value_and_grad(mse)(p, in, out);
    return std::pair(tree_map([](Array a, Array da) { return a - 0.1 * da; }, p, g), loss);
  });
  Array loss;
  for (int i = 0; i < 400; ++i) std::tie(m, loss) = step(std::move(m), x, y);
  CHECK(double(loss) < 1e-3);
  CHECK(m.width == 64);
  CHECK(step.cache_size() == 1);
}

TEST_CASE("api: jit is keyed on types and static values") {
  int traced = 0;
  auto f = jit([&](Array x, int k, std::string s, std::vector<double> v) {
    ++traced;
    return x * k + double(s.size()) + v.at(0);
  });
  CHECK(double(f(1.0, 2, "ab", V{1})) == 5);
  CHECK(double(f(2.0, 2, "ab", V{1})) == 7);
  CHECK(traced == 1);
  CHECK(double(f(1.0, 3, "ab", V{1})) == 6);
  CHECK(traced == 2);
  CHECK(double(f(1.0, 2, "abc", V{1})) == 6);
  CHECK(double(f(1.0, 2, "ab", V{2})) == 6);
  CHECK(list(f(Array{1., 2.}, 2, "ab", V{1})) == V{5, 7});
  CHECK(double(f(1.f, 2, "ab", V{1})) == 5);
  CHECK(traced == 6);
  auto copy = f;
  CHECK(double(copy(3.0, 3, "ab", V{1})) == 12);
  CHECK(traced == 6);
  CHECK(f.cache_size() == 6);
  CHECK_THAT(f.explain(), Contains("compiled for (f64[])") &&
                              Contains("array 0 was f64[], now f64[2]") &&
                              Contains("a static value or the structure of a container changed"));
}

TEST_CASE("api: jit returns trees with static values") {
  auto f = jit([](Mlp m, Array x) {
    return std::tuple(m, std::vector{x, 2 * x}, std::string("label"), m.width + 1);
  });
  for (int i = 0; i < 2; ++i) {
    auto [m, v, s, n] = f(Mlp{{1.0, 2.0}, {3.0, 4.0}, 5}, double(i));
    CHECK(double(m.out.b) == 4);
    CHECK(m.width == 5);
    CHECK(double(v.at(1)) == 2 * i);
    CHECK(s == "label");
    CHECK(n == 6);
  }
  auto half = jit([](Layer l) { return std::pair(Layer{Array(), l.w}, l.b); });
  for (int i = 0; i < 2; ++i) {
    auto r = half(Layer{1.0, 2.0});
    CHECK_FALSE(r.first.w.defined());
    CHECK(double(r.first.b) == 1);
    CHECK(double(r.second) == 2);
  }
  CHECK(double(half(Layer{3.0, Array(4.0)}).second) == 4);
  CHECK_FALSE(jit([](Array) { return Array(); })(1.0).defined());
  jit([](Array) {})(1.0);  // returns an empty tuple
}

TEST_CASE("api: jit and null arguments") {
  auto f = jit([](Layer l) { return l.b.defined() ? l.w + l.b : l.w; });
  CHECK(double(f(Layer{1.0, 2.0})) == 3);
  CHECK(double(f(Layer{1.0, Array()})) == 1);
  CHECK(double(f(Layer{1.0, 2.0})) == 3);
  CHECK(f.cache_size() == 2);
}

TEST_CASE("api: arguments moved in are donated, others are not") {
  auto f = jit([](Array x) { return x * 2 + 1; });
  Array x = ones({1000}, f64), keep = x;
  Array y = f(x);
  CHECK(list(x)[0] == 1);
  f(std::move(x));
  CHECK(list(keep)[0] == 1);  // there was another owner
  Array z = ones({1000}, f64);
  const void* buffer = z.data<double>();
  Array w = f(std::move(z));
  CHECK(w.data<double>() == buffer);
  CHECK(list(w)[999] == 3);
  auto not_donating = jit([](Array v) { return v * 2 + 1; }, {.donate = false});
  Array u = ones({1000}, f64);
  buffer = u.data<double>();
  Array v = not_donating(std::move(u));
  CHECK(list(v)[0] == 3);
  auto on_structs = jit([](Layer l) { return Layer{l.w + 1, l.b * 2}; });
  Layer l{ones({1000}, f64), ones({500}, f64)};
  const void *pw = l.w.data<double>(), *pb = l.b.data<double>();
  l = on_structs(std::move(l));
  CHECK(l.w.data<double>() == pw);
  CHECK(l.b.data<double>() == pb);
}

TEST_CASE("api: jit nests, and captured arrays are constants of the program") {
  Array a = {1., 2.};
  auto inner = jit([a](Array x) { return x * a; }, {.name = "inner"});
  auto outer = jit([inner](Array x) { return inner(x) + inner(2 * x); }, {.name = "outer"});
  CHECK(list(outer(1.0)) == V{3, 6});
  CHECK(list(grad([&](Array x) { return sum(outer(x)); })(1.0)) == V{9});
  CHECK(list(vmap(outer)(Array{1., 2.})) == V{3, 6, 6, 12});
  CHECK_THAT(make_jaxpr(outer)(1.0).to_string(), Contains("name=outer") && Contains("name=inner"));
  auto compiled = jit([](Array x) { return x + 1; }).compile(1.0);
  CHECK(compiled.cache_size() == 1);
  CHECK(double(compiled(2.0)) == 3);
  CHECK(compiled.cache_size() == 1);
}

TEST_CASE("api: a jitted function that throws while it is traced can be called again") {
  bool fail = true;
  auto f = jit([&](Array x) {
    Array y = sin(x);
    if (fail) throw std::runtime_error("user");
    return y * 2;
  });
  CHECK_THROWS_WITH(f(1.0), "user");
  CHECK(f.cache_size() == 0);
  CHECK(idle());
  fail = false;
  CHECK(double(f(1.0)) == Approx(2 * std::sin(1.)));
  CHECK_THROWS_AS(f(Array{1, 2})(5), Error);  // an index out of range, outside
  CHECK(idle());
}

TEST_CASE("api: jitted functions from many threads") {
  auto f = jit([](Array x, int k) { return sum(sin(x) * k); });
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 200; ++i) {
        const int n = 1 + (i + t) % 5, k = i % 3;
        const double got = double(f(full({n}, 0.5), k));
        if (std::abs(got - n * k * std::sin(.5)) > 1e-12) ++wrong;
        if (i % 20 == 0 && std::abs(double(grad([&](Array x) { return f(x, 2); })(0.5)) -
                                    2 * std::cos(.5)) > 1e-12)
          ++wrong;
      }
    });
  for (auto& t : threads) t.join();
  CHECK(wrong == 0);
  CHECK(f.cache_size() <= 16);
}

// ---- Jacobians

TEST_CASE("api: Jacobians of trees, in chunks, by either mode") {
  Array x = {1., 2., 3.};
  auto f = [](Array v) { return std::tuple(v * v, Layer{sum(v), outer(v, v)}); };
  for (int mode = 0; mode < 3; ++mode)
    for (int chunk : {0, 1, 2}) {
      const JacobianOptions o{.chunk = chunk};
      auto [a, l] = mode == 0 ? jacfwd(f, o)(x) : mode == 1 ? jacrev(f, o)(x) : jacobian(f, o)(x);
      CHECK(list(a) == V{2, 0, 0, 0, 4, 0, 0, 0, 6});
      CHECK(list(l.w) == V{1, 1, 1});
      CHECK(l.b.shape() == Shape{3, 3, 3});
      CHECK(double(l.b(0, 1, 0)) == 2);
      CHECK(double(l.b(1, 1, 1)) == 4);
    }
  Layer p{x, 2.0};
  auto g = [](Layer l) { return l.w * l.b; };
  for (auto& j : {jacfwd(g)(p), jacrev(g)(p), jacobian(g)(p)}) {
    CHECK(list(j.w) == V{2, 0, 0, 0, 2, 0, 0, 0, 2});
    CHECK(list(j.b) == V{1, 2, 3});
  }
  auto h = [](Array u, Array v) { return u * v; };
  auto [ju, jv] = jacfwd<0, 1>(h)(x, 2.0);
  CHECK(list(ju) == V{2, 0, 0, 0, 2, 0, 0, 0, 2});
  CHECK(list(jv) == V{1, 2, 3});
  CHECK(list(jacrev<1>(h)(x, 2.0)) == V{1, 2, 3});
  CHECK(jacfwd(wave)(zeros({0}, f64)).shape() == Shape{0, 0});
  CHECK(jacrev(wave)(zeros({0}, f64)).shape() == Shape{0, 0});
  CHECK(jacfwd(wave)(Array{1.f, 2.f}).dtype() == f32);
}

TEST_CASE("api: Hessians and their products") {
  Array x = {1., 2.}, v = {3., -1.};
  auto f = [](Array a) { return sum(a * a * a); };
  CHECK(list(hessian(f)(x)) == V{6, 0, 0, 12});
  CHECK(list(jacfwd(jacrev(f))(x)) == V{6, 0, 0, 12});
  CHECK(list(jacrev(jacfwd(f))(x)) == V{6, 0, 0, 12});
  CHECK(list(jacrev(jacrev(f))(x)) == V{6, 0, 0, 12});
  CHECK(list(jit(hessian(f))(x)) == V{6, 0, 0, 12});
  CHECK(list(hvp(f, x, v)) == V{18, -12});
  Layer p = hvp([](Layer l) { return sum(l.w * l.w) * l.b; }, Layer{x, 2.0}, Layer{v, 1.0});
  CHECK(list(p.w) == V{2 * 2 * 3 + 2 * 1, 2 * 2 * -1 + 2 * 2});
  CHECK(double(p.b) == 2 * (3 - 2));
  auto [a, b] =
      hvp([](Array y, Array z) { return sum(y * y) * z; }, std::tuple(x, 2.0), std::tuple(v, 1.0));
  CHECK(list(a) == list(p.w));
  CHECK(double(b) == double(p.b));
}

// ---- Custom derivatives, checkpoint

TEST_CASE("api: custom_jvp") {
  auto log1pexp =
      custom_jvp([](Array x) { return log(1 + exp(x)); },
                 [](Array x, Array dx) { return std::pair(log(1 + exp(x)), dx / (1 + exp(-x))); });
  CHECK(double(log1pexp(1.0)) == Approx(std::log(1 + std::exp(1.))));
  CHECK(double(grad(log1pexp)(800.0)) == 1);  // the derivative as it would be: inf / inf
  CHECK(double(jvp(log1pexp, 1.0, 2.0).second) == Approx(2 / (1 + std::exp(-1.))));
  CHECK(double(grad(grad(log1pexp))(0.0)) == Approx(0.25));
  CHECK(double(jit(grad(log1pexp))(800.0)) == 1);
  CHECK(double(grad(jit(log1pexp))(800.0)) == 1);
  CHECK(list(vmap(grad(log1pexp))(Array{800., 900.})) == V{1, 1});
  CHECK(list(grad([&](Array x) { return sum(vmap(log1pexp)(x)); })(Array{800., 900.})) == V{1, 1});
  // Trees, static arguments, and a rule that calls the function itself.
  auto scale = custom_jvp(
      [](Layer l, int k) {
        return Layer{l.w * k, l.b};
      },
      [](Layer l, int k, Layer d, int) {
        return std::pair(Layer{l.w * k, l.b}, Layer{d.w * (10 * k), d.b});
      });
  Layer g = grad([&](Layer l) {
    Layer s = scale(l, 3);
    return s.w + s.b;
  })(Layer{1.0, 2.0});
  CHECK(double(g.w) == 30);
  CHECK(double(g.b) == 1);
  struct Exp {
    Array operator()(Array x) const {
      return custom_jvp([](Array y) { return exp(y); },
                        [](Array y, Array dy) {
                          Array e = Exp()(y);
                          return std::pair(e, e * dy);
                        })(x);
    }
  };
  CHECK(double(grad(grad(grad(Exp())))(1.0)) == Approx(std::exp(1.)));
}

TEST_CASE("api: custom_vjp, in both modes") {
  auto clipped = custom_vjp([](Array x) { return x; }, [](Array x) { return std::pair(x, None); },
                            [](NoneType, Array ct) { return clip(ct, -1.0, 1.0); });
  CHECK(double(grad([&](Array x) { return 5 * clipped(x); })(2.0)) == 1);
  auto mul = custom_vjp([](Array x, Array y) { return x * y; },
                        [](Array x, Array y) { return std::pair(x * y, std::tuple(x, y)); },
                        [](std::tuple<Array, Array> r, Array ct) {
                          return std::tuple(10 * ct * std::get<1>(r), ct * std::get<0>(r));
                        });
  auto [a, b] = grad<0, 1>(mul)(2.0, 3.0);
  CHECK(double(a) == 30);
  CHECK(double(b) == 2);
  CHECK(double(jvp(mul, std::tuple(2.0, 3.0), std::tuple(1.0, 0.0)).second) ==
        30);  // the transpose of bwd
  CHECK(double(jacfwd(mul)(2.0, 3.0)) == 30);
  CHECK(double(jit(grad(mul))(2.0, 3.0)) == 30);
  CHECK(double(grad(jit(mul))(2.0, 3.0)) == 30);
  CHECK(list(vmap(grad(mul), {.in_axes = {0, None}})(Array{1., 2.}, 3.0)) == V{30, 30});
  CHECK(list(grad([&](Array y) {
          return sum(vmap(mul, {.in_axes = {0, None}})(Array{1., 2.}, y));
        })(3.0)) == V{3});
  // Structs in residuals; None is a zero; static arguments have no cotangent.
  auto f = custom_vjp(
      [](Layer l, int k, Array x) { return l.w * x * k; },
      [](Layer l, int k, Array x) { return std::pair(l.w * x * k, std::tuple(l, k, x)); },
      [](auto r, Array ct) {
        auto& [l, k, x] = r;
        return std::pair(Layer{ct * x * k, Array()}, None);
      });
  auto [gl, gx] = grad<0, 2>(f)(Layer{2.0, 5.0}, 7, 3.0);
  CHECK(double(gl.w) == 21);
  CHECK(double(gl.b) == 0);
  CHECK(double(gx) == 0);
}

TEST_CASE("api: checkpoint keeps values and derivatives") {
  Array w = {{0.3, -0.2}, {0.5, 0.8}}, x = {1., 2.};
  auto block = [w](Array v) { return checkpoint_name(tanh(matmul(w, sin(v))), "act"); };
  auto loss = [](auto f) { return [f](Array v) { return sum(f(f(v))); }; };
  Array want = grad(loss(block))(x);
  const std::vector<CheckpointPolicy> policies{save_nothing,
                                               save_everything,
                                               save_dots,
                                               save_dots_without_batch,
                                               save_named("act", "other"),
                                               save_dots | save_dots_without_batch,
                                               save_dots | save_named("act")};
  for (const CheckpointPolicy& p : policies) {
    auto f = loss(checkpoint(block, {.policy = p}));
    CHECK(allclose(grad(f)(x), want, 1e-14, 0));
    CHECK(allclose(jit(grad(f))(x), want, 1e-14, 0));
    CHECK(allclose(hessian(f)(x), hessian(loss(block))(x), 1e-12, 1e-14));
    CHECK(allclose(jvp(f, x, x).second, dot(want, x), 1e-14, 0));
  }
  auto count = [&](const CheckpointPolicy& p) {
    std::string s = make_jaxpr(grad(loss(checkpoint(block, {.policy = p}))))(x).to_string();
    std::size_t n = 0;
    for (auto at = s.find("sin "); at != s.npos; at = s.find("sin ", at + 1)) ++n;
    return n;
  };
  CHECK(count(save_nothing) > count(save_everything));
}

TEST_CASE("api: stop_gradient") {
  CHECK(double(grad([](Array x) { return x * stop_gradient(x); })(3.0)) == 3);
  auto [a, b] = stop_gradient(std::tuple(Array(1.0), 2.0));
  CHECK(double(a + b) == 3);
  CHECK(double(grad([](Array x) { return stop_gradient(Layer{x, x}).w * x; })(3.0)) == 3);
}

// ---- Programs

TEST_CASE("api: make_jaxpr and eval_shape") {
  auto f = [](Array x, Array y) { return sum(sin(x) * y + 2); };
  Jaxpr j = make_jaxpr(f)(Array{1., 2., 3.}, 4.0);
  CHECK_THAT(j.to_string(), Contains("sin") && Contains("f64[3]"));
  CHECK(j.in_types().size() == 2);
  const std::vector<Array> x{Array{1., 2., 3.}, 4.0};
  CHECK(double(eval_jaxpr(j, x)[0]) == double(f(x[0], x[1])));
  CHECK(double(grad([&](Array v) {
          return eval_jaxpr(j, std::vector<Array>{v, 4.0})[0];
        })(x[0])(0)) == Approx(4 * std::cos(1.)));
  CHECK(eval_shape(f)(zeros({3}), 1.f)->str() == "f32[]");
  CHECK(eval_shape([](Array a) { return Layer{a, a(0)}; })(zeros({3, 2})).at(1)->str() == "f32[2]");
  CHECK(make_jaxpr([](Layer l, int k) { return l.w * k; })(Layer{1.0, 2.0}, 3).in_types().size() ==
        2);
}

TEST_CASE("api: check_grads") {
  auto f = [](Array x, Array y) { return Layer{sin(x) * y, sum(exp(x)) * y * y}; };
  GradReport r =
      check_grads(f, std::tuple(Array{0.3, -1.2}, 0.7), {.order = 2, .modes = fwd | rev});
  CHECK(r.checks == 3);
  CHECK(r.central_difference < 1e-8);
  CHECK(r.forward_difference < 1e-5);
  CHECK(r.dot_product < 1e-14);
  CHECK(check_grads(wave, 0.5, {.order = 3}).checks == 7);
  CHECK(check_grads([](Array x) { return real(x * conj(x)) + imag(sin(x)); },
                    std::complex<double>(0.3, 0.4))
            .checks == 3);
  check_grads([](Array x, Array n) { return std::pair(x * n, n); },
              std::tuple(2.f, 3));  // float32 is tested in float64
  auto wrong = custom_jvp([](Array x) { return sin(x); },
                          [](Array x, Array dx) { return std::pair(sin(x), dx * sin(x)); });
  CHECK_THAT(
      message([&] { check_grads(wrong, 1.0); }),
      Contains("check_grads: the derivative of the function at element 0 is 0.64508984655 by the "
               "rules, 0.41420742708 by central differences") &&
          Contains("api_test.cc"));
  auto not_the_transpose =
      custom_vjp([](Array x) { return 2 * x; }, [](Array x) { return std::pair(2 * x, None); },
                 [](NoneType, Array ct) { return 3 * ct; });
  CHECK_THROWS_AS(check_grads(not_the_transpose, 1.0), Error);
}

// ---- Limits

TEST_CASE("api: a program of a million operations on a stack of 256 KB") {
  struct Result {
    double value = 0, derivative = 0, jitted = 0;
    std::string error;
  } result;
  auto body = [](void* p) -> void* {
    auto& r = *static_cast<Result*>(p);
    try {
      auto f = [](Array x) {
        for (int i = 0; i < 500000; ++i) x = sin(x) + 1;
        return x;
      };
      auto [v, d] = value_and_grad(f)(0.5);
      r.value = double(v);
      r.derivative = double(d);
      auto g = [](Array x) {
        for (int i = 0; i < 50000; ++i) x = sin(x) + 1;
        return x;
      };
      r.jitted = double(jit(grad(g))(0.5)) - double(grad(g)(0.5));
      make_jaxpr(grad(g))(0.5).check();
    } catch (const std::exception& e) {
      r.error = e.what();
    }
    return nullptr;
  };
  pthread_attr_t attr;
  pthread_attr_init(&attr);
  pthread_attr_setstacksize(&attr, 256 * 1024);
  pthread_t thread;
  REQUIRE(pthread_create(&thread, &attr, body, &result) == 0);
  pthread_join(thread, nullptr);
  pthread_attr_destroy(&attr);
  CHECK(result.error == "");
  CHECK(result.value == Approx(1.934563210752024));  // the fixed point of sin(x) + 1
  CHECK(std::abs(result.derivative) < 1e-300);
  CHECK(result.jitted == 0);
}

namespace {
// A primitive whose every rule counts, and throws at a chosen count.
int countdown = -1;
void tick() {
  if (countdown >= 0 && countdown-- == 0) throw std::runtime_error("tick");
}
const CustomPrimitive<> fragile = custom_primitive("test_fragile")
                                      .eval([](const Array& x) {
                                        tick();
                                        return x * 2;
                                      })
                                      .shape([](const Aval* x) {
                                        tick();
                                        return x;
                                      })
                                      .jvp([](const Array& x, const Array& dx) {
                                        tick();
                                        (void)x;
                                        return fragile(dx);
                                      })
                                      .transpose([](const Array& ct) {
                                        tick();
                                        return fragile(ct);
                                      });
Array nested_program(Array x) {
  auto step = [](Array c, Array v) { return std::pair(fragile(c) * v, fragile(v)); };
  auto f = [step](Array v) {
    tick();
    auto [c, ys] = scan(step, v(0), v);
    Array w = cond(
        c > 0, [](Array a) { return fragile(a); }, [](Array a) { return a; }, sum(ys));
    Array k = checkpoint([](Array a) { return fragile(sin(a)); })(w);
    return k + jit([](Array a) { return fragile(a); })(c);
  };
  return sum(vmap(grad(f))(stack({x, 2 * x}))) + grad([](Array a) { return fragile(a) * a; })(1.0);
}
}  // namespace

TEST_CASE("api: an exception at any operation leaves the library usable") {
  const Array x = {0.3, 0.7};
  countdown = -1;
  const double want = double(nested_program(x)), want_jit = double(jit(nested_program)(x));
  CHECK(want == Approx(want_jit));
  int thrown = 0;
  for (bool jitted : {false, true})
    for (int k = 0;; ++k) {
      countdown = k;
      bool ok = true;
      double got = 0;
      try {
        got = double(jitted ? jit(nested_program)(x) : nested_program(x));
      } catch (const std::runtime_error& e) {
        ok = false;
        ++thrown;
      }
      const bool done = countdown >= 0;
      countdown = -1;
      REQUIRE(idle());
      if (ok) REQUIRE(got == Approx(want));
      if (k % 7 == 0) REQUIRE(double(nested_program(x)) == want);
      if (done) break;
    }
  CHECK(thrown > 40);
  auto cached = jit(nested_program);  // one cache, hit by an exception at each operation in turn
  for (int k = 0; k < 20; ++k) {
    countdown = k;
    CHECK_THROWS(cached(x));
    countdown = -1;
  }
  CHECK(double(cached(x)) == Approx(want));
  CHECK(cached.cache_size() == 1);
}

TEST_CASE("api: a tracer that escapes is caught when it is used") {
  Array leaked;
  grad([&](Array x) {
    leaked = sin(x);
    return x * x;
  })(1.0);
  CHECK_THROWS_AS(leaked + 1, TracerLeakError);
  jit([&](Array x) {
    leaked = x;
    return x;
  })(1.0);
  CHECK_THROWS_AS(double(leaked), Error);
  CHECK(idle());
}
