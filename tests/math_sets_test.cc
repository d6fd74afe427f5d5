// math_sets_test.cc -- numpy's sets, edits and indices; expected values are JAX's.
#include <catch2/catch.hpp>
#include "jaxpp/jaxpp.h"
#include "message.h"

using namespace jaxpp;
using Catch::Matchers::Contains;

namespace {
const double kNan = std::nan("");
void same(const Array& got, const Array& want) {
  INFO(got << "\n" << want);
  CHECK(got.shape() == want.shape());
  CHECK(got.dtype() == want.dtype());
  CHECK((got.shape() == want.shape() && array_equal(got, want, is_inexact(want.dtype()))));
}
const Array kX = {3., 1., 3., kNan, 2., kNan};
}  // namespace

TEST_CASE("nonzero, argwhere, extract", "[sets]") {
  const Array x = {{0, 3, 0}, {4, 0, 5}};
  const auto at = nonzero(x);
  same(at[0], {0L, 1L, 1L});
  same(at[1], {1L, 0L, 2L});
  same(argwhere(x), {{0L, 1L}, {1L, 0L}, {1L, 2L}});
  same(flatnonzero(x), {1L, 3L, 5L});
  same(extract(x > 3, x), {4, 5});
  const auto five = [](Array v) { return nonzero(v, {.size = 5, .fill_value = -1}); };
  for (const auto& got : {five(x), jit(five)(x)}) {
    same(got[0], {0L, 1L, 1L, -1L, -1L});
    same(got[1], {1L, 0L, 2L, -1L, -1L});
  }
  same(nonzero(x, {.size = 2})[1], {1L, 0L});
  same(vmap([](Array v) { return flatnonzero(v, {.size = 2}); })(x), {{1L, 0L}, {0L, 2L}});
  same(jit([](Array v) { return extract(v > 3, v, {.size = 3}); })(x), {4, 5, 0});
  CHECK(nonzero(zeros({0, 2}))[1].shape() == Shape{0});
  CHECK_THAT(message([&] { jit([](Array v) { return flatnonzero(v); })(x); }),
             Contains("{.size = n}"));
  CHECK_THAT(message([&] { nonzero(Array(1.)); }), Contains("of a number"));
  CHECK_THAT(message([&] { nonzero(x, {.size = -1}); }), Contains("the size is -1"));
  CHECK_THAT(message([&] { extract(x(0) > 0, x); }), Contains("is not of the size"));
}

TEST_CASE("unique", "[sets]") {
  const Unique u = unique_all(kX);
  same(u.values, {1., 2., 3., kNan});
  same(u.index, {1L, 4L, 0L, 3L});
  same(u.inverse, {2L, 0L, 2L, 3L, 1L, 3L});
  same(u.counts, {1L, 1L, 2L, 2L});
  same(unique(kX), u.values);
  const Array m = {{3L, 1L}, {3L, 2L}};
  const auto five = jit([](Array v) {
    const Unique w = unique_all(v, {.size = 5});
    return std::tuple(w.values, w.index, w.inverse, w.counts);
  })(m);
  same(std::get<0>(five), {1L, 2L, 3L, 1L, 1L});
  same(std::get<1>(five), {1L, 3L, 0L, 1L, 1L});
  same(std::get<2>(five), {{2L, 0L}, {2L, 1L}});
  same(std::get<3>(five), {1L, 1L, 2L, 0L, 0L});
  same(unique(Array{3, 1, 3, 2}, {.size = 5, .fill_value = -1}), {1, 2, 3, -1, -1});
  same(unique(Array{3, 1, 3, 2}, {.size = 2}), {1, 2});
  same(vmap([](Array v) { return unique(v, {.size = 2}); })(m), {{1L, 3L}, {2L, 3L}});
  CHECK(unique(zeros({0}, f32)).shape() == Shape{0});
  // Derivatives follow the elements.
  same(grad([](Array v) {
         return sum(unique(v, {.size = 2}) * Array{1., 10.});
       })(Array{5., 4.}),
       {10., 1.});
}

TEST_CASE("sets of numbers", "[sets]") {
  const Array a = {5, 1, 3, 3}, b = {3, 4, 5};
  same(union1d(a, b), {1, 3, 4, 5});
  same(intersect1d(a, b), {3, 5});
  same(setdiff1d(a, b), Array(std::vector<int>{1}));
  same(setxor1d(a, b), {1, 4});
  same(isin(a, b), {true, false, true, true});
  same(isin(a, b, true), {false, true, false, false});
  same(isin(a, zeros({0}, i32)), {false, false, false, false});
  same(jit([](Array x, Array y) { return union1d(x, y, {.size = 6}); })(a, b), {1, 3, 4, 5, 1, 1});
  same(intersect1d(a, b, {.size = 4}), {3, 5, 3, 3});
  same(setxor1d(a, b, {.size = 4}), {1, 4, 1, 1});
  same(setdiff1d(a, b, {.size = 3}), {1, 0, 0});
}

