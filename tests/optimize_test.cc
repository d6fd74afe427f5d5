// optimize_test.cc -- optimize.h: known solutions, derivatives of solutions, batches, and problems that have none.
//
// Expected numbers are SciPy's 1.17 with tolerances of 1e-15, where nothing else is said.
#include <catch2/catch.hpp>
#include <limits>
#include "jaxpp/jaxpp.h"

using namespace jaxpp;
using optimize::Bounds;
using optimize::Status;

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

Array rosenbrock(Array x) {
  const Array head = x(Slice(None, -1)), tail = x(Slice(1, None));
  return sum(100 * square(tail - head * head) + square(1 - head));
}
Array rosenbrock_residuals(Array x) {
  const Array head = x(Slice(None, -1)), tail = x(Slice(1, None));
  return concatenate({10 * (tail - head * head), 1 - head});
}
// Least value 0 at (3, 0.5).
Array beale(Array x) {
  const Array a = x(0), b = x(1);
  return square(1.5 - a + a * b) + square(2.25 - a + a * b * b) + square(2.625 - a + a * b * b * b);
}
// Least value 0 at 0, where the Jacobian is singular.
Array powell(Array x) {
  return Array{x(0) + 10 * x(1), std::sqrt(5.) * (x(2) - x(3)), square(x(1) - 2 * x(2)),
               std::sqrt(10.) * square(x(0) - x(3))};
}
// A decay with two outliers.
Array decay_times() { return arange(10., f64) / 3.; }
Array decay_data() {
  const Array t = decay_times();
  return (2. * exp(-0.7 * t) + 0.1 * sin(7. * t)).at(3).add(2.).at(7).add(-1.5);
}
Array decay(Array p) { return p(0) * exp(-p(1) * decay_times()) - decay_data(); }

Array logistic(Array w, Array ridge) {
  const Array i = arange(12., f64);
  const Array x = stack({ones_like(i), sin(i), cos(3. * i)}, 1);
  const Array y = ((arange(12, i32) * 7) % 5 < 2).astype(f64), z = matmul(x, w);
  return sum(logaddexp(0, z) - y * z) + ridge * sum(square(w));
}

void check_near(const Array& got, const Array& want, double tolerance = 1e-7) {
  INFO(got << " and " << want);
  CHECK(bool(allclose(got, want, tolerance, tolerance)));
}
template <class R>
Status status_of(const R& r) {
  return Status(r.status.template item<int>());
}
constexpr const char* kMinimizers[] = {"bfgs", "l-bfgs", "newton", "newton-cg"};

}  // namespace

TEST_CASE("optimize: least squares of Rosenbrock's function") {
  for (const char* method : {"lm", "gauss_newton"})
    for (const char* solver : {"cholesky", "qr", "cg"}) {
      INFO(method << " " << solver);
      const auto r = optimize::least_squares(rosenbrock_residuals, Array{-1.2, 1.},
                                             {.method = method, .solver = solver});
      INFO(r.summary());
      CHECK(r.success());
      check_near(r.x, Array{1., 1.});
      CHECK(r.initial_cost.item() == Approx(12.1));
      const auto f = optimize::least_squares(rosenbrock_residuals, Array{-1.2f, 1.f},
                                             {.method = method, .solver = solver});
      CHECK(f.x.dtype() == f32);
      CHECK(f.success());
      check_near(f.x, Array{1.f, 1.f}, 1e-3);
    }
}

