// callback_test.cc -- debug::print, debug::callback and pure_callback under every transform.
#include <catch2/catch.hpp>
#include <iostream>
#include <sstream>
#include "jaxpp/debug.h"
#include "jaxpp/jaxpp.h"
#include "message.h"

using namespace jaxpp;
using namespace jaxpp::internal;
using Catch::Matchers::Contains;

namespace {

// What f prints to std::cout.
template <class F>
std::string printed(F f) {
  std::ostringstream s;
  std::streambuf* old = std::cout.rdbuf(s.rdbuf());
  try {
    f();
  } catch (...) {
    std::cout.rdbuf(old);
    throw;
  }
  std::cout.rdbuf(old);
  return s.str();
}
Array shout(Array x) {
  debug::print("x = {}", x);
  return x * x;
}

}  // namespace

TEST_CASE("debug::print formats", "[callback]") {
  CHECK(printed([] { debug::print("hello {{}}"); }) == "hello {}\n");
  CHECK(printed([] { debug::print("{} and {}", 1.5, Array{1, 2}); }) == "1.5 and [1 2]\n");
  CHECK(printed([] { debug::print("{1} {0} {1}", 1, 2); }) == "2 1 2\n");
  CHECK(printed([] { debug::print("{:.3f}|{:8.2e}|{:+g}", 3.14159, 1234.5, 2); }) ==
        "3.142|1.23e+03|+2\n");
  CHECK(printed([] {
          debug::print("{:.1f}", Array{{1., 2.}, {3., 4.}});
        }) == "[[1.0 2.0] [3.0 4.0]]\n");
  CHECK_THAT(message([] { debug::print("{}"); }), Contains("[E43]") && Contains("0 are given"));
  CHECK_THAT(message([] { debug::print("{", 1); }), Contains("unmatched brace"));
  CHECK_THAT(message([] { debug::print("}", 1); }), Contains("unmatched brace"));
  CHECK_THAT(message([] { debug::print("x", 1); }), Contains("no placeholder for operand 0"));
  CHECK_THAT(message([] { debug::print("{:s}", 1); }), Contains("unknown format \"s\""));
  CHECK_THAT(message([] { debug::print("{:.999999f}", 1); }), Contains("unknown format"));
  CHECK_THAT(message([] { debug::print("{x}", 1); }),
             Contains("not the number") && Contains("callback_test.cc"));
}

TEST_CASE("debug::print runs when the program runs", "[callback]") {
  CHECK(printed([] { shout(3.); }) == "x = 3.0\n");
  SECTION("jit: at every call, not at tracing") {
    auto f = jit(shout);
    CHECK(printed([&] {
            f(3.);
            f(4.);
          }) == "x = 3.0\nx = 4.0\n");
  }
  SECTION("grad: once, the value") {
    CHECK(printed([] { grad(shout)(3.); }) == "x = 3.0\n");
    CHECK(printed([] { grad(grad(shout))(3.); }) == "x = 3.0\n");
    CHECK(printed([] { jit(grad(shout))(3.); }) == "x = 3.0\n");
    CHECK(printed([] { grad(jit(shout))(3.); }) == "x = 3.0\n");
    CHECK(printed([] { jvp(shout, Array(3.), Array(1.)); }) == "x = 3.0\n");
  }
  SECTION("vmap: per lane, in order") {
    const std::string lanes = "x = 1.0\nx = 2.0\n";
    CHECK(printed([] { vmap(shout)(Array{1., 2.}); }) == lanes);
    CHECK(printed([] { jit(vmap(shout))(Array{1., 2.}); }) == lanes);
    CHECK(printed([] { vmap(jit(shout))(Array{1., 2.}); }) == lanes);
    CHECK(printed([] { vmap(grad(shout))(Array{1., 2.}); }) == lanes);
    CHECK(printed([] {
            vmap(vmap(shout))(Array{{1., 2.}, {3., 4.}});
          }) == lanes + "x = 3.0\nx = 4.0\n");
    auto with_constant = [](Array x) {
      debug::print("once {}", Array(7));
      return x;
    };
    CHECK(printed([&] { vmap(with_constant)(Array{1., 2.}); }) == "once 7\n");
  }
  SECTION("scan and cond: when that step or branch runs") {
    auto step = [](Array c, Array x) {
      debug::print("{} {}", c, x);
      return std::pair(c + x, c);
    };
    CHECK(printed([&] { scan(step, Array(0.), Array{1., 2.}); }) == "0.0 1.0\n1.0 2.0\n");
    auto loud = [](Array x) {
      debug::print("loud");
      return x;
    };
    auto quiet = [](Array x) { return x; };
    auto f = jit([&](Array x) { return cond(x > 0., loud, quiet, x); });
    CHECK(printed([&] {
            f(1.);
            f(-1.);
          }) == "loud\n");
  }
  SECTION("an unused result does not drop the print") {
    auto f = jit([](Array x) {
      debug::print("here");
      return x;
    });
    CHECK(printed([&] { f(1.); }) == "here\n");
    Jaxpr j = make_jaxpr([](Array x) {
      debug::print("x = {}", x);
      return x;
    })(1.);
    CHECK_THAT(j.to_string(), Contains("debug_callback"));
  }
}

