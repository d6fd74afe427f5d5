// worked_numbers_test.cc -- derivatives whose numbers are known: from textbooks on automatic
// differentiation, or closed forms evaluated here in plain C++.
#include <catch2/catch.hpp>
#include <cmath>
#include "jaxpp/jaxpp.h"

using namespace jaxpp;

namespace {
Approx near(double v) { return Approx(v).epsilon(0).margin(6e-11 * std::max(1.0, std::abs(v))); }
void check_all(const Array& got, const std::vector<double>& want, double margin = 6e-11) {
  REQUIRE(got.size() == std::int64_t(want.size()));
  auto v = got.to_vector();
  for (std::size_t i = 0; i < want.size(); ++i)
    CHECK(v[i] == Approx(want[i]).epsilon(0).margin(margin));
}
}  // namespace

TEST_CASE("worked: x1^2 + x2 at (2, 3)") {
  auto f = [](Array x1, Array x2) { return x1 * x1 + x2; };
  auto [a, b] = grad<0, 1>(f)(2.0, 3.0);
  CHECK(double(a) == 4);
  CHECK(double(b) == 1);
}

TEST_CASE("worked: sin x1 cos x2 + 0.1 (x1^2 + x2^2) at (1.2, -0.7)") {
  auto f = [](Array x1, Array x2) { return sin(x1) * cos(x2) + 0.1 * (x1 * x1 + x2 * x2); };
  CHECK(double(f(1.2, -0.7)) == near(0.9058628131));
  auto [a, b] = grad<0, 1>(f)(1.2, -0.7);
  CHECK(double(a) == near(0.5171464975));
  CHECK(double(b) == near(0.4604360644));
  auto along = [&](double s, double t) {
    return double(jvp(f, std::tuple(1.2, -0.7), std::tuple(s, t)).second);
  };
  CHECK(along(1, 0) == near(0.5171464975));
  CHECK(along(0, 1) == near(0.4604360644));
  CHECK(along(2.5, -3) == near(2.5 * double(a) - 3 * double(b)));
}

TEST_CASE("worked: x^2 at 3") {
  auto [v, d] = value_and_grad([](Array x) { return x * x; })(3.0);
  CHECK(double(v) == 9);
  CHECK(double(d) == 6);
}

TEST_CASE("worked: (x + y)(x - y) at (3, 2)") {
  auto [v, d] = value_and_grad<0, 1>([](Array x, Array y) { return (x + y) * (x - y); })(3.0, 2.0);
  CHECK(double(v) == 5);
  CHECK(double(std::get<0>(d)) == 6);
  CHECK(double(std::get<1>(d)) == -4);
}

TEST_CASE("worked: sin(x) e^y / log z at (1, 2, 3)") {
  auto f = [](Array x, Array y, Array z) { return sin(x) * exp(y) / log(z); };
  auto [v, d] = value_and_grad<0, 1, 2>(f)(1.0, 2.0, 3.0);
  CHECK(double(v) == near(5.6595728780));
  CHECK(double(std::get<0>(d)) == near(3.6339699543));
  CHECK(double(std::get<1>(d)) == near(5.6595728780));
  CHECK(double(std::get<2>(d)) == near(-1.7171884132));
}

TEST_CASE("worked: Jacobian of [x^2 + y, x y] at (1, 2)") {
  auto f = [](Array v) { return Array{v(0) * v(0) + v(1), v(0) * v(1)}; };
  Array at = {1., 2.};
  check_all(jacfwd(f)(at), {2, 1, 2, 1});
  check_all(jacrev(f)(at), {2, 1, 2, 1});
  check_all(jacobian(f)(at), {2, 1, 2, 1});
  auto g = [](Array x, Array y) { return Array{x * x + y, x * y}; };
  auto [jx, jy] = jacrev<0, 1>(g)(1.0, 2.0);
  check_all(jx, {2, 2});
  check_all(jy, {1, 1});
}