TEST_CASE("optimize: NIST's curves") {  // certified values of itl.nist.gov/div898/strd
  const Array x = {77.6,  114.9, 141.1, 190.8, 239.9, 289.0, 332.8,
                   378.4, 434.8, 477.3, 536.8, 593.1, 689.1, 760.0},
              y = {10.07, 14.73, 17.94, 23.93, 29.61, 35.18, 40.02,
                   44.82, 50.76, 55.05, 61.01, 66.40, 75.47, 81.78};
  struct Curve {
    Array a, b;
  };
  const auto misra1a = [&](Curve c) { return c.a * (1. - exp(-c.b * x)) - y; };
  for (const char* method : {"lm", "gauss_newton"})
    for (const char* solver : {"cholesky", "qr", "cg"})
      for (const Curve& start : {Curve{500., 1e-4}, Curve{250., 5e-4}}) {
        const auto r = optimize::least_squares(
            misra1a, start, {.method = method, .solver = solver, .ftol = 1e-14, .xtol = 1e-12});
        INFO(method << " " << solver << " " << r.summary());
        CHECK(r.success());
        CHECK(r.x.a.item() == Approx(2.3894212918e+02).epsilon(1e-8));
        CHECK(r.x.b.item() == Approx(5.5015643181e-04).epsilon(1e-8));
        CHECK(2 * r.cost.item() == Approx(1.2455138894e-01).epsilon(1e-9));
      }

  const Array u = {-3.067, -2.981, -2.921, -2.912, -2.840, -2.797, -2.702, -2.699, -2.633, -2.481,
                   -2.363, -2.322, -1.501, -1.460, -1.274, -1.212, -1.100, -1.046, -0.915, -0.714,
                   -0.566, -0.545, -0.400, -0.309, -0.109, -0.103, 0.010,  0.119,  0.377,  0.790,
                   0.963,  1.006,  1.115,  1.572,  1.841,  2.047,  2.200},
              v = {80.574,   84.248,   87.264,   87.195,   89.076,   89.608,   89.868,   90.101,
                   92.405,   95.854,   100.696,  101.060,  401.672,  390.724,  567.534,  635.316,
                   733.054,  759.087,  894.206,  990.785,  1090.109, 1080.914, 1122.643, 1178.351,
                   1260.531, 1273.514, 1288.339, 1327.543, 1353.863, 1414.509, 1425.208, 1421.384,
                   1442.962, 1464.350, 1468.705, 1447.894, 1457.628};
  const auto thurber = [&](Array b) {
    const Array u2 = u * u, u3 = u2 * u;
    return (b(0) + b(1) * u + b(2) * u2 + b(3) * u3) / (1. + b(4) * u + b(5) * u2 + b(6) * u3) - v;
  };
  const Array certified = {1.2881396800e+03, 1.4910792535e+03, 5.8323836877e+02, 7.5416644291e+01,
                           9.6629502864e-01, 3.9797285797e-01, 4.9727297349e-02};
  for (const char* solver : {"cholesky", "qr", "cg"})
    for (const Array& start : {Array{1000., 1000., 400., 40., 0.7, 0.3, 0.03},
                               Array{1300., 1500., 500., 75., 1., 0.4, 0.05}}) {
      const auto r =
          optimize::least_squares(thurber, start, {.solver = solver, .ftol = 1e-14, .xtol = 1e-12});
      INFO(solver << " " << r.summary());
      CHECK(r.success());
      check_near(r.x / certified, ones_like(certified), 1e-7);
      CHECK(2 * r.cost.item() == Approx(5.6427082397e+03).epsilon(1e-9));
    }
}

TEST_CASE("optimize: losses and bounds") {
  const struct {
    const char* loss;
    double a, b, cost;
  } known[] = {{"linear", 2.293979520, 0.716829673, 3.26679254301},
               {"soft_l1", 2.035878567, 0.704737279, 0.66663555094},
               {"huber", 2.031911444, 0.704494839, 0.70317854448},
               {"cauchy", 2.004551168, 0.696907078, 0.19356354346},
               {"arctan", 1.997865310, 0.693529616, 0.08125494236}};
  for (const auto& k : known) {
    INFO(k.loss);
    for (const char* solver : {"cholesky", "cg"}) {
      const auto r = optimize::least_squares(
          decay, Array{1., 1.},
          {.solver = solver, .loss = k.loss, .f_scale = 0.2, .ftol = 1e-14, .xtol = 1e-12});
      INFO(r.summary());
      CHECK(r.success());
      check_near(r.x, Array{k.a, k.b}, 1e-6);
      CHECK(r.cost.item() == Approx(k.cost).epsilon(1e-9));
    }
  }
  for (const char* solver : {"cholesky", "qr", "cg"}) {
    INFO(solver);
    const optimize::LeastSquaresOptions exact{.solver = solver, .ftol = 1e-14, .xtol = 1e-12};
    const auto one =
        optimize::least_squares(decay, Array{1., 1.}, Bounds{Array{0., 0.}, Array{1.5, 5.}}, exact);
    CHECK(one.success());
    check_near(one.x, Array{1.5, 0.479620855}, 1e-6);
    CHECK(one.cost.item() == Approx(3.85878243250).epsilon(1e-9));
    const auto both = optimize::least_squares(decay, Array{1., 1.},
                                              Bounds{Array{0., 0.8}, Array{1.5, kInfinity}}, exact);
    check_near(both.x, Array{1.5, 0.8}, 1e-9);
    CHECK(both.cost.item() == Approx(4.231964967897).epsilon(1e-9));
    // A start outside is moved inside; numbers are bounds of all elements.
    const auto wide = optimize::least_squares(decay, Array{-3., 1.}, Bounds{0., kInfinity}, exact);
    check_near(wide.x, Array{2.293979520, 0.716829673}, 1e-6);
  }
  for (const double lower : {2., std::nan("")})
    CHECK_THROWS_WITH(
        optimize::least_squares(decay, Array{1., 1.}, Bounds{Array{0., lower}, Array{1., 1.}}),
        Catch::Matchers::Contains("a lower bound is above its upper bound"));
}