TEST_CASE("insert, delete_, rot90, block", "[edit]") {
  const Array m = arange(6).reshape({2, 3}), v = arange(4);
  same(insert(m, {1}, 9, 1), {{0, 9, 1, 2}, {3, 9, 4, 5}});
  same(insert(v, {1, 3}, Array{7, 8}), {0, 7, 1, 2, 8, 3});
  same(insert(v, {4}, 9), {0, 1, 2, 3, 9});
  same(delete_(m, {1}, 1), {{0, 2}, {3, 5}});
  same(delete_(arange(5), {0, 3}), {1, 2, 4});
  same(delete_(v, {-1}), {0, 1, 2});
  same(rot90(m), {{2, 5}, {1, 4}, {0, 3}});
  same(rot90(m, -1), {{3, 0}, {4, 1}, {5, 2}});
  same(rot90(m, 2), {{5, 4, 3}, {2, 1, 0}});
  same(block({{m, ones({2, 1}, i32)}, {Array{7, 8, 9, 6}}}),
       {{0, 1, 2, 1}, {3, 4, 5, 1}, {7, 8, 9, 6}});
  same(hsplit(arange(4).reshape({2, 2}), 2)[1], Array{{1}, {3}});
  same(fill_diagonal(zeros({3, 2}, f64), 5.), {{5., 0.}, {0., 5.}, {0., 0.}});
  same(choose(Array{1, 0, 2}, {Array{1, 2, 3}, Array{10, 20, 30}, Array{7, 8, 9}}), {10, 2, 9});
  same(grad([](Array x) {
         return sum(insert(delete_(x, {0}), {1}, 2 * x(0)) * Array{1., 2., 3.});
       })(Array{1., 2., 3.}),
       {4., 1., 3.});
  CHECK_THAT(message([&] { insert(v, {5}, 0); }), Contains("position 5 is outside"));
  CHECK_THAT(message([&] { delete_(v, {4}); }), Contains("position 4 is outside"));
  CHECK_THAT(message([&] { rot90(m, 1, {0, 0}); }), Contains("the axes are the same"));
}

TEST_CASE("indices and orders", "[edit]") {
  same(lexsort({Array{1, 0, 1, 0}, Array{2, 2, 1, 1}}), {3L, 2L, 1L, 0L});
  const auto at = unravel_index(Array{5, 7, -1}, {2, 4});
  same(at[0], {1L, 1L, 1L});
  same(at[1], {1L, 3L, 3L});
  same(ravel_multi_index({Array{1, 0}, Array{2, 3}}, {2, 4}), {6L, 3L});
  const auto [i, j] = tril_indices(3);
  same(i, {0L, 1L, 1L, 2L, 2L, 2L});
  same(j, {0L, 0L, 1L, 0L, 1L, 2L});
  same(triu_indices(2, 1, 3)[1], {1L, 2L, 2L});
  same(diag_indices(3)[1], {0L, 1L, 2L});
  same(partition(Array{3, 1, 2}, 1), {1, 2, 3});
  CHECK_THAT(message([&] { ravel_multi_index({Array{1}}, {2, 4}); }), Contains("1 indices for 2"));
}

TEST_CASE("gcd, heaviside, modf, logspace, geomspace, unwrap", "[edit]") {
  same(gcd(Array{12, -8, 0, 7}, Array{18, 12, 5, 0}), {6, 4, 5, 7});
  same(jit([](Array x, Array y) { return lcm(x, y); })(Array{4, -6, 0}, Array{6, 4, 3}),
       {12, 12, 0});
  same(vmap([](Array x) { return gcd(x, 12); })(Array{8, 9}), {4, 3});
  same(heaviside(Array{-1., 0., 2., kNan}, 0.5), {0., 0.5, 1., kNan});
  const auto [part, whole] = modf(Array{2.75, -1.25});
  same(part, {0.75, -0.25});
  same(whole, {2., -1.});
  CHECK(allclose(logspace(0., 2., 3), Array{1., 10., 100.}, 1e-14));
  CHECK(allclose(geomspace(1., 1000., 4), Array{1., 10., 100., 1000.}, 1e-14));
  CHECK(allclose(geomspace(-1., -100., 3), Array{-1., -10., -100.}, 1e-14));
  CHECK(allclose(unwrap(Array{0., 3., -3., 2.5, -2.5}),
                 Array{0., 3., 3.283185307179586, 2.5, 3.783185307179586}, 1e-14));
  same(ediff1d(Array{{1., 4.}, {9., 16.}}), {3., 5., 7.});
  CHECK_THAT(message([&] { gcd(Array(1.), 2); }), Contains("integers are wanted"));
}
