// custom_forward_test.cc -- forward mode through custom_vjp: the tangent map is the transpose of the linear bwd.
#include <catch2/catch.hpp>
#include <cmath>
#include "jaxpp/jaxpp.h"
#include "message.h"

using namespace jaxpp;
using Catch::Matchers::Contains;

namespace {
auto plain = [](Array x, Array w) { return sin(dot(w, x)) * sum(x); };
auto custom = custom_vjp(
    plain, [](Array x, Array w) { return std::pair(plain(x, w), std::tuple(x, w)); },
    [](std::tuple<Array, Array> r, Array ct) {
      auto [x, w] = r;
      Array z = dot(w, x), dz = ct * cos(z) * sum(x);
      return std::tuple(dot(transpose(w), dz) + sum(ct * sin(z)), expand_dims(dz, 1) * x);
    },
    "waves");
void near(const Array& got, const Array& want) {
  INFO(got << "\n" << want);
  CHECK(allclose(got, want, 1e-11, 1e-13));
}
}  // namespace

TEST_CASE("custom_vjp: forward mode of every kind", "[custom]") {
  const Array x = {0.3, -0.7}, w = {{0.5, 1.2}, {-0.4, 0.8}, {1.0, 0.1}}, dx = {1., 2.};
  near(jvp([&](Array v) { return custom(v, w); }, x, dx).second,
       jvp([&](Array v) { return plain(v, w); }, x, dx).second);
  near(jacfwd(custom)(x, w), jacfwd(plain)(x, w));
  near(jacfwd<1>(custom)(x, w), jacfwd<1>(plain)(x, w));
  near(jacfwd(custom)(x, w), jacrev(custom)(x, w));
  auto total = [](auto f) { return [f](Array v, Array m) { return sum(exp(f(v, m))); }; };
  // Forward over reverse, reverse over forward, forward over forward.
  near(hessian(total(custom))(x, w), hessian(total(plain))(x, w));
  near(jit(hessian(total(custom)))(x, w), hessian(total(plain))(x, w));
  near(jacrev(jacfwd(total(custom)))(x, w), hessian(total(plain))(x, w));
  near(jacfwd(jacfwd(total(custom)))(x, w), hessian(total(plain))(x, w));
  const Array xs = stack({x, 2 * x, -x});
  auto lanes = [&](auto f) { return vmap([&, f](Array v) { return jacfwd(f)(v, w); })(xs); };
  near(lanes(custom), lanes(plain));
  near(jit([&](Array v) { return vmap([&](Array u) { return jacfwd(custom)(u, w); })(v); })(xs),
       lanes(plain));
  auto step = [](auto f, const Array& m) {
    return [f, m](Array v) {
      return while_loop([](Array c) { return sum(c * c) > 0.01; },
                        [f, m](Array c) { return 0.5 * c + 0.1 * sum(f(c, m)); }, v,
                        {.max_steps = 30});
    };
  };
  near(jacfwd(step(custom, w))(x), jacfwd(step(plain, w))(x));
  near(jacrev(step(custom, w))(x), jacfwd(step(plain, w))(x));
}

TEST_CASE("custom_vjp: a bwd that is not linear has no forward mode", "[custom]") {
  auto squares = custom_vjp([](Array x) { return x; }, [](Array x) { return std::pair(x, x); },
                            [](Array x, Array ct) { return x * exp(ct); }, "squares");
  CHECK(double(grad(squares)(2.0)) == Approx(2 * std::exp(1.0)));  // reverse mode takes it as it is
  const std::string m = message([&] { jvp(squares, 2.0, 1.0); });
  INFO(m);
  CHECK_THAT(m, Contains("squares") && Contains("bwd") && Contains("linear") && Contains("E20"));
}