TEST_CASE("optimize: fits of geometry, trees of parameters") {
  // A circle through points: exact.
  struct Circle {
    Array centre, radius;
  };
  const Array angle = arange(7., f64);
  const Array points = stack({3. + 2. * cos(angle), -1. + 2. * sin(angle)}, 1);
  const auto distance = [&](Circle c) {
    return sqrt(sum(square(points - c.centre), 1)) - c.radius;
  };
  const auto circle = optimize::least_squares(distance, Circle{Array{0., 0.}, 1.});
  CHECK(circle.success());
  check_near(circle.x.centre, Array{3., -1.});
  check_near(circle.x.radius, Array(2.));

  // Two cameras that move beside a fixed one, and points: rotations as vectors, the scale is free (a singular system).
  struct Scene {
    Array turn, shift, points;
  };
  const auto project = [](const Array& turn, const Array& shift, const Array& p) {
    const Array angle2 = sum(square(turn)) + 1e-20, length = sqrt(angle2);
    const Array axis = turn / length;
    const Array q = p * cos(length) + cross(broadcast_to(axis, p.shape()), p) * sin(length) +
                    expand_dims(matmul(p, axis), 1) * axis * (1. - cos(length)) + shift;
    return q(All, Slice(0, 2)) / q(All, Slice(2, 3));
  };
  const auto images = [&](Scene s) {
    std::vector<Array> all = {project(zeros({3}, f64), zeros({3}, f64), s.points)};
    for (int i = 0; i < 2; ++i) all.push_back(project(s.turn(i), s.shift(i), s.points));
    return stack(all);
  };
  const Array n = arange(27., f64).reshape({9, 3});
  const Scene truth{Array{{0.1, -0.2, 0.05}, {-0.15, 0.1, 0.2}},
                    Array{{0.5, 0.1, 0.2}, {-0.4, 0.3, 0.1}}, sin(2. * n) + Array{0., 0., 5.}};
  const Array seen = images(truth);
  const auto misfit = [&](Scene s) { return images(s) - seen; };
  const Scene start{truth.turn + 0.05, truth.shift * 0.8, truth.points + 0.2 * cos(5. * n)};
  for (const char* solver : {"cholesky", "qr", "cg"}) {
    const auto r = optimize::least_squares(misfit, start, {.solver = solver, .gtol = 1e-10});
    INFO(solver << " " << r.summary());
    CHECK(r.success());
    CHECK(r.cost.item() < 1e-12);
    check_near(r.x.turn, truth.turn, 1e-4);
  }
}

