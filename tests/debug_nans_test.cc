// debug_nans_test.cc -- debug_nans and debug_infs: which operation made the first NaN, under every transform.
#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include "child.h"
#include "jaxpp/jaxpp.h"
#include "message.h"

using namespace jaxpp;
using Catch::Matchers::Contains;

namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

std::string at(int line) { return "debug_nans_test.cc:" + std::to_string(line); }
// What debug_nans says about f().
template <class F>
std::string found(F f) {
  auto scope = debug_nans();
  try {
    f();
  } catch (const FloatingPointError& e) {
    return e.what();
  }
  return "nothing";
}

}  // namespace

TEST_CASE("debug_nans: off, it changes nothing", "[debug_nans]") {
  CHECK(std::isnan(double(log(Array(-1.)))));
  {
    auto scope = debug_nans();
    CHECK_THROWS_AS(log(Array(-1.)), FloatingPointError);
    {
      auto off = debug_nans(false);
      CHECK(std::isnan(double(log(Array(-1.)))));
    }
    CHECK_THROWS_AS(log(Array(-1.)), FloatingPointError);
    CHECK_NOTHROW(log(Array(0.)));  // an infinity
  }
  CHECK(std::isnan(double(log(Array(-1.)))));
}

TEST_CASE("debug_nans: an eager operation", "[debug_nans]") {
  const std::string s = found([] { return log(Array{1., -2., 3.}); });
  const int line = __LINE__ - 1;
  INFO(s);
  CHECK_THAT(s, Contains("log: a NaN in the result.  [E120]") && Contains("b:f64[3] = log a"));
  CHECK_THAT(s, Contains("operand 0: f64[3] in [-2, 3]") && Contains("1 NaN; the first at [1]"));
  CHECK_THAT(s, Contains(at(line)) && !Contains("derivative") && !Contains("already"));
  SECTION("a NaN that was there before") {
    CHECK_THAT(found([] {
                 return sin(Array{1., kNan});
               }),
               Contains("An operand held a NaN already"));
  }
  SECTION("half, single and complex numbers") {
    CHECK_THAT(found([] { return log(Array(-1.).astype(bf16)); }), Contains("log: a NaN"));
    CHECK_THAT(found([] { return log(Array(-1.).astype(f16)); }), Contains("log: a NaN"));
    CHECK_THAT(found([] { return sqrt(Array{1.f, -1.f}); }), Contains("sqrt: a NaN"));
    CHECK_THAT(found([] { return Array{std::complex<double>(kNan, 1)} * 2; }),
               Contains("mul: a NaN"));
  }
  SECTION("an element of many, and none of none") {
    const Array x = ones({100, 100}, f64).at(Array(70), Array(31)).set(-1.);
    CHECK_THAT(found([&] { return log(x); }), Contains("the first at [70, 31]"));
    CHECK(found([] { return log(zeros({0, 3})); }) == "nothing");
  }
  SECTION("where hides it too late") {
    CHECK_THAT(found([] {
                 Array x = {-1., 1.};
                 return where(x > 0, log(x), 0.);
               }),
               Contains("log: a NaN"));
  }
  SECTION("in place") {
    CHECK_THAT(found([] { return zeros({3}, f64).at(1).set(kNan); }),
               Contains("a NaN in the result"));
  }
}

TEST_CASE("debug_infs", "[debug_nans]") {
  auto scope = debug_infs();
  CHECK_THROWS_WITH((1 / Array{1., 0.}), Contains("div: an infinity in the result.  [E121]"));
  CHECK_NOTHROW(log(Array(-1.)));
  auto both = debug_nans();
  CHECK_THROWS_AS(log(Array(-1.)), FloatingPointError);
  CHECK_THROWS_AS(log(Array(0.)), FloatingPointError);
}

TEST_CASE("debug_nans: in a compiled function", "[debug_nans]") {
  auto f = jit(
      [](Array x) {
        Array y = x * 2;
        Array z = log(y - 3);
        return z + 1;
      },
      {.name = "step"});
  const int line = __LINE__ - 4;
  CHECK(std::isnan(double(f(1.))));
  const std::string s = found([&] { return f(1.); });
  INFO(s);
  CHECK_THAT(s, Contains("log: a NaN") && Contains(at(line)) && Contains("operand 0: f64[] -1"));
  CHECK_THAT(s, Contains("in `step`, compiled by jit"));
  CHECK(found([&] { return f(2.); }) == "nothing");
  SECTION("nested") {
    auto g = jit([&](Array x) { return f(x) * x; });
    CHECK_THAT(found([&] { return g(1.); }), Contains("log: a NaN") && Contains("in `step`"));
  }
  SECTION("donated arguments stay until it is known") {
    auto d = jit([](Array x) { return log(x); }, {.donate = true});
    CHECK_THAT(found([&] { return d(Array{1., -1.}); }), Contains("log: a NaN"));
  }
}

