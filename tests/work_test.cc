// work_test.cc -- functions from real work, through every transform: each is a line of a table.
//
// Of every function: jit against eager, forward against reverse mode, both against differences, Hessians in three
// nestings, vmap of values, gradients and Hessians against a loop over the lanes.
#include <catch2/catch.hpp>
#include <functional>
#include "jaxpp/jaxpp.h"

using namespace jaxpp;

namespace {

// One type for all: the transforms are instantiated once.
using Function = std::function<Array(Array)>;

void close(const char* what, const Array& got, const Array& want, double tolerance) {
  INFO(what);
  REQUIRE(got.shape() == want.shape());
  INFO("at most " << double(max(abs(got - want))));
  CHECK(allclose(got, want, tolerance, tolerance, true));
}
void check(const char* name, const Function& f, const Array& x, double tolerance = 1e-8) {
  INFO(name);
  const Function total = [f](Array z) { return sum(f(z)); };
  const Array y = f(x), J = jacrev(f)(x), H = hessian(total)(x);
  close("jit", jit(f)(x), y, tolerance);
  close("jacfwd", jacfwd(f)(x), J, tolerance);
  close("jit of jacrev", jit(jacrev(f))(x), J, tolerance);
  const Array u = random::normal(random::key(3), x.shape(), f64);
  const double h = 1e-5;
  close("differences", jvp(f, x, u).second, (f(x + h * u) - f(x - h * u)) / (2 * h), 1e-5);
  close("reverse over reverse", jacrev(jacrev(total))(x), H, 10 * tolerance);
  close("jit of forward over forward", jit(jacfwd(jacfwd(total)))(x), H, 10 * tolerance);
  const std::vector<Array> lanes = {x, x * 1.1, x * 0.9};
  auto each = [&](auto g) {
    std::vector<Array> out;
    for (const Array& lane : lanes) out.push_back(g(lane));
    return stack(out);
  };
  const Array all = stack(lanes);
  close("vmap", vmap(f)(all), each(f), tolerance);
  close("jit of vmap of grad", jit(vmap(grad(total)))(all), each(grad(total)), tolerance);
  close("jit of vmap of hessian", jit(vmap(hessian(total)))(all), each(hessian(total)),
        10 * tolerance);
}

Array rows(std::vector<std::vector<Array>> m) {
  std::vector<Array> r;
  for (auto& row : m) r.push_back(stack(row));
  return stack(r);
}
const Array kSome = {0.5, -0.3, 0.8, -1.2, 0.05};

}  // namespace

TEST_CASE("work: estimation", "[work]") {
  check("likelihood of a Kalman filter",
        [](Array th) {
          const Array A = rows({{1., th(0)}, {0., 1.}}), Q = eye(2, f64) * exp(th(1));
          const Array R = exp(th(2)), H = {1., 0.}, ys = sin(arange(0., 20.) * 0.3);
          struct State {
            Array m, P;
          };
          auto [last, ll] = scan(
              [=](State s, Array y) {
                const Array m = matmul(A, s.m), P = matmul(matmul(A, s.P), transpose(A)) + Q;
                const Array v = y - dot(H, m), PH = matmul(P, H), F = dot(H, PH) + R, K = PH / F;
                return std::pair(State{m + K * v, P - outer(K, PH)},
                                 -0.5 * (log(2 * 3.141592653589793 * F) + v * v / F));
              },
              State{zeros({2}, f64), eye(2, f64)}, ys);
          return ll + last.m(0);
        },
        {0.5, -1.0, -0.5});
  check("likelihood of a Gaussian process",
        [](Array th) {
          const Array x = linspace(0., 3., 6), d = expand_dims(x, 1) - x;
          const Array K = exp(th(0) - 0.5 * d * d * exp(-2. * th(1))) + eye(6, f64) * exp(th(2));
          const Array y = sin(2. * x), L = linalg::cholesky(K);
          return stack(
              {-0.5 * dot(y, linalg::solve(K, y)) - sum(log(diag(L))), linalg::slogdet(K).logdet});
        },
        {0.1, -0.2, -2.0});
  check(
      "order statistics",
      [](Array x) {
        return stack({median(x), quantile(x, 0.3), var(x), interp(0.3, sort(x), x)});
      },
      kSome);
}