TEST_CASE("optimize: minima") {
  for (const char* method : kMinimizers) {
    INFO(method);
    const auto r = optimize::minimize(rosenbrock, Array{-1.2, 1.}, {.method = method});
    INFO(r.summary());
    CHECK(r.success());
    check_near(r.x, Array{1., 1.});
    CHECK(r.iterations.item<int>() < 100);
    const auto f = optimize::minimize(rosenbrock, Array{-1.2f, 1.f}, {.method = method});
    INFO(f.summary());
    CHECK(f.x.dtype() == f32);
    check_near(f.x, Array{1.f, 1.f}, 2e-3);

    const Array start = tile(Array{-1.2, 1.}, {50});
    const auto many =
        optimize::minimize(rosenbrock, start, {.method = method, .max_iterations = 5000});
    INFO(many.summary());
    CHECK(many.success());
    CHECK(many.optimality.item() < 1.5e-8);

    const auto b = optimize::minimize(beale, Array{1., 1.}, {.method = method});
    INFO(b.summary());
    CHECK(b.success());
    check_near(b.x, Array{3., 0.5});

    const auto w = optimize::minimize([](Array v) { return logistic(v, Array(0.05)); },
                                      zeros({3}, f64), {.method = method});
    INFO(w.summary());
    CHECK(w.success());
    check_near(w.x, Array{-0.310402082, -0.366280819, -0.224368617});
    CHECK(w.cost.item() == Approx(8.021869739172613));

    // Powell's function: the Hessian is singular at the minimum, which is approached slowly.
    const auto p = optimize::minimize([](Array x) { return sum(square(powell(x))); },
                                      Array{3., -1., 0., 1.}, {.method = method});
    INFO(p.summary());
    CHECK(p.success());
    check_near(p.x, zeros({4}, f64), 2e-2);
    CHECK(p.cost.item() < 1e-7);
  }
  const auto p = optimize::least_squares(powell, Array{3., -1., 0., 1.});
  CHECK(p.success());
  check_near(p.x, zeros({4}, f64), 1e-2);
}

TEST_CASE("optimize: values that are known to few digits") {
  // Beside 1e6 the values near the minimum are all the same: the slopes lead on.
  for (const char* method : kMinimizers) {
    const auto r = optimize::minimize([](Array x) { return rosenbrock(x) + 1e6; }, Array{-1.2, 1.},
                                      {.method = method});
    INFO(method << " " << r.summary());
    CHECK(r.success());
    check_near(r.x, Array{1., 1.});
    CHECK(r.evaluations.item<int>() < 150);
  }
}

TEST_CASE("optimize: roots") {
  const auto h = [](Array v) {
    const Array d = v(0) - v(1);
    return Array{v(0) + 0.5 * d * d * d - 1, v(1) - 0.5 * d * d * d};
  };
  for (const char* method : {"newton", "broyden"}) {
    INFO(method);
    const auto r = optimize::root(h, zeros({2}, f64), {.method = method, .gtol = 1e-13});
    INFO(r.summary());
    CHECK(r.success());
    check_near(r.x, Array{0.841163901914, 0.158836098086}, 1e-10);
    // Rosenbrock's residuals as equations, in f32 and as a pair.
    const auto pair = [](std::pair<Array, Array> p) {
      return std::pair(10.f * (p.second - p.first * p.first), 1.f - p.first);
    };
    const auto q = optimize::root(pair, std::pair(-1.2f, 1.f), {.method = method});
    INFO(q.summary());
    CHECK(q.success());
    CHECK(q.x.first.dtype() == f32);
    check_near(stack({q.x.first, q.x.second}), Array{1.f, 1.f}, 1e-3);
  }
  const auto kepler = [](Array e) { return e - 0.3 * sin(e) - 1.; };
  const auto k = optimize::brentq(kepler, 0., 7.);
  CHECK(k.success());
  CHECK(k.x.item() == Approx(1.2880913132118377).epsilon(1e-12));
  CHECK(k.iterations.item<int>() < 12);
  const Array m = {0.5, 1., 2., 3.};
  const auto each = optimize::brentq([&](Array e) { return e - 0.3 * sin(e) - m; }, 0., m + 1.);
  CHECK(each.success());
  check_near(each.x - 0.3 * sin(each.x), m, 1e-11);
  const auto batch = vmap([](Array mean) {
    return optimize::brentq([&](Array e) { return e - 0.3 * sin(e) - mean; }, 0., 7.).x;
  })(m);
  check_near(batch, each.x, 1e-11);
}