TEST_CASE("debug_nans: in loops and branches", "[debug_nans]") {
  SECTION("scan") {
    auto body = [](Array c, Array x) {
      Array y = sqrt(c - x);
      return std::pair(y, y);
    };
    const int line = __LINE__ - 3;
    const Array xs = {1., 1., 5., 1.};
    for (bool compiled : {false, true}) {
      auto run = [&](Array v) { return scan(body, 9., v).first; };
      const std::string s = found([&] { return compiled ? jit(run)(xs) : run(xs); });
      INFO(s);
      CHECK_THAT(s,
                 Contains("sqrt: a NaN") && Contains("iteration 2 of scan") && Contains(at(line)));
    }
    auto backwards = [&](Array v) { return scan(body, 9., v, {.reverse = true}).first; };
    CHECK_THAT(found([&] { return backwards(xs); }), Contains("iteration 2 of scan"));
  }
  SECTION("while") {
    const std::string s = found([] {
      return while_loop([](Array x) { return x > -5; }, [](Array x) { return sqrt(x) - 1; }, 9.);
    });
    INFO(s);
    CHECK_THAT(s, Contains("sqrt: a NaN") && Contains("iteration 3 of while"));
  }
  SECTION("while, lanes that end at different times") {
    auto f = [](Array x) {
      return while_loop([](Array v) { return v < 3; }, [](Array v) { return v + log(v); }, x);
    };
    const std::string s = found([&] { return vmap(f)(Array{2., -1., 4.}); });
    INFO(s);
    CHECK_THAT(s, Contains("log: a NaN") && Contains("iteration 0 of while") &&
                      Contains("lane 1 of vmap"));
  }
  SECTION("cond") {
    const std::string s = found([] {
      return cond(
          Array(-1.) > 0, [](Array x) { return log(x); }, [](Array x) { return sqrt(x); },
          Array(-1.));
    });
    INFO(s);
    CHECK_THAT(s, Contains("sqrt: a NaN") && Contains("cond"));
  }
}

TEST_CASE("debug_nans: vmap names the lane", "[debug_nans]") {
  const Array x = {{1., 2.}, {3., 4.}, {5., -6.}};
  const std::string s = found([&] { return vmap([](Array row) { return log(row); })(x); });
  INFO(s);
  CHECK_THAT(s, Contains("log: a NaN") && Contains("lane 2 of vmap") && Contains("f64[2]"));
  const std::string nested = found(
      [&] { return vmap([](Array row) { return vmap([](Array v) { return log(v); })(row); })(x); });
  INFO(nested);
  CHECK_THAT(nested, Contains("lane 2 of vmap") && Contains("lane 1 of vmap") &&
                         Contains("operand 0: f64[] -6"));
  CHECK_THAT(found([&] { return vmap(jit([](Array row) { return log(row); }))(x); }),
             Contains("log: a NaN") && Contains("lane 2 of vmap"));
}