TEST_CASE("worked: Hessian of x^2 + 2xy + y^2") {
  auto f = [](Array v) { return v(0) * v(0) + 2 * v(0) * v(1) + v(1) * v(1); };
  check_all(hessian(f)(Array{0.3, -1.7}), {2, 2, 2, 2});
  check_all(hvp(f, Array{0.3, -1.7}, Array{1., 2.}), {6, 6});
}

TEST_CASE("worked: x^2 + 4y + cos^2 x at (2, 1.5)") {
  auto [v, d] = value_and_grad<0, 1>(
      [](Array x, Array y) { return x * x + 4 * y + pow(cos(x), 2); })(2.0, 1.5);
  CHECK(double(v) == Approx(10.1731782).epsilon(0).margin(5e-8));
  CHECK(double(std::get<0>(d)) == Approx(4.7568025).epsilon(0).margin(5e-8));
  CHECK(double(std::get<1>(d)) == 4);
}

TEST_CASE("worked: (y + z, A z) with y = x^2, z = sin y") {
  Array x = {1., 2., -1.}, a = {{0., 2., -1.}, {3., 1.5, 2.}};
  auto f = [a](Array v) {
    Array y = v * v, z = sin(y);
    return std::pair(y + z, matmul(a, z));
  };
  auto [value, dy] = jvp(f, x, Array{1., 3., 4.});
  check_all(dy.first, {3.0806046117, 4.1562765496, -12.3224184469});
  check_all(dy.second, {-11.3650284538, -17.1686082342});
  auto [same, pullback] = vjp(f, x);
  check_all(same.first, value.first.to_vector(), 0);
  Array g = pullback(std::pair(Array{1., .1, 3.}, Array{.4, -.3}));
  check_all(g, {2.1080604612, -0.7765585176, -8.1612092235});
  CHECK(double(dot(g, Array{2., 3., .5})) == Approx(-2.1941592420525).epsilon(0).margin(5e-13));
  check_all(pullback(std::pair(Array{1., .1, 3.}, Array{.4, -.3})), g.to_vector(),
            0);  // it can be pulled again
}

TEST_CASE("worked: A (B x)^2 in x, B and A") {
  Array x = {1., -2.}, b = {{0.5, 1.}, {2., -1.}, {0.3, 0.7}},
        a = {{1., 2., -1.}, {0.5, -0.25, 3.}};
  auto f = [](Array vx, Array vb, Array va) { return matmul(va, square(matmul(vb, vx))); };
  Array dx = {0.3, 0.1}, db = {{1., 0.}, {0., 2.}, {-1., 0.5}},
        da = {{0.1, 0.2, 0.3}, {-1., 0., 1.}};
  Array u = matmul(b, x);
  Array want = matmul(a, 2 * u * (matmul(b, dx) + matmul(db, x))) + matmul(da, u * u);
  auto [y, dy] = jvp(f, std::tuple(x, b, a), std::tuple(dx, db, da));
  check_all(dy, want.to_vector(), 1e-12);
  Array ct = {0.7, -1.3};
  Array w = 2 * u * matmul(transpose(a), ct);
  auto [y2, pullback] = vjp(f, x, b, a);
  auto [gx, gb, ga] = pullback(ct);
  check_all(gx, matmul(transpose(b), w).to_vector(), 1e-12);
  check_all(gb, outer(w, x).to_vector(), 1e-12);
  check_all(ga, outer(ct, u * u).to_vector(), 1e-12);
  auto scalar = [&](Array vx, Array vb, Array va) { return dot(ct, f(vx, vb, va)); };
  auto [hx, hb, ha] = grad<0, 1, 2>(scalar)(x, b, a);
  check_all(hx, gx.to_vector(), 1e-12);
  check_all(hb, gb.to_vector(), 1e-12);
  check_all(ha, ga.to_vector(), 1e-12);
  check_all(y2, y.to_vector(), 0);
}