TEST_CASE("optimize: derivatives of solutions") {
  const CheckGradsOptions order2{.order = 2, .tolerance = 2e-5};
  for (const char* solver : {"cholesky", "cg"}) {
    INFO(solver);
    const auto fit = [=](Array data) {
      const auto misfit = [&](Array p) { return p(0) * exp(-p(1) * decay_times()) - data; };
      return optimize::least_squares(misfit, Array{2., 0.7},
                                     {.solver = solver, .ftol = 0, .xtol = 1e-14, .gtol = 1e-13});
    };
    check_grads([&](Array d) { return fit(d).x; }, decay_data(), order2);
    // The derivative of the cost is that of the misfit alone.
    const auto r = fit(decay_data());
    check_near(grad([&](Array d) { return fit(d).cost; })(decay_data()),
               decay_data() - r.x(0) * exp(-r.x(1) * decay_times()), 1e-6);
    const auto second = [&](Array d) {
      return grad(
          [&](Array e) { return sum(square(grad([&](Array z) { return sum(fit(z).x); })(e))); })(d);
    };
    check_near(jit(second)(decay_data()), second(decay_data()), 1e-7);
  }
  const auto robust = [](Array scale) {
    return optimize::least_squares(
               [&](Array p) { return decay(p) * scale; }, Array{2., 0.7},
               {.loss = "cauchy", .f_scale = 0.2, .ftol = 0, .xtol = 1e-14, .gtol = 1e-13})
        .x;
  };
  check_grads(robust, Array(1.1), order2);

  // At a bound a parameter follows it.
  const auto bounded = [](Array top, Array data) {
    const auto misfit = [&](Array p) { return p(0) * exp(-p(1) * decay_times()) - data; };
    return optimize::least_squares(misfit, Array{1., 1.},
                                   Bounds{Array{0., 0.}, stack({top, Array(5.)})},
                                   {.ftol = 0, .xtol = 1e-14, .gtol = 1e-13})
        .x;
  };
  check_near(jacfwd(bounded)(1.5, decay_data())(0), Array(1.), 1e-12);
  check_grads(bounded, std::tuple(Array(1.5), decay_data()), order2);

  for (const char* method : kMinimizers) {
    INFO(method);
    const auto weights = [=](Array ridge) {
      return optimize::minimize([&](Array w) { return logistic(w, ridge); }, zeros({3}, f64),
                                {.method = method, .gtol = 1e-12})
          .x;
    };
    check_grads(weights, Array(0.05), order2);
    check_near(jit(jacrev(weights))(0.05), jacfwd(weights)(0.05), 1e-8);
  }
  for (const char* method : {"newton", "broyden"}) {
    const auto zero = [=](Array a) {
      const auto f = [&](Array v) { return Array{v(0) * v(0) + a * v(1) - 2., v(0) - v(1) * a}; };
      return optimize::root(f, Array{1., 1.}, {.method = method, .gtol = 1e-13}).x;
    };
    check_grads(zero, Array(0.7), order2);
    check_near(jit(hessian([&](Array a) { return sum(zero(a)); }))(0.7),
               hessian([&](Array a) { return sum(zero(a)); })(0.7), 1e-8);
  }
  const auto anomaly = [](Array mean, Array e) {
    return optimize::brentq([&](Array x) { return x - e * sin(x) - mean; }, 0., 7., {.xtol = 1e-15})
        .x;
  };
  check_grads(anomaly, std::tuple(Array(1.), Array(0.3)), order2);
}

TEST_CASE("optimize: jit and vmap") {
  const Array starts = {{-1.2, 1.}, {0., 0.}, {2., 3.}, {1., 1.}};
  const auto agree = [&](auto solve) {
    const auto batch = vmap(solve)(starts), compiled = jit(vmap(solve))(starts);
    for (int i = 0; i < 4; ++i) {
      const auto one = solve(starts(i)), fast = jit(solve)(starts(i));
      check_near(batch.x(i), one.x, 1e-9);
      check_near(fast.x, one.x, 1e-9);
      check_near(compiled.x(i), one.x, 1e-9);
      CHECK(batch.status(i).template item<int>() == one.status.template item<int>());
      CHECK(batch.iterations(i).template item<int>() == one.iterations.template item<int>());
    }
    CHECK(batch.summary().find("4 problems") == 0);
  };
  for (const char* solver : {"cholesky", "qr", "cg"})
    agree([=](Array x) {
      return optimize::least_squares(rosenbrock_residuals, x, {.solver = solver});
    });
  agree([](Array x) {
    return optimize::least_squares(rosenbrock_residuals, x, {.method = "gauss_newton"});
  });
  for (const char* method : kMinimizers)
    agree([=](Array x) { return optimize::minimize(rosenbrock, x, {.method = method}); });
  for (const char* method : {"newton", "broyden"})
    agree([=](Array x) { return optimize::root(rosenbrock_residuals, x, {.method = method}); });

  // Gradients of each lane.
  const auto scaled = [](Array start, Array a) {
    const auto f = [&](Array v) { return rosenbrock(v / a); };
    return sum(optimize::minimize(f, start, {.method = "newton"}).x);
  };
  check_near(vmap(grad<1>(scaled))(starts, Array{1., 2., 0.5, 1.5}), full({4}, 2.), 1e-6);
}