TEST_CASE("debug::callback sees concrete arrays", "[callback]") {
  std::vector<double> seen;
  auto f = [&](Array x) {
    Array y = sin(x);
    debug::callback([&](Array a, Array b) { seen.push_back(a.item() + b.item()); }, x, y * 0.);
    debug::callback([&] { seen.push_back(-1); });
    return y;
  };
  jit(f)(2.);
  CHECK(seen == std::vector<double>{2, -1});
  seen.clear();
  vmap(f)(Array{1., 2.});
  CHECK(seen == std::vector<double>{1, 2, -1});
  SECTION("an exception in it leaves everything usable") {
    auto g = jit([](Array x) {
      debug::callback([](Array) { throw std::runtime_error("from the host"); }, x);
      return x;
    });
    CHECK_THROWS_WITH(g(1.), Contains("from the host"));
    CHECK(double(jit([](Array x) { return x + 1.; })(1.)) == 2);
  }
}

TEST_CASE("pure_callback", "[callback]") {
  auto host_sine = [](Array a) {  // plain C++ on the elements
    std::vector<double> v;
    for (double e : a.span<double>()) v.push_back(std::sin(e));
    return Array(std::span<const double>(v), a.shape());
  };
  auto f = [&](Array x) { return 2. * pure_callback(host_sine, x.type(), x); };
  CHECK(double(f(1.)) == 2 * std::sin(1.));
  CHECK(double(jit(f)(1.)) == 2 * std::sin(1.));
  const Array x = {{1., 2., 3.}, {4., 5., 6.}};
  CHECK(allclose(vmap(f)(x), 2. * sin(x)));
  CHECK(allclose(vmap(f, {.in_axes = 1, .out_axes = 1})(x), 2. * sin(x)));
  CHECK(allclose(jit(vmap(vmap(f)))(x), 2. * sin(x)));
  SECTION("lanes arrive one by one") {
    std::vector<std::string> shapes;
    auto g = [&](Array v) {
      return pure_callback(
          [&](Array a) {
            shapes.push_back(to_string(a.shape()));
            return sum(a);
          },
          make_type(f64, {}), v);
    };
    CHECK(allclose(vmap(g)(x), Array{6., 15.}));
    CHECK(shapes == std::vector<std::string>{"(3,)", "(3,)"});
    CHECK(vmap(g)(zeros({0, 3}, f64)).shape() == Shape{0});
  }
  SECTION("several results") {
    auto g = [](Array v) {
      auto r = pure_callback(
          [](Array a) {
            return std::vector<Array>{a + 1., a > 1.};
          },
          std::vector<Type>{v.type(), make_type(b1, v.shape())}, v);
      return std::pair(r[0], r[1]);
    };
    auto [a, b] = vmap(g)(Array{1., 2.});
    CHECK(a.to_vector() == std::vector<double>{2, 3});
    CHECK(b.to_vector() == std::vector<double>{0, 1});
  }
  SECTION("a derivative comes from custom_jvp") {
    CHECK_THAT(message([&] { grad(f)(1.); }), Contains("pure_callback") && Contains("custom_jvp"));
    auto known =
        custom_jvp(f, [&](Array v, Array dv) { return std::pair(f(v), 2. * cos(v) * dv); });
    CHECK(double(grad(known)(1.)) == Approx(2 * std::cos(1.)));
    CHECK(double(jit(grad(known))(1.)) == Approx(2 * std::cos(1.)));
  }
  SECTION("results of other types are refused") {
    auto wrong = [](Array v) {
      return pure_callback([](Array) { return Array(1.f); }, v.type(), v);
    };
    CHECK_THAT(message([&] { wrong(1.); }),
               Contains("is f32[]; f64[] was declared") && Contains("callback_test.cc"));
    CHECK_THAT(message([&] { jit(wrong)(1.); }), Contains("f64[] was declared"));
  }
  SECTION("a program with a host function prints, but is not read back") {
    Jaxpr j = make_jaxpr(f)(1.);
    Array in[] = {1.};
    CHECK(eval_jaxpr(j, in)[0].item() == Approx(2 * std::sin(1.)));
    CHECK_THAT(j.to_string(), Contains("pure_callback"));
    CHECK_THAT(message([&] { Jaxpr::parse(j.to_string()); }), Contains("cannot be read back"));
  }
}

