// collectives_test.cc -- psum, all_gather and the others, as users call them under vmap(..., {.axis_name = "i"}).
#include "jaxpp/collectives.h"
#include <catch2/catch.hpp>
#include <numeric>
#include "jaxpp/jaxpp.h"
#include "message.h"

using namespace jaxpp;

namespace {

Array counting(const Shape& shape) {  // 0, 1, 2, ...
  std::vector<double> v(std::size_t(make_type(f64, shape)->size));
  std::iota(v.begin(), v.end(), 0.);
  return Array(std::span<const double>(v), shape);
}
std::vector<double> values(const Array& x) { return x.to_vector<double>(); }
using V = std::vector<double>;
const VmapOptions over_i{.axis_name = "i"};

}  // namespace

TEST_CASE("reductions over a named axis", "[collectives]") {
  const Array x = {1., 2., 5.};
  CHECK(values(vmap([](Array a) { return psum(a, "i"); }, over_i)(x)) == V{8, 8, 8});
  CHECK(values(vmap([](Array a) { return pmean(a, "i"); }, over_i)(Array{1., 2., 6.})) ==
        V{3, 3, 3});
  CHECK(values(vmap([](Array a) { return pmax(a, "i"); }, over_i)(x)) == V{5, 5, 5});
  CHECK(values(vmap([](Array a) { return pmin(a, "i"); }, over_i)(x)) == V{1, 1, 1});
  CHECK(values(vmap([](Array a) { return a / psum(a, "i"); }, over_i)(x)) == V{0.125, 0.25, 0.625});
  SECTION("what is not mapped counts once for each lane") {
    CHECK(values(vmap([](Array a) { return a + psum(Array(1.), "i"); }, over_i)(x)) == V{4, 5, 8});
    CHECK(values(vmap([](Array a) { return a * pmax(Array(2.), "i"); }, over_i)(x)) == V{2, 4, 10});
  }
  SECTION("bools are counted") {
    Array n = vmap([](Array a) { return psum(a > 1., "i"); }, over_i)(x);
    CHECK(n.dtype() == i32);
    CHECK(values(n) == V{2, 2, 2});
  }
  SECTION("axes of every position") {
    Array y = vmap([](Array a) { return a - pmean(a, "i"); },
                   {.in_axes = 1, .out_axes = 1, .axis_name = "i"})(counting({2, 3}));
    CHECK(values(y) == V{-1, 0, 1, -1, 0, 1});
  }
  SECTION("trees, leaf by leaf") {
    struct Pair {
      Array a, b;
    };
    auto f = [](Array v) { return psum(Pair{v, 2. * v}, "i"); };
    Pair r = vmap(f, over_i)(x);
    CHECK(values(r.a) == V{8, 8, 8});
    CHECK(values(r.b) == V{16, 16, 16});
  }
}

TEST_CASE("axis_index and axis_size", "[collectives]") {
  Array k = vmap([](Array a) { return a * 0. + axis_index("i"); }, over_i)(counting({3}));
  CHECK(values(k) == V{0, 1, 2});
  vmap(
      [](Array a) {
        CHECK(axis_size("i") == 3);
        CHECK(axis_index("i").dtype() == i32);
        return a;
      },
      over_i)(counting({3}));
  Array alone = vmap([] { return axis_index("i"); }, {.axis_name = "i", .axis_size = 4})();
  CHECK(values(alone) == V{0, 1, 2, 3});
}