TEST_CASE("optimize: callbacks") {
  std::vector<double> costs;
  const auto watch = [&](const optimize::Progress& p) {
    CHECK(p.iteration == std::int64_t(costs.size()) + 1);
    CHECK(p.x.shape() == Shape{2});
    costs.push_back(p.cost);
  };
  const auto plain = optimize::least_squares(rosenbrock_residuals, Array{-1.2, 1.});
  const auto seen =
      optimize::least_squares(rosenbrock_residuals, Array{-1.2, 1.}, {.callback = watch});
  check_near(seen.x, plain.x, 1e-12);
  CHECK(std::int64_t(costs.size()) == seen.iterations.item<int>());
  CHECK(costs.back() == seen.cost.item());

  const auto once = [](const optimize::Progress& p) { return p.iteration < 2; };
  for (const char* method : kMinimizers) {
    const auto r =
        optimize::minimize(rosenbrock, Array{-1.2, 1.}, {.method = method, .callback = once});
    CHECK(status_of(r) == Status::stopped);
    CHECK(r.iterations.item<int>() == 2);
    CHECK_FALSE(r.success());
    CHECK(r.summary().find("stopped by the callback; 2 iterations") == 0);
  }
  // Of a compiled loop, too.
  int calls = 0;
  const auto compiled = jit([&](Array x) {
    return optimize::root(rosenbrock_residuals, x,
                          {.callback = [&](const optimize::Progress&) { ++calls; }});
  });
  const auto r = compiled(Array{-1.2, 1.});
  CHECK(calls == r.iterations.item<int>());
  // Of each lane, as long as it is not done.
  calls = 0;
  const auto lanes = vmap(compiled)(Array{{-1.2, 1.}, {1., 1.}, {2., 30.}});
  CHECK(calls == sum(lanes.iterations).item<int>());
  CHECK(lanes.iterations(1).item<int>() == 0);
}