TEST_CASE("worked: gradient descent") {
  auto f = [](Array x, Array y) { return (x - 2) * (x - 2) + 2 * (y - 1) * (y - 1); };
  Array x = 0.0, y = 0.0;
  for (int i = 0; i < 50; ++i) {
    auto [dx, dy] = grad<0, 1>(f)(x, y);
    x -= 0.1 * dx;
    y -= 0.1 * dy;
  }
  CHECK(double(x) == near(1.9999714550));
  CHECK(1 - double(y) == Approx(8e-12).epsilon(0).margin(5e-13));
}

TEST_CASE("worked: 3x^2 - x + 1, iterated four times") {
  auto f = [](Array x) {
    for (int i = 0; i < 4; ++i) x = 3 * x * x - x + 1;
    return x;
  };
  double x = 0.2, d = 1;
  for (int i = 0; i < 4; ++i) {
    d *= 6 * x - 1;
    x = 3 * x * x - x + 1;
  }
  auto [v, g] = value_and_grad(f)(0.2);
  CHECK(double(v) == Approx(x).epsilon(1e-14));
  CHECK(double(g) == Approx(d).epsilon(1e-14));
  CHECK(double(jvp(f, 0.2, 1.0).second) == Approx(d).epsilon(1e-14));
  CHECK(double(jit(grad(f))(0.2)) == Approx(d).epsilon(1e-14));
  auto looped = [](Array v0) {
    return fori_loop(
        0, 4, [](Array, Array c) { return 3 * c * c - c + 1; }, v0);
  };
  CHECK(double(grad(looped)(0.2)) == Approx(d).epsilon(1e-14));
}

TEST_CASE("worked: a piecewise function, as plain C++") {
  auto f = [](Array x) {
    if (x < 2) return x * x * x;
    return 3 * x;
  };
  CHECK(double(grad(f)(1.5)) == 6.75);
  CHECK(double(grad(f)(2.5)) == 3);
  CHECK(double(grad(grad(f))(1.5)) == 9);
  CHECK(double(grad(grad(f))(2.5)) == 0);
}

TEST_CASE("worked: sin(1000 x) against finite differences") {
  auto f = [](Array x) { return sin(1000 * x); };
  const double x = 0.377, exact = 1000 * std::cos(1000 * x), h = 1e-7;
  CHECK(double(grad(f)(x)) == Approx(exact).epsilon(1e-12));
  const double central = (double(f(x + h)) - double(f(x - h))) / (2 * h);
  CHECK(central == Approx(exact).epsilon(1e-5));
  CHECK(std::abs(double(grad(f)(x)) - exact) < 1e-6 * std::abs(central - exact) + 1e-9);
}

TEST_CASE("worked: nested closures do not confuse perturbations") {
  auto f = [](Array x) { return x * grad([x](Array y) { return x + y; })(1.0); };
  CHECK(double(grad(f)(1.0)) == 1);
  auto g = [](Array x) { return x * grad([x](Array y) { return x * y; })(2.0); };
  CHECK(double(grad(g)(3.0)) == 6);
  auto forward = [](Array x) { return x * jvp([x](Array y) { return x + y; }, 1.0, 1.0).second; };
  CHECK(double(jvp(forward, 1.0, 1.0).second) == 1);
  CHECK(double(grad(forward)(1.0)) == 1);
  CHECK(double(jvp(f, 1.0, 1.0).second) == 1);
  CHECK(double(jit(grad(f))(1.0)) == 1);
  CHECK(double(grad(jit(f))(1.0)) == 1);
  // d/dx of (d/dy of x^2 y^3 at y = x)  =  d/dx 3 x^4  =  12 x^3
  auto h = [](Array x) { return grad([x](Array y) { return x * x * y * y * y; })(x); };
  CHECK(double(grad(h)(2.0)) == 96);
  Array v = vmap(grad(f))(Array{1., 2., 3.});
  check_all(v, {1, 1, 1}, 0);
}

TEST_CASE("worked: psum inside a differentiated vmap") {
  auto f = [](Array x) {
    return sum(vmap([](Array e) { return square(psum(e, "i")); }, {.axis_name = "i"})(x));
  };
  check_all(grad(f)(Array{0., 1., 2.}), {18, 18, 18}, 0);
}
