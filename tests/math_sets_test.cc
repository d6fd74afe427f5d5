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

TEST_CASE("resize, put, put_along_axis, place, diagflat", "[edit]") {
  same(resize(Array{1, 2, 3}, {2, 2}), {{1, 2}, {3, 1}});
  same(resize(Array{1, 2, 3}, {2}), {1, 2});
  same(resize(zeros({0}, i32), {3}), {0, 0, 0});
  same(diagflat(Array{{1, 2}, {3, 4}}, 1)(Slice(2)), {{0, 1, 0, 0, 0}, {0, 0, 2, 0, 0}});
  const Array x = {{1., 2., 3.}, {4., 5., 6.}};
  same(put(x, Array{0, -1, 7}, Array{9., 8.}), {{9., 2., 3.}, {4., 5., 8.}});
  same(put_along_axis(x, Array{{2}, {0}}, Array(7.), 1), {{1., 2., 7.}, {7., 5., 6.}});
  same(put_along_axis(x, Array{{1, 0, 1}}, Array{{10, 20, 30}}, 0),
       {{1., 20., 3.}, {10., 5., 30.}});
  const Array order = argsort(-x, 1);
  same(put_along_axis(zeros_like(x), order, take_along_axis(x, order, 1), 1), x);
  same(place(x, x > 2, Array{-1., -2., -3.}), {{1., 2., -1.}, {-2., -3., -1.}});
  const auto f = [](Array v) { return place(put(v, Array{1}, v(0)), v > 3, v(1)); };
  same(jit(f)(x), f(x));
  CHECK_THAT(message([&] { put(x, Array{0}, zeros({0})); }), Contains("put: no values"));
  CHECK_THAT(message([&] { put_along_axis(x, Array{0}, Array(7.), 1); }), Contains("another rank"));
  CHECK_THAT(message([&] { place(x, Array{true}, x); }), Contains("not of the shape"));
}

TEST_CASE("compress, trim_zeros", "[sets]") {
  const Array x = {{1, 2, 3}, {4, 5, 6}}, odd = {true, false, true};
  same(compress(odd, x, 1), {{1, 3}, {4, 6}});
  same(compress(Array{0, 1}, x, 0), {{4, 5, 6}});
  same(compress(odd, x), {1, 3});
  same(jit([&](Array c) { return compress(c, x, 1, {.size = 3, .fill_value = -1}); })(odd),
       {{1, 3, -1}, {4, 6, -1}});
  same(trim_zeros(Array{0, 1, 0, 2, 0}), {1, 0, 2});
  same(trim_zeros(Array{0, 1, 0, 2, 0}, "f"), {1, 0, 2, 0});
  same(trim_zeros(Array{0, 1, 0, 2, 0}, "b"), {0, 1, 0, 2});
  CHECK(trim_zeros(Array{0, 0}).shape() == Shape{0});
  CHECK_THAT(message([&] { compress(ones({4}), x, 1); }), Contains("up to 3 elements"));
  CHECK_THAT(message([&] { jit([](Array v) { return trim_zeros(v); })(Array{1}); }),
             Contains("not known here"));
  CHECK_THAT(message([&] { trim_zeros(Array{1}, "x"); }), Contains("no end \"x\""));
}

TEST_CASE("ix_, mgrid, ogrid, indices", "[edit]") {
  const Array x = arange(20).reshape({4, 5});
  const auto at = ix_({Array{0, 2}, Array{1, 3, 4}});
  same(x(at[0], at[1]), {{1, 3, 4}, {11, 13, 14}});
  const auto by_mask = ix_({Array{true, false, true, false}, Array{1, 3, 4}});
  same(x(by_mask[0], by_mask[1]), {{1, 3, 4}, {11, 13, 14}});
  same(indices({2, 3})[0], {{0L, 0L, 0L}, {1L, 1L, 1L}});
  same(indices({2, 3}, true)[1], {{0L, 1L, 2L}});
  same(mgrid({Slice(0, 2), Slice(1, 4)})[1], {{1L, 2L, 3L}, {1L, 2L, 3L}});
  same(ogrid({Slice(3), Slice(4, 0, -2)})[1], {{4L, 2L}});
  same(tril_indices_from(x, -2)[0], tril_indices(4, -2, 5)[0]);
  same(triu_indices_from(x)[1], triu_indices(4, 0, 5)[1]);
  same(diag_indices_from(x(Slice(4), Slice(4)))[0], {0L, 1L, 2L, 3L});
  CHECK_THAT(message([] { mgrid({Slice(1, None)}); }), Contains("needs a stop"));
  CHECK_THAT(message([&] { ix_({x}); }), Contains("is no vector"));
  CHECK_THAT(message([&] { diag_indices_from(x); }), Contains("equal sizes"));
}