TEST_CASE("optimize: problems without a solution") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (const char* method : kMinimizers) {
    INFO(method);
    // Not a number at the start.
    const auto a = optimize::minimize([](Array x) { return log(x(0)) + sum(x); }, Array{-1., 2.},
                                      {.method = method});
    CHECK(status_of(a) == Status::not_finite);
    check_near(a.x, Array{-1., 2.});
    // No lower bound: ends.
    const auto b =
        optimize::minimize([](Array x) { return -sum(exp(x)); }, Array{1., 2.}, {.method = method});
    CHECK_FALSE(b.success());
    const auto c =
        optimize::minimize(rosenbrock, Array{-1.2, 1.}, {.method = method, .max_iterations = 3});
    CHECK(status_of(c) == Status::max_iterations);
    CHECK(c.iterations.item<int>() == 3);
    // A region that is not defined is avoided.
    const auto d = optimize::minimize([](Array x) { return sum(x - log(x)); }, Array{5., 0.1},
                                      {.method = method});
    CHECK(d.success());
    check_near(d.x, Array{1., 1.});
  }
  for (const char* solver : {"cholesky", "qr", "cg"}) {
    INFO(solver);
    const auto a =
        optimize::least_squares([](Array x) { return log(x); }, Array{-1., 2.}, {.solver = solver});
    CHECK(status_of(a) == Status::not_finite);
    // A parameter without influence, and two that only their sum is known of.
    const auto b = optimize::least_squares(
        [](Array x) {
          return Array{x(0) + x(1) - 3., 2. * (x(0) + x(1)) - 6.};
        },
        Array{0., 0., 7.}, {.solver = solver});
    INFO(b.summary());
    CHECK(b.success());
    check_near(b.x, Array{1.5, 1.5, 7.});
    const auto c = optimize::least_squares(rosenbrock_residuals, Array{-1.2, 1.},
                                           {.solver = solver, .max_iterations = 2});
    CHECK(status_of(c) == Status::max_iterations);
    const auto d = optimize::least_squares(
        [](Array x) {
          return Array{x(0) + x(1) - 3., 2. * (x(0) + x(1)) - 6.};
        },
        Array{0., 0., 7.}, {.method = "gauss_newton", .solver = solver});
    CHECK(d.success());
    check_near(d.x(0) + d.x(1), Array(3.));
    // A Jacobian that is not a number.
    const auto e = optimize::least_squares([](Array x) { return sqrt(x); }, zeros({2}, f64),
                                           {.solver = solver});
    CHECK(status_of(e) == Status::not_finite);
  }
  for (const char* method : {"newton", "broyden"}) {
    INFO(method);
    // x^2 + 1 has no root; x^2 has one at which the derivative vanishes; the Jacobian is singular at the start.
    const auto a =
        optimize::root([](Array x) { return x * x + 1.; }, Array{2.}, {.method = method});
    CHECK_FALSE(a.success());
    const auto b = optimize::root([](Array x) { return x * x; }, Array{1.}, {.method = method});
    CHECK(b.success());
    const auto c = optimize::root(
        [](Array x) {
          return Array{x(0) + x(1) - 2., square(x(0)) + square(x(1)) - 2.};
        },
        Array{0., 0.}, {.method = method});
    INFO(c.summary());
    CHECK(c.iterations.item<int>() <= 600);
    const auto d = optimize::root([&](Array x) { return x * nan; }, Array{1.}, {.method = method});
    CHECK(status_of(d) == Status::not_finite);
  }
  const auto none = optimize::brentq([](Array x) { return x * x + 1.; }, -1., 1.);
  CHECK(status_of(none) == Status::no_bracket);
  CHECK(std::isnan(none.x.item()));
  CHECK(status_of(optimize::brentq([](Array x) { return x - 1.; }, 1., 4.)) == Status::gradient);
  CHECK(status_of(optimize::brentq([&](Array x) { return x * nan; }, 1., 4.)) ==
        Status::not_finite);

  // Nothing to find, and no residuals.
  const auto empty = zeros({0}, f64);
  CHECK(optimize::minimize([](Array x) { return sum(x) + 2.; }, empty).cost.item() == 2.);
  CHECK(optimize::least_squares([](Array x) { return x; }, empty).success());
  CHECK(optimize::root([](Array x) { return x; }, empty).success());
  CHECK(optimize::least_squares([](Array x) { return x(Slice(0, 0)); }, Array{1., 2.}).success());
}

TEST_CASE("optimize: what is refused") {
  const auto f = [](Array x) { return sum(square(x)); };
  const Array x = {1., 2.};
  CHECK_THROWS_WITH(optimize::minimize([](std::tuple<>) { return Array(1.); }, std::tuple<>()),
                    Catch::Contains("E90"));
  CHECK_THROWS_WITH(optimize::minimize(f, Array{1, 2}), Catch::Contains("E14"));
  CHECK_THROWS_WITH(optimize::minimize(f, x.astype(c128)), Catch::Contains("E76"));
  CHECK_THROWS_WITH(optimize::minimize(f, x, {.method = "sgd"}),
                    Catch::Contains("no method \"sgd\"") && Catch::Contains("\"newton-cg\"") &&
                        Catch::Contains("optimize_test.cc"));
  CHECK_THROWS_WITH(optimize::minimize([](Array v) { return v; }, x), Catch::Contains("E17"));
  CHECK_THROWS_WITH(optimize::minimize(f, x, {.max_iterations = -1}), Catch::Contains("E82"));
  CHECK_THROWS_WITH(optimize::least_squares(f, x, {.loss = "l1"}), Catch::Contains("E85"));
  CHECK_THROWS_WITH(
      optimize::least_squares([](std::pair<Array, Array> p) { return p; }, std::pair(x, x),
                              Bounds{std::tuple(x, x, x), std::tuple(x, x, x)}),
      Catch::Contains("E70"));
  CHECK_THROWS_WITH(optimize::root([](Array v) { return v(0); }, x),
                    Catch::Contains("1 equations of 2 unknowns"));
  CHECK_THROWS_WITH(optimize::brentq(
                        [](Array v) {
                          return stack({v, v});
                        },
                        0., 1.),
                    Catch::Contains("elementwise"));
}