TEST_CASE("gathering, scattering, permuting", "[collectives]") {
  const Array x = counting({3, 2});  // lanes {0, 1}, {2, 3}, {4, 5}
  auto shape_of = [](const Array& a) { return to_string(a.shape()); };
  SECTION("all_gather") {
    Array y = vmap([](Array a) { return all_gather(a, "i"); }, over_i)(x);
    CHECK(shape_of(y) == "(3, 3, 2)");
    CHECK(values(y(1)) == V{0, 1, 2, 3, 4, 5});
    y = vmap([](Array a) { return all_gather(a, "i", {.dimension = 1}); }, over_i)(x);
    CHECK(values(y(0)) == V{0, 2, 4, 1, 3, 5});
    y = vmap([](Array a) { return all_gather(a, "i", {.dimension = -1, .tiled = true}); },
             over_i)(x);
    CHECK(shape_of(y) == "(3, 6)");
    CHECK(values(y(2)) == V{0, 1, 2, 3, 4, 5});
  }
  SECTION("psum_scatter") {
    const Array m = counting({3, 3});
    Array y = vmap([](Array a) { return psum_scatter(a, "i"); }, over_i)(m);
    CHECK(values(y) == V{9, 12, 15});
    const Array t = counting({2, 4});
    y = vmap([](Array a) { return psum_scatter(a, "i", {.tiled = true}); }, over_i)(t);
    CHECK(shape_of(y) == "(2, 2)");
    CHECK(values(y) == V{4, 6, 8, 10});
  }
  SECTION("ppermute") {
    auto ring = [](Array a) { return ppermute(a, "i", {{0, 1}, {1, 2}, {2, 0}}); };
    CHECK(values(vmap(ring, over_i)(x)) == V{4, 5, 0, 1, 2, 3});
    auto shift = [](Array a) { return ppermute(a, "i", {{0, 1}, {1, 2}}); };
    CHECK(values(vmap(shift, over_i)(x)) == V{0, 0, 0, 1, 2, 3});
    Array n = vmap([](Array a) { return ppermute(a, "i", {{2, 0}}); }, over_i)(Array{1, 2, 3});
    CHECK(n.dtype() == i32);
    CHECK(values(n) == V{3, 0, 0});
  }
  SECTION("all_to_all is a transposition of lanes and slices") {
    const Array m = counting({3, 3});
    Array y = vmap([](Array a) { return all_to_all(a, "i", 0, 0); }, over_i)(m);
    CHECK(values(y) == V{0, 3, 6, 1, 4, 7, 2, 5, 8});
    // JAX: vmap(lambda a: all_to_all(a, 'i', 0, 1))(arange(24).reshape(2, 2, 6)) has shape (2, 6, 2)
    const Array z = counting({2, 2, 6});
    y = vmap([](Array a) { return all_to_all(a, "i", 0, 1); }, over_i)(z);
    CHECK(shape_of(y) == "(2, 6, 2)");
    CHECK(values(y(0, 0)) == V{0, 12});
    CHECK(values(y(1, 5)) == V{11, 23});
    y = vmap([](Array a) { return all_to_all(a, "i", 1, 0, true); }, over_i)(z);
    CHECK(shape_of(y) == "(2, 4, 3)");
    CHECK(values(y(0)) == V{0, 1, 2, 6, 7, 8, 12, 13, 14, 18, 19, 20});
  }
}

TEST_CASE("derivatives of collectives count all lanes", "[collectives]") {
  const Array x = counting({3});
  auto square_of_sum = [](Array a) {
    Array s = psum(a, "i");
    return s * s;
  };
  auto total = [&](Array v) { return sum(vmap(square_of_sum, over_i)(v)); };
  CHECK(values(grad(total)(x)) == V{18, 18, 18});
  CHECK(values(vmap(grad(square_of_sum), over_i)(x)) == V{18, 18, 18});
  auto ring = [](Array a) {
    return ppermute(a * a, "i", {{0, 1}, {1, 2}, {2, 0}}) * (1. + axis_index("i"));
  };
  // y_d = (1 + d) x_s^2: lane s is read by lane d = s + 1
  CHECK(values(vmap(grad(ring), over_i)(x)) == V{0, 6, 4});
  auto gathered = [](Array a) { return sum(all_gather(a, "i") * Array{1., 10., 100.}); };
  CHECK(values(vmap(grad(gathered), over_i)(x)) == V{3, 30, 300});
  auto winner = [](Array a) { return pmax(a, "i"); };
  CHECK(values(vmap(grad(winner), over_i)(Array{1., 4., 4.})) == V{0, 1.5, 1.5});
}