TEST_CASE("debug_nans: derivatives name the operation they belong to", "[debug_nans]") {
  auto f = [](Array x) {
    Array y = where(x > 0, sqrt(x), 0.);
    return sum(y);
  };
  const int line = __LINE__ - 3;
  const Array x = {0., 4.};
  CHECK(found([&] { return f(x); }) == "nothing");
  SECTION("backward") {
    const std::string s = found([&] { return grad(f)(x); });
    INFO(s);
    CHECK_THAT(
        s, Contains("mul: a NaN") && Contains("backward pass") && Contains("derivative of `sqrt`"));
    CHECK_THAT(s, Contains(at(line)) && Contains("1 infinite"));
  }
  SECTION("backward, compiled") {
    for (auto& s : {found([&] { return jit(grad(f))(x); }), found([&] { return grad(jit(f))(x); }),
                    found([&] { return vjp(f, x).second(1.); })}) {
      INFO(s);
      CHECK_THAT(s, Contains("mul: a NaN") && Contains("backward pass") &&
                        Contains("derivative of `sqrt`"));
      CHECK_THAT(s, Contains(at(line)));
    }
  }
  SECTION("forward") {
    auto g = [](Array v) { return sqrt(v); };
    for (auto& s : {found([&] { return jvp(g, Array(0.), Array(0.)).second; }),
                    found([&] { return jit([&](Array v) { return jvp(g, v, v).second; })(0.); })}) {
      INFO(s);
      CHECK_THAT(s, Contains("mul: a NaN") && Contains("forward derivative") &&
                        Contains("derivative of `sqrt`"));
    }
  }
  SECTION("the value itself, under a derivative") {
    auto g = [](Array v) { return sum(log(v) * v); };
    for (auto& s : {found([&] { return grad(g)(Array{-1.}); }),
                    found([&] { return grad(jit(g))(Array{-1.}); }),
                    found([&] { return jit(grad(g))(Array{-1.}); })}) {
      INFO(s);
      CHECK_THAT(s, Contains("log: a NaN") && !Contains("derivative"));
    }
    CHECK_THAT(
        found([&] { return jvp([](Array v) { return v * (v / v); }, Array(0.), Array(1.)).first; }),
        Contains("div: a NaN") && !Contains("derivative"));
  }
  SECTION("infinite slopes") {
    auto scope = debug_infs();
    CHECK_THROWS_WITH(grad([](Array v) { return sqrt(v); })(0.),
                      Contains("div: an infinity") && Contains("derivative of `sqrt`"));
  }
  SECTION("in the backward pass of a loop") {
    auto g = [](Array v) {
      return scan([](Array c, Array u) { return std::pair(c + where(u > 0, sqrt(u), 0.), None); },
                  0., v)
          .first;
    };
    const std::string s = found([&] { return grad(g)(Array{1., 4., 0., 9.}); });
    INFO(s);
    CHECK_THAT(s,
               Contains("iteration 2 of scan") && Contains("backward pass") && Contains("`sqrt`"));
  }
  SECTION("second order") {
    auto g = [](Array v) { return where(v > 0, sqrt(v), 0.); };
    CHECK_THAT(found([&] { return grad(grad(g))(0.); }), Contains("derivative of `sqrt`"));
  }
}

TEST_CASE("debug_nans: custom rules and checkpoints", "[debug_nans]") {
  auto f = custom_jvp([](Array x) { return log(x); },
                      [](Array x, Array dx) { return std::pair(log(x), dx / (x - 2)); });
  CHECK_THAT(found([&] { return jit(f)(-1.); }),
             Contains("log: a NaN") && Contains("a derivative of its own"));
  CHECK_THAT(found([&] { return jvp(f, Array(2.), Array(0.)).second; }), Contains("div: a NaN"));
  auto g = custom_vjp([](Array x) { return x * x; }, [](Array x) { return std::pair(x * x, x); },
                      [](Array x, Array ct) { return ct * log(x); });
  CHECK_THAT(found([&] { return grad(g)(-1.); }), Contains("log: a NaN"));
  CHECK_THAT(found([&] { return jit(grad(g))(-1.); }), Contains("log: a NaN"));
  CHECK_THAT(found([&] { return checkpoint([](Array x) { return log(x) * 2; })(Array(-1.)); }),
             Contains("log: a NaN"));
}

TEST_CASE("debug::check", "[debug_nans]") {
  auto f = [](Array x) {
    debug::check(all(x > 0), "x is {}", x);
    return log(x);
  };
  CHECK_NOTHROW(f(Array{1., 2.}));
  CHECK_THROWS_WITH(f(Array{1., -2.}), Contains("debug::check: x is [ 1. -2.]") &&
                                           Contains("[E124]") && Contains("debug_nans_test.cc"));
  CHECK_NOTHROW(jit(f)(Array{1., 2.}));
  CHECK_THROWS_WITH(jit(f)(Array{1., -2.}), Contains("x is"));
  CHECK_THROWS_WITH(vmap(f)(Array{{1., 2.}, {1., -2.}}), Contains("x is [ 1. -2.]"));
  CHECK_THROWS_WITH(grad([&](Array x) { return sum(f(x)); })(Array{-1.}), Contains("x is"));
}

TEST_CASE("what the environment says about NaNs", "[.debug_nans_child]") {
  auto says = [](auto f) {
    try {
      f();
      return "nothing";
    } catch (const FloatingPointError&) {
      return "error";
    }
  };
  std::printf("nan: %s, inf: %s\n", says([] { return log(Array(-1.)); }),
              says([] { return log(Array(0.)); }));
}
TEST_CASE("JAXPP_DEBUG_NANS", "[debug_nans]") {
  const auto output = [](const char* environment) {
    return output_of_tests(environment, "what the environment says about NaNs");
  };
  CHECK_THAT(output("JAXPP_DEBUG_NANS=1"), Contains("nan: error, inf: nothing"));
  CHECK_THAT(output("JAXPP_DEBUG_NANS=1 JAXPP_DEBUG_INFS=1"), Contains("nan: error, inf: error"));
  CHECK_THAT(output("JAXPP_DEBUG_NANS=0"), Contains("nan: nothing, inf: nothing"));
}