TEST_CASE("packbits, unpackbits", "[edit]") {
  const Array bits = {1, 0, 1, 1, 0, 0, 0, 1, 1, 0};
  const auto bytes = [](std::vector<int> v) {
    return Array(std::span<const int>(v), {std::int64_t(v.size())}).astype(u8);
  };
  same(packbits(bits), bytes({177, 128}));
  same(packbits(bits, {}, false), bytes({141, 1}));
  same(packbits(bits.reshape({5, 2}), 0), bytes({200, 80})(None));
  same(unpackbits(bytes({177, 3})(All, None), 1),
       Array{{1, 0, 1, 1, 0, 0, 0, 1}, {0, 0, 0, 0, 0, 0, 1, 1}}.astype(u8));
  same(unpackbits(bytes({177, 3}), {}, -3, false), bytes({1, 0, 0, 0, 1, 1, 0, 1, 1, 1, 0, 0, 0}));
  same(unpackbits(bytes({177}), {}, 10), bytes({1, 0, 1, 1, 0, 0, 0, 1, 0, 0}));
  same(jit([](Array x) { return unpackbits(packbits(x)); })(bits)(Slice(10)), bits.astype(u8));
  CHECK_THAT(message([] { unpackbits(Array{1}); }), Contains("u8 is wanted"));
  CHECK_THAT(message([] { packbits(Array{1.}); }), Contains("integers or bools"));
}

TEST_CASE("ldexp, frexp, spacing", "[edit]") {
  const double inf = std::numeric_limits<double>::infinity();
  const std::vector<double> v = {0.,    -0.,      1.,  -3.5, 0.75, 1e-310, -5e-324, 1e308,
                                 1e300, 2.5e-308, inf, -inf, kNan, 0.1,    -1e-20};
  const Array x(std::span<const double>(v), {std::int64_t(v.size())});
  const auto [m, n] = frexp(x);
  CHECK(n.dtype() == i32);
  for (std::size_t i = 0; i < v.size(); ++i) {
    int e = 0;
    const double want = std::frexp(v[i], &e);
    INFO(v[i]);
    if (std::isfinite(v[i])) {
      CHECK(m(std::int64_t(i)).item<double>() == want);
      CHECK(n(std::int64_t(i)).item<int>() == e);
    }
    for (int k : {0, 1, -1, 52, -60, 1000, -1000, 1030, -1030, 2098, -2098, 3000, -3000, 1 << 30,
                  -(1 << 30)}) {
      const double got = ldexp(Array(v[i]), Array(k)).item<double>(), by = std::ldexp(v[i], k);
      INFO(k);
      CHECK((got == by || (std::isnan(got) && std::isnan(by))));
    }
  }
  same(ldexp(m, n), x);
  const auto back = jit([](Array y) { return frexp(y); })(x);
  same(back.first, m);
  same(back.second, n);
  // Halfway between two subnormal numbers: rounded once.
  const double tie = std::ldexp(1 + std::ldexp(1., -52), -1);
  for (int k : {-1073, -1060, -1040})
    CHECK(ldexp(Array(tie), Array(k)).item<double>() == std::ldexp(tie, k));
  int e = 0;
  same(frexp(Array{-3.f, 1e-40f}).first, Array{-0.75f, std::frexp(1e-40f, &e)});
  same(grad([](Array y) { return frexp(y).first; })(Array(12.)), 0.0625);
  same(grad([](Array y) { return ldexp(y, 3); })(Array(12.)), 8.);
  same(spacing(Array{1., -1.}), {0x1p-52, -0x1p-52});
  same(isreal(Array{std::complex<double>(1, 0), std::complex<double>(1, 2)}), {true, false});
  same(iscomplex(Array{1., 2.}), {false, false});
  CHECK_THAT(message([] { ldexp(Array(1.), Array(2.)); }), Contains("integers are wanted"));
}