TEST_CASE("collectives under jit, scan and other vmaps", "[collectives]") {
  const Array x = counting({3, 2});
  const V centred = {-2, -2, 0, 0, 2, 2};
  auto center = [](Array a) { return a - pmean(a, "i"); };
  CHECK(values(vmap(jit(center), over_i)(x)) == centred);
  CHECK(values(jit(vmap(center, over_i))(x)) == centred);
  CHECK(values(vmap(vmap(center), over_i)(x)) == centred);
  SECTION("two axes") {
    auto both = [](Array a) { return psum(a, {"i", "j"}); };
    Array y = vmap(vmap(both, {.axis_name = "j"}), over_i)(x);
    CHECK(values(y) == V(6, 15));
    auto inner = [](Array a) { return psum(a, "j"); };
    CHECK(values(vmap(vmap(inner, {.axis_name = "j"}), over_i)(x)) == V{1, 1, 5, 5, 9, 9});
    auto outer = [](Array a) { return psum(a, "i"); };
    CHECK(values(vmap(vmap(outer, {.axis_name = "j"}), over_i)(x)) == V{6, 9, 6, 9, 6, 9});
    auto index = [](Array a) { return a * 0. + 10 * axis_index("i") + axis_index("j"); };
    CHECK(values(vmap(vmap(index, {.axis_name = "j"}), over_i)(x)) == V{0, 1, 10, 11, 20, 21});
  }
  SECTION("the innermost of two equal names counts") {
    auto f = [](Array a) { return psum(a, "i"); };
    CHECK(values(vmap(vmap(f, over_i), over_i)(x)) == V{1, 1, 5, 5, 9, 9});
  }
  SECTION("inside a scan") {
    auto f = [](Array a) {
      auto [end, none] = scan(
          [](Array c, Array v) {
            c = c + psum(v, "i");
            return std::pair(c, c);
          },
          Array(0.), a);
      return end;
    };
    CHECK(values(vmap(f, over_i)(x)) == V{15, 15, 15});
    CHECK(values(vmap(grad(f), over_i)(x)) == V(6, 3));
  }
}

TEST_CASE("misuse of collectives", "[collectives][errors]") {
  using Catch::Matchers::Contains;
  const Array x = counting({3, 2});
  CHECK_THAT(message([&] { psum(x, "i"); }),
             Contains("psum: axis name \"i\" is not bound") && Contains("[E40]") &&
                 Contains("vmap(f, {.axis_name = \"i\"})") && Contains("collectives_test.cc"));
  CHECK_THAT(message([&] { axis_index("k"); }), Contains("axis_index: axis name \"k\""));
  CHECK_THAT(message([&] { vmap([](Array a) { return psum(a, "j"); }, over_i)(x); }),
             Contains("\"j\" is not bound"));
  CHECK_THAT(message([&] {
               vmap([](Array a) { return all_gather(a, "i", {.dimension = 3}); }, over_i)(x);
             }),
             Contains("all_gather: axis 3 is out of range for f64[2]"));
  CHECK_THAT(message([&] { vmap([](Array a) { return psum_scatter(a, "i"); }, over_i)(x); }),
             Contains("reduce_scatter") && Contains("it must be 3"));
  CHECK_THAT(message([&] {
               vmap([](Array a) { return psum_scatter(a, "i", {.tiled = true}); }, over_i)(x);
             }),
             Contains("it must be a multiple of 3"));
  CHECK_THAT(message([&] { vmap([](Array a) { return all_to_all(a, "i", 0, 0); }, over_i)(x); }),
             Contains("axis \"i\" has size 3"));
  CHECK_THAT(message([&] {
               vmap([](Array a) { return ppermute(a, "i", {{0, 3}}); }, over_i)(x);
             }),
             Contains("{0, 3} is out of range"));
  CHECK_THAT(message([&] {
               vmap([](Array a) { return ppermute(a, "i", {{0, 1}, {0, 2}}); }, over_i)(x);
             }),
             Contains("sources must be unique"));
  CHECK_THAT(message([&] { vmap([](Array a) { return pmax(a > 1., "i"); }, over_i)(x); }),
             Contains("pmax: has no meaning on bools"));
  Jaxpr escaped = Jaxpr::parse("{ lambda ; a:f64[]. let b:f64[] = psum[axes=('i',)] a in (b,) }");
  CHECK_THAT(message([&] {
               Array a[] = {1.};
               eval_jaxpr(escaped, a);
             }),
             Contains("is not bound"));
}