TEST_CASE("io_callback", "[callback]") {
  std::vector<double> seen;
  const auto note = [&](Array a) {
    seen.push_back(a.item());
    return a * 2;
  };
  const auto f = [&](Array x) { return io_callback(note, x.type(), x) + 1; };
  CHECK(double(f(3.)) == 7);
  SECTION("jit: at every run, also if its results are not used") {
    auto g = jit([&](Array x) {
      io_callback(note, x.type(), x);
      return x;
    });
    seen.clear();
    g(1.);
    g(1.);
    CHECK(seen == std::vector<double>{1, 1});
  }
  SECTION("in the order of the program, twice if it is there twice") {
    for (bool ordered : {false, true}) {
      auto g = jit([&](Array x) {
        io_callback(note, x.type(), {.ordered = ordered}, x + 1);
        Array a = io_callback(note, x.type(), {.ordered = ordered}, x);
        Array b = io_callback(note, x.type(), {.ordered = ordered}, x);
        debug::callback([&](Array v) { seen.push_back(-v.item()); }, x);
        return a + b;
      });
      seen.clear();
      CHECK(double(g(5.)) == 20);
      CHECK(seen == std::vector<double>{6, 5, 5, -5});
    }
  }
  SECTION("loops and branches") {
    auto loop = jit([&](Array x) {
      return scan(
                 [&](Array c, Array v) {
                   return std::pair(io_callback(note, c.type(), {.ordered = true}, c + v), None);
                 },
                 0., x)
          .first;
    });
    seen.clear();
    CHECK(double(loop(Array{1., 2., 3.})) == 22);
    CHECK(seen == std::vector<double>{1, 4, 11});
    auto branch = jit([&](Array x) {
      return cond(
          x > 0, f, [](Array v) { return v; }, x);
    });
    seen.clear();
    CHECK(double(branch(-1.)) == -1);
    CHECK(seen.empty());
    CHECK(double(branch(1.)) == 3);
    CHECK(seen == std::vector<double>{1});
  }
  SECTION("vmap: lane by lane, unless it is ordered") {
    seen.clear();
    CHECK(bool(all(vmap(f)(Array{1., 2.}) == Array{3., 5.})));
    CHECK(bool(all(jit(vmap(f))(Array{3., 4.}) == Array{7., 9.})));
    CHECK(seen == std::vector<double>{1, 2, 3, 4});
    auto ordered = [&](Array x) { return io_callback(note, x.type(), {.ordered = true}, x); };
    CHECK_THAT(message([&] {
                 vmap(ordered)(Array{1., 2.});
               }),
               Contains("ordered") && Contains("callback_test.cc"));
  }
  SECTION("no derivative; values that have none may pass") {
    CHECK_THAT(message([&] { grad(f)(1.); }),
               Contains("no derivative") && Contains("callback_test.cc"));
    CHECK_THAT(message([&] { jvp(f, Array(1.), Array(1.)); }), Contains("no derivative"));
    auto g = [&](Array x) { return x * f(lax::stop_gradient(x)); };
    seen.clear();
    CHECK(double(grad(g)(3.)) == 7);
    CHECK(double(jit(grad(g))(3.)) == 7);
    CHECK(seen == std::vector<double>{3, 3});
  }
  SECTION("several results, none, and wrong ones") {
    const auto types = std::vector<internal::Type>{make_type(f64, {}), make_type(i32, {2})};
    auto two = io_callback(
        [](Array a) {
          return std::vector<Array>{a, Array{1, 2}};
        },
        types, Array(1.));
    CHECK(two.size() == 2);
    int calls = 0;
    auto nothing = jit([&](Array x) {
      io_callback([&](Array) { ++calls; }, std::vector<internal::Type>{}, x);
      return x;
    });
    nothing(1.);
    nothing(1.);
    CHECK(calls == 2);
    CHECK_THAT(message([&] {
                 io_callback([](Array) { return Array(1); }, make_type(f64, {}), Array(1.));
               }),
               Contains("was declared"));
  }
}