TEST_CASE("work: dynamics", "[work]") {
  check(
      "Lorenz by Runge and Kutta",
      [](Array p) {
        auto f = [p](Array y) {
          return stack(
              {p(0) * (y(1) - y(0)), y(0) * (p(1) - y(2)) - y(1), y(0) * y(1) - p(2) * y(2)});
        };
        return fori_loop(
            0, 30,
            [=](Array, Array y) {
              const double h = 0.01;
              const Array a = f(y), b = f(y + h / 2 * a), c = f(y + h / 2 * b), d = f(y + h * c);
              return y + h / 6 * (a + 2 * b + 2 * c + d);
            },
            ones({3}, f64));
      },
      {10., 28., 8. / 3}, 1e-7);
  check("Hamiltonian steps, with gradients inside",
        [](Array q) {
          auto U = [](Array v) { return 0.5 * sum(v * v) + 0.1 * sum(pow(v, 4)); };
          Array p = cos(q);
          for (int i = 0; i < 3; ++i) {
            p = p - 0.05 * grad(U)(q);
            q = q + 0.1 * p;
            p = p - 0.05 * grad(U)(q);
          }
          return concatenate({q, p});
        },
        {0.5, -0.3});
  check("a rotation by its exponential",
        [](Array w) {
          const Array K = rows({{0., -w(2), w(1)}, {w(2), 0., -w(0)}, {-w(1), w(0), 0.}});
          return matmul(linalg::expm(K), Array({1., 2., 3.}));
        },
        {0.3, -0.2, 0.5});
  check(
      "a scan that branches on its data",
      [](Array x) {
        auto [last, ys] = scan(
            [](Array c, Array v) {
              const Array n = cond(
                  v > 0, [](Array a, Array b) { return a * b + sin(a); },
                  [](Array a, Array b) { return a - b * b; }, c, v);
              return std::pair(n, n * v);
            },
            Array(1.), x);
        return ys + last;
      },
      kSome);
  SECTION("a loop until a condition: forward mode") {
    auto f = [](Array o) {
      return while_loop([](Array t) { return t * t < 2.; },
                        [o](Array t) { return t + 0.3 * cos(o) * t + 0.1; }, o * 0.2);
    };
    const Array x = 0.7;
    auto [y, dy] = jvp(f, x, Array(1.));
    close("jit", jit(f)(x), y, 1e-12);
    close("vmap", vmap(f)(Array{0.7, 0.1}), stack({f(0.7), f(0.1)}), 1e-12);
    close("differences", dy, (f(x + 1e-6) - f(x - 1e-6)) / 2e-6, 1e-6);
  }
}

TEST_CASE("work: networks", "[work]") {
  check(
      "causal attention",
      [](Array x) {
        Array s = matmul(x * 0.5, transpose(sin(x))) / std::sqrt(2.);
        s = where(tri(4, 4, 0, f64) > 0, s, -1e30);
        return matmul(nn::softmax(s, -1), cos(x));
      },
      random::normal(random::key(0), {4, 2}, f64));
  check("derivatives of a network in its inputs, mapped",
        [](Array w) {
          auto net = [&](Array x) { return sum(tanh(x * w) * w); };
          return vmap([&](Array x) { return grad(net)(x) + hessian(net)(x); })(linspace(0., 1., 5));
        },
        {0.5, -0.3, 0.8});
  check("an LSTM",
        [](Array x) {
          struct State {
            Array h, c;
          };
          const Array W = random::normal(random::key(1), {8, 4}, f64) * 0.3;
          auto [last, ys] = scan(
              [=](State s, Array v) {
                const auto z = split(matmul(W, concatenate({s.h, stack({v, v})})), 4);
                const Array c = nn::sigmoid(z[1]) * s.c + nn::sigmoid(z[0]) * tanh(z[2]);
                const Array h = nn::sigmoid(z[3]) * tanh(c);
                return std::pair(State{h, c}, h);
              },
              State{zeros({2}, f64), zeros({2}, f64)}, x);
          return ravel(ys);
        },
        {0.5, -0.3, 0.8});
  check("a checkpointed function of itself",
        [](Array x) {
          auto f = checkpoint([](Array v) { return sin(sin(v) * v); });
          return f(f(x)) * linalg::norm(x);
        },
        {0.5, -0.3, 0.8});
  check(
      "log-probabilities",
      [](Array x) { return nn::logsumexp(x, 0) + nn::log_softmax(x, 1)(0) * max(x); },
      random::normal(random::key(2), {3, 3}, f64));
}

TEST_CASE("work: finance, signals, indices", "[work]") {
  check("Black and Scholes",
        [](Array p) {
          const Array S = p(0), K = p(1), s = p(2), r = p(3), T = p(4);
          const Array d = (log(S / K) + (r + 0.5 * s * s) * T) / (s * sqrt(T));
          auto N = [](Array x) { return 0.5 * erfc(-x / std::sqrt(2.)); };
          return expand_dims(S * N(d) - K * exp(-r * T) * N(d - s * sqrt(T)), 0);
        },
        {1., 1.1, 0.3, 0.02, 1.5});
  check(
      "a filter, its running sum, and a sort",
      [](Array x) {
        const Array y = convolve(x, Array{1., -2., 0.5}, "same");
        return cumsum(maximum(y, 0.1)) + sort(x * x);
      },
      kSome);
  check(
      "a spectrum", [](Array x) { return abs(fft::rfft(x * x)); }, kSome);
  check(
      "reads and writes at indices",
      [](Array x) {
        const Array i = {3, 0, 2, 2};
        const Array y = x(i) * x.at(i).add(sin(x(Slice(0, 4))))(Slice(0, 4));
        return y.at(1).mul(x(4)) +
               concatenate({x(Slice(None, None, -1))(Slice(0, 2)), x(Slice(1, 3))});
      },
      kSome);
  check("one of three functions for each element",
        [](Array x) {
          auto one = [](Array v) {
            return switch_((v * 3.).astype(i32),
                           std::tuple([](Array a) { return a * a; }, [](Array a) { return sin(a); },
                                      [](Array a) { return exp(a); }),
                           v);
          };
          return vmap(one)(x);
        },
        {0.1, 0.4, 0.8});
  check(
      "sums of products",
      [](Array x) { return einsum("ij,jk,kl->il", x, sin(x), transpose(x)) + trace(x); },
      random::normal(random::key(4), {3, 3}, f64));
  check(
      "running products in parallel, sums by segments",
      [](Array x) {
        const Array p = associative_scan([](Array a, Array b) { return a * b; }, x);
        return concatenate({p, segment_sum(x * x, Array{0, 1, 0, 2, 1}, 3)});
      },
      kSome);
}
