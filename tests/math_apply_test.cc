// math_apply_test.cc -- functions of slices as functions of arrays.
#include "jaxpp/math_apply.h"
#include "jaxpp/jaxpp.h"
#include "message.h"
#include "values.h"

using namespace jaxpp;
using Catch::Matchers::Contains;

TEST_CASE("vectorize", "[apply]") {
  const auto dots = vectorize([](Array x, Array y) { return sum(x * y); }, "(n),(n)->()");
  const Array a = arange(15, f64).reshape({5, 1, 3}), b = arange(12, f64).reshape({4, 3});
  check(dots(a, b), sum(a * b, -1));
  check(jit(dots)(a, b), sum(a * b, -1));
  check(dots(a(0, 0), b(1)), sum(a(0, 0) * b(1)));
  check(dots(a, b(2)), sum(a * b(2), -1));  // an argument without leading axes is shared
  const auto loss = [&](Array x, Array y) { return sum(square(dots(x, y))); };
  check(grad(loss)(a, b), grad([](Array x, Array y) { return sum(square(sum(x * y, -1))); })(a, b));
  check(vmap([&](Array x) { return dots(x, b); })(a), sum(a * b, -1));
  // No signature: numbers.  Any tree comes back.
  const auto sorted = vectorize([](Array x, Array y) {
    CHECK(x.ndim() == 0);
    return std::pair(minimum(x, y), where(x > y, x, y));
  });
  const auto [low, high] = sorted(Array{1., 5.}, Array{{2.}, {3.}});
  check(low, {{1., 2.}, {1., 3.}});
  check(high, {{2., 5.}, {3., 5.}});
  const auto outer_product =
      vectorize([](Array x, Array y) { return outer(x, y); }, " ( n ) , (m)->(n,m)");
  CHECK(outer_product(zeros({7, 2}), zeros({7, 3})).shape() == Shape{7, 2, 3});
  CHECK(outer_product(zeros({0, 2}), zeros({3})).shape() == Shape{0, 2, 3});
  const auto text = [](const char* signature) {
    return message([&] { vectorize([](Array x) { return x; }, signature)(zeros({2})); });
  };
  CHECK_THAT(text("(n)->(n"), Contains("has no ','"));
  CHECK_THAT(text("n->n"), Contains("has no '(' at 0"));
  CHECK_THAT(text("(n)"), Contains("has no '-'"));
  CHECK_THAT(text("(n,)->()"), Contains("has no name at 3"));
  CHECK_THAT(text("(n)->() x"), Contains("goes on behind its end"));
  CHECK_THAT(text("(n),(n)->()"), Contains("is of 2 arguments; there are 1"));
  CHECK_THAT(text("(n,m)->()"), Contains("the function wants 2 axes"));
  CHECK_THAT(message([&] {
               dots(a, zeros({2, 3}, f64).reshape({2, 1, 3})(All, 0));
             }),
             !Contains("vectorize: argument"));
  CHECK_THAT(message([&] { dots(zeros({2, 3}), zeros({4, 3})); }), Contains("broadcast"));
}

TEST_CASE("apply_along_axis, apply_over_axes", "[apply]") {
  const Array x = square(arange(24, f64) - 11).reshape({2, 3, 4});
  for (int axis : {0, 1, 2, -1})
    check(apply_along_axis([](Array v) { return sort(v); }, axis, x), sort(x, axis));
  check(apply_along_axis([](Array v) { return sum(v); }, 1, x), sum(x, 1));
  const auto two = apply_along_axis([](Array v) { return outer(v(Slice(2)), v); }, 1, x);
  CHECK(two.shape() == Shape{2, 2, 3, 4});
  check(two(1, All, All, 2), outer(x(1, Slice(2), 2), x(1, All, 2)));
  const auto both = [&](Array v) {
    return apply_along_axis([](Array w) { return std::pair(w(0), flip(w)); }, -1, v);
  };
  check(jit(both)(x).second, flip(x, -1));
  check(both(x).first, x(All, All, 0));
  check(apply_over_axes([](Array v, int d) { return sum(v, d); }, x, {0, 2}), sum(x, {0, 2}, true));
  check(apply_over_axes([](Array v, int d) { return cumsum(v, d); }, x, {0, 2}),
        cumsum(cumsum(x, 0), 2));
  CHECK_THAT(message([&] { apply_along_axis([](Array v) { return v; }, 3, x); }),
             Contains("apply_along_axis"));
}

TEST_CASE("piecewise, fromfunction", "[apply]") {
  const auto f = [](Array x) {
    return piecewise(
        x, {x<0, x> 2, x > 3}, [](Array v) { return v * v; }, [](Array v) { return -v; }, 7., -1);
  };
  const Array x = {-2., 1., 2.5, 4.};
  check(f(x), {4., -1., -2.5, 7.});
  check(jit(f)(x), f(x));
  check(vmap(f)(x), f(x));
  check(grad([&](Array v) { return sum(f(v)); })(x), {-4., 0., -1., 0.});
  check(piecewise(x, {x < 0}, x + 1), {-1., 0., 0., 0.});
  check(piecewise(Array{1, 2}, {Array{true, false}}, 2.7), {2, 0});
  CHECK_THAT(message([&] { piecewise(x, {x<0, x> 1}, 1); }), Contains("2 conditions and 1 pieces"));
  check(fromfunction([](Array i, Array j) { return 10 * i + j; }, {2, 3}),
        {{0L, 1L, 2L}, {10L, 11L, 12L}});
}
