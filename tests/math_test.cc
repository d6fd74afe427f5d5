// math_test.cc -- the numpy surface: values, element types, shapes, derivatives at corners, and
// errors.
#include "jaxpp/math.h"
#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include "jaxpp/grad.h"
#include "jaxpp/jit.h"
#include "jaxpp/nested.h"
#include "jaxpp/vmap.h"
#include "tests/values.h"

using namespace jaxpp;

namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN(),
                 kInf = std::numeric_limits<double>::infinity();

template <class F>
void check_fails(F f, const std::string& text) {
  try {
    f();
  } catch (const TypeError& e) {
    INFO(e.what());
    CHECK(std::string(e.what()).find(text) != std::string::npos);
    CHECK(std::string(e.what()).find("math_test.cc:") != std::string::npos);
    return;
  }
  FAIL("no exception; expected: " << text);
}

const Array A = {{1., 2., 3.}, {4., 5., 6.}};

// ---- What must not compile
template <class T>
concept MaxWith = requires(Array x, T t) {
  max(x, t);
};
static_assert(MaxWith<int> && MaxWith<Axes> && !MaxWith<double> && !MaxWith<float> &&
              !MaxWith<bool> && !MaxWith<Array>);
template <class T>
concept MinWith = requires(Array x, T t) {
  min(x, t);
};
static_assert(MinWith<int> && !MinWith<double> && !MinWith<Array>);
template <class T>
concept SumOver = requires(Array x, T t) {
  sum(x, t);
};
static_assert(SumOver<int> && SumOver<long> && !SumOver<double>);

TEST_CASE("math: creation") {
  check(zeros({2, 1}), Array{{0.f}, {0.f}});
  check(ones({2}, i32), Array{1, 1});
  check(zeros({}), Array(0.f));
  {
    auto scope = default_dtype(f64);
    check(ones({1}), Array{1.});
    check(eye(1), Array{{1.}});
  }
  CHECK(default_dtype() == f32);
  CHECK_THROWS_AS(default_dtype(i32), TypeError);
  check(full({2}, 7), Array{7, 7});
  check(full({2}, 7.), Array{7., 7.});
  check(full({2}, 7, f32), Array{7.f, 7.f});
  check(full({2, 2}, Array{1, 2}), Array{{1, 2}, {1, 2}});
  check(full({1}, std::int64_t(1) << 62), Array{std::int64_t(1) << 62});
  check(zeros_like(A), Array{{0., 0., 0.}, {0., 0., 0.}});
  check(ones_like(Array{1, 2}, f32), Array{1.f, 1.f});
  check(full_like(Array{1.f, 2.f}, 3), Array{3.f, 3.f});
}

TEST_CASE("math: ranges") {
  check(arange(3), Array{0, 1, 2});
  check(arange(3, f32), Array{0.f, 1.f, 2.f});
  // Its length is known while a trace records, of floats too.
  check(jit([](Array x) { return arange(3.) + arange(1., 4.) + x; })(1.), Array{2., 4., 6.});
  check(arange(1, 4), Array{1, 2, 3});
  check(arange(4.), Array{0., 1., 2., 3.});
  check(jit([](Array x) { return arange(4.) + arange(0., 4.) + arange(0.f, 2.f, 0.5f) + x; })(0.),
        arange(4.) + arange(0., 4.) + arange(0.f, 2.f, 0.5f));
  check(arange(5, 0, -2), Array{5, 3, 1});
  check(arange(0, 5, 2), Array{0, 2, 4});
  check(arange(1., 2., 0.25), Array{1., 1.25, 1.5, 1.75});
  check(arange(2.5), Array{0., 1., 2.});
  CHECK(arange(3, 0).shape() == Shape{0});
  CHECK(arange(A.size()).dtype() == i64);
  check(
      jit([](Array x) { return x + arange(std::int64_t(3)) + arange(1., 4.); })(Array{1., 1., 1.}),
      {2., 4., 6.});
  check_fails([] { arange(0, 1, 0); }, "the step is 0");
  check_fails([] { arange(0., kInf); }, "not a finite number");
  check(linspace(0., 1., 5), Array{0., 0.25, 0.5, 0.75, 1.});
  check(linspace(0., 1., 4, false), Array{0., 0.25, 0.5, 0.75});
  check(linspace(0.f, 1.f, 2), Array{0.f, 1.f});
  check(linspace(3., 1., 1), Array{3.});
  CHECK(linspace(0., 1., 0).shape() == Shape{0});
  check(linspace(Array{0., 1.}, 2., 3), Array{{0., 1.}, {1., 1.5}, {2., 2.}});
  check(linspace(0, 10, 5, true, i32), Array{0, 2, 5, 7, 10});
}

TEST_CASE("math: identities, triangles, diagonals") {
  check(eye(2, f64), Array{{1., 0.}, {0., 1.}});
  check(eye(2, 3, 1, i32), Array{{0, 1, 0}, {0, 0, 1}});
  check(eye(3, 2, -1, i32), Array{{0, 0}, {1, 0}, {0, 1}});
  check(identity(1), Array{{1.f}});
  check(tri(2, 3, 1, i32), Array{{1, 1, 0}, {1, 1, 1}});
  check(tril(A), Array{{1., 0., 0.}, {4., 5., 0.}});
  check(tril(A, -1), Array{{0., 0., 0.}, {4., 0., 0.}});
  check(triu(A), Array{{1., 2., 3.}, {0., 5., 6.}});
  check(triu(A, 2), Array{{0., 0., 3.}, {0., 0., 0.}});
  check(diagonal(A), Array{1., 5.});
  check(diagonal(A, 1), Array{2., 6.});
  check(diagonal(A, 2), Array{3.});
  check(diagonal(A, -1), Array{4.});
  CHECK(diagonal(A, 3).shape() == Shape{0});
  CHECK(diagonal(A, -7).shape() == Shape{0});
  CHECK(diagonal(zeros({2, 3, 4}), 0, 1, -1).shape() == Shape{2, 3});
  check(diag(Array{1, 2}), Array{{1, 0}, {0, 2}});
  check(diag(Array{1, 2}, 1), Array{{0, 1, 0}, {0, 0, 2}, {0, 0, 0}});
  check(diag(Array{1, 2}, -1), Array{{0, 0, 0}, {1, 0, 0}, {0, 2, 0}});
  check(diag(A, 1), Array{2., 6.});
  check(trace(A), Array(6.));
  check(trace(Array{{1, 2}, {3, 4}}), Array(std::int64_t(5)));
  auto g = meshgrid({Array{1, 2, 3}, Array{4, 5}});
  check(g[0], Array{{1, 2, 3}, {1, 2, 3}});
  check(g[1], Array{{4, 4, 4}, {5, 5, 5}});
  CHECK(meshgrid({Array{1, 2, 3}, Array{4, 5}}, "ij")[0].shape() == Shape{3, 2});
  check_fails([] { diagonal(Array{1., 2.}); }, "diagonal: needs a matrix");
  check_fails([] { diagonal(A, 0, 1, -1); }, "axis 1 is given twice");
}

TEST_CASE("math: numbers beside arrays are weak by kind") {
  const Array x = {1.f, 2.f}, n = {1, 2}, b = {true, false};
  CHECK(maximum(x, 0.0).dtype() == f32);
  CHECK(maximum(0, x).dtype() == f32);
  CHECK(maximum(n, 1L).dtype() == i32);
  CHECK(maximum(n, 1.5).dtype() == f64);
  check(add(b, true), Array{true, true});  // of bools, the sum is `or` and the product `and`
  CHECK(add(b, 1).dtype() == i32);
  CHECK(where(b, x, 0).dtype() == f32);
  CHECK(where(b, 1.0, x).dtype() == f32);
  CHECK(where(b, 1, 0).dtype() == i32);
  CHECK(where(b, 1, 0.5).dtype() == f64);
  CHECK(pow(x, 2.0).dtype() == f32);
  CHECK(pow(x, 2).dtype() == f32);
  CHECK(pow(2.0, x).dtype() == f32);
  CHECK(clip(x, 0., 1.).dtype() == f32);
  CHECK(clip(n, 0, 1).dtype() == i32);
  CHECK(logaddexp(x, 0).dtype() == f32);
  CHECK(multiply(x, std::complex<double>(0, 1)).dtype() == c64);
  CHECK(arctan2(x, 1.).dtype() == f32);
  CHECK(maximum(zeros({2}, bf16), 1.).dtype() == bf16);
  CHECK(allclose(x, Array{1.f, 2.f}));
  CHECK(allclose(Array{0.1f}, 0.1));
}

TEST_CASE("math: elementwise values and types") {
  check(sin(Array{0., 1.}), Array{0., std::sin(1.)});
  CHECK(sin(Array{1}).dtype() == f64);
  CHECK(sqrt(Array{true}).dtype() == f64);
  CHECK(exp(zeros({1}, bf16)).dtype() == bf16);
  check(log2(Array{8.}), Array{3.});
  check(log10(Array{1000.}), Array{3.});
  check(cbrt(Array{-8.}), Array{-2.});
  check(exp2(Array{3.}), Array{8.});
  check(abs(Array{-2, 3}), Array{2, 3});
  check(sign(Array{-2., 0., 3.}), Array{-1., 0., 1.});
  check(floor(Array{-1.5, 1.5}), Array{-2., 1.});
  check(floor(Array{3}), Array{3});
  check(trunc(Array{-1.5, 1.5}), Array{-1., 1.});
  check(round(Array{0.5, 1.5, 2.5, -0.5}), Array{0., 2., 2., 0.});
  check(round(Array{1.234, 5.678}, 1), Array{1.2, 5.7});
  check(round(Array{123.}, -1), Array{120.});
  check(square(Array{-3}), Array{9});
  check(reciprocal(Array{4.}), Array{0.25});
  check(deg2rad(Array{180.}), Array{M_PI});
  check(rad2deg(Array{M_PI}), Array{180.});
  check(sinc(Array{0., 0.5, 1.}), Array{1., 2 / M_PI, 0.});
  check(logit(Array{0.5}), Array{0.});
  check(nan_to_num(Array{kNan, kInf, -kInf, 1.}, 7, 8, 9), Array{7., 8., 9., 1.});
  check(nan_to_num(Array{float(kInf)}), Array{std::numeric_limits<float>::max()});
  check(isnan(Array{kNan, kInf, 1.}), Array{true, false, false});
  check(isinf(Array{kNan, -kInf, 1.}), Array{false, true, false});
  check(isposinf(Array{kInf, -kInf}), Array{true, false});
  check(isneginf(Array{kInf, -kInf}), Array{false, true});
  check(isfinite(Array{kNan, kInf, 1.}), Array{false, false, true});
  check(isfinite(Array{1, 2}), Array{true, true});
  check(signbit(Array{-0.0, 0.0, -1.}), Array{true, false, true});
  check(signbit(Array{-1, 1}), Array{true, false});
  check(logical_not(Array{0, 2}), Array{true, false});
  check(invert(Array{0, 5}), Array{-1, -6});
  check(bitwise_count(Array{7, 8}), Array{std::uint8_t(3), std::uint8_t(1)});
}

TEST_CASE("math: binary functions") {
  check(add(Array{1, 2}, Array{0.5, 0.5}), Array{1.5, 2.5});
  check(divide(Array{1L}, Array{2L}), Array{0.5});
  CHECK(divide(Array{1}, Array{2}).dtype() == f64);
  const Array n = {7, -7, 7, -7}, m = {2, 2, -2, -2};
  check(floor_divide(n, m), Array{3, -4, -4, 3});
  check(remainder(n, m), Array{1, 1, -1, -1});
  check(fmod(n, m), Array{1, -1, 1, -1});
  check(floor_divide(n.astype(f64), m.astype(f64)), Array{3., -4., -4., 3.});
  check(remainder(n.astype(f64), m.astype(f64)), Array{1., 1., -1., -1.});
  check(remainder(Array{5, 6}, 0), Array{0, 0});
  check(fmod(Array{5}, 0), Array{0});
  auto [q, r] = divmod(Array{7.5}, 2.);
  check(q, Array{3.});
  check(r, Array{1.5});
  check(pow(Array{2, 3}, Array{10, 3}), Array{1024, 27});
  check(pow(Array{0, 0}, Array{0, 2}), Array{1, 0});
  check(pow(Array{2.}, -2), Array{0.25});
  check(pow(Array{4.}, Array{0.5}), Array{2.});
  check(pow(Array{2., 0.}, Array{3, 0}), Array{8., 1.});
  check_fails([] { pow(Array{2}, -1); }, "integers to a negative power");
  check(float_power(Array{2L}, Array{-1L}), Array{0.5});
  check(hypot(Array{3e200, 0.}, Array{4e200, 0.}), Array{5e200, 0.});
  check(hypot(Array{kInf}, Array{kNan}), Array{kInf});
  check(arctan2(Array{1., -1.}, Array{-1., -1.}), Array{std::atan2(1., -1.), std::atan2(-1., -1.)});
  check(logaddexp(Array{1000., 0.}, Array{1000., 0.}), Array{1000 + std::log(2.), std::log(2.)});
  check(logaddexp(Array{-kInf, kInf, kNan}, Array{-kInf, 0., 0.}), Array{-kInf, kInf, kNan});
  check(logaddexp2(Array{3.}, Array{3.}), Array{4.});
  check(xlogy(Array{0., 2.}, Array{0., M_E}), Array{0., 2.});
  check(xlog1py(Array{0., 2.}, Array{-1., M_E - 1}), Array{0., 2.});
  check(copysign(Array{1., 1.}, Array{-0.0, 2.}), Array{-1., 1.});
  check(maximum(Array{1., kNan}, Array{2., 0.}), Array{2., kNan});
  check(fmax(Array{1., kNan}, Array{2., 0.}), Array{2., 0.});
  check(fmin(Array{1., kNan}, Array{2., 0.}), Array{1., 0.});
  check(clip(Array{-1., 0.5, 2.}, 0, 1), Array{0., 0.5, 1.});
  check(logical_and(Array{1, 0}, Array{2., 2.}), Array{true, false});
  check(logical_xor(Array{1, 0}, Array{2., 2.}), Array{false, true});
  check(bitwise_xor(Array{6}, 3), Array{5});
  check(left_shift(Array{1}, 3), Array{8});
  check(right_shift(Array{-8}, 1), Array{-4});
  check(right_shift(Array{8u}, 1), Array{4u});
  check(less(Array{1}, Array{1.5}), Array{true});
  check(add(Array{{1.}, {2.}}, Array{10., 20.}), Array{{11., 21.}, {12., 22.}});
  check(where(Array{true, false}, Array{{1.}, {2.}}, 0), Array{{1., 0.}, {2., 0.}});
  check(where(Array{1, 0}, Array{1, 2}, Array{3, 4}), Array{1, 4});
  check(isclose(Array{1., kInf, kNan}, Array{1. + 1e-9, kInf, kNan}), Array{true, true, false});
  CHECK(allclose(Array{kNan}, Array{kNan}, 1e-5, 1e-8, true));
  CHECK(array_equal(A, A));
  CHECK(!array_equal(A, ravel(A)));
  check_fails([] { add(Array{1., 2.}, Array{1., 2., 3.}); }, "do not broadcast");
  check_fails([] { maximum(Array(), 0); }, "null");
}

TEST_CASE("math: complex numbers") {
  using C = std::complex<double>;
  const Array z = {C(3, 4), C(0, -1)};
  check(abs(z), Array{5., 1.});
  check(real(z), Array{3., 0.});
  check(imag(z), Array{4., -1.});
  check(conj(z), Array{C(3, -4), C(0, 1)});
  check(angle(z), Array{std::atan2(4., 3.), -M_PI / 2});
  check(angle(Array{-1.}, true), Array{180.});
  check(imag(Array{1.}), Array{0.});
  check(sum(z), Array(C(3, 3)));
  check(mean(z), Array(C(1.5, 1.5)));
  check(vdot(z, z), Array(C(26, 0)));
  check(var(z), Array(2.25 + 6.25));
  check_fails([&] { clip(z, 0, 1); }, "complex numbers have no order");
}

TEST_CASE("math: reductions") {
  check(sum(A), Array(21.));
  check(sum(A, 0), Array{5., 7., 9.});
  check(sum(A, -1, true), Array{{6.}, {15.}});
  check(sum(A, {0, 1}), Array(21.));
  check(sum(A, {0, 1}, true), Array{{21.}});
  check(sum(A, {}), A);
  check(sum(Array{1, 2}), Array(std::int64_t(3)));
  check(sum(Array{true, true}), Array(std::int64_t(2)));
  check(sum(Array{1u, 2u}), Array(std::uint64_t(3)));
  CHECK(sum(zeros({3}, bf16)).dtype() == bf16);
  CHECK(double(sum(ones({4096}, f16))) == 4096);
  check(sum(zeros({0, 2}, f64), 0), Array{0., 0.});
  check(prod(A, 1), Array{6., 120.});
  check(mean(A), Array(3.5));
  check(mean(A, 0), Array{2.5, 3.5, 4.5});
  CHECK(mean(Array{1, 2}).dtype() == f64);
  check(mean(Array{1L, 2L}), Array(1.5));
  check(var(A, 1), Array{2. / 3, 2. / 3});
  check(var(A, 1, false, 1), Array{1., 1.});
  check(stddev(A, 1, true, 1), Array{{1.}, {1.}});
  CHECK(std::isnan(double(var(Array{1.}, 0, false, 1))));
  check(max(A, 0), Array{4., 5., 6.});
  check(min(A), Array(1.));
  check(max(Array{1., kNan}), Array(kNan));
  check(ptp(A, 1), Array{2., 2.});
  check(all(Array{1, 0}), Array(false));
  check(any(Array{{1, 0}, {0, 0}}, 1), Array{true, false});
  check(count_nonzero(Array{1., 0., 2.}), Array(std::int64_t(2)));
  check(average(Array{1., 2.}, Array{3., 1.}), Array(1.25));
  check(average(A, Array{1., 0.}, 0), Array{1., 2., 3.});
  check(argmax(A), Array(std::int64_t(5)));
  check(argmax(A, 0), Array{1L, 1L, 1L});
  check(argmin(A, 1, true), Array{{0L}, {0L}});
  check(cumsum(A), Array{1., 3., 6., 10., 15., 21.});
  check(cumsum(A, 0), Array{{1., 2., 3.}, {5., 7., 9.}});
  check(cumprod(Array{1, 2, 3}), Array{1, 2, 6});
  check(diff(Array{1, 4, 9, 16}), Array{3, 5, 7});
  check(diff(Array{1, 4, 9, 16}, 2), Array{2, 2});
  check_fails([] { sum(A, 2); }, "sum: axis 2 is out of range for f64[2,3]");
  check_fails([] { sum(A, {0, -2}); }, "axis 0 is given twice");
  check_fails([] { max(zeros({0})); }, "nothing to choose from");
  check_fails([] { argmax(zeros({2, 0}), 1); }, "nothing to choose from");
  check_fails([] { sum(Array()); }, "null");
}

TEST_CASE("math: sorting and searching") {
  check(sort(Array{3., kNan, 1., 2.}), Array{1., 2., 3., kNan});
  check(sort(Array{{3, 1}, {2, 4}}, 0), Array{{2, 1}, {3, 4}});
  check(sort(Array{1, 3, 2}, -1, true), Array{3, 2, 1});
  check(argsort(Array{3, 1, 2}), Array{1L, 2L, 0L});
  check(argsort(Array{1, 2, 1, 2}, 0, true), Array{1L, 3L, 0L, 2L});
  const Array a = {1., 2., 2., 3.};
  check(searchsorted(a, Array{0., 2., 2.5, 9., kNan}), Array{0, 1, 3, 4, 4});
  check(searchsorted(a, Array{{2., 3.}}, "right"), Array{{3, 4}});
  check(searchsorted(zeros({0}, f64), 1.), Array(0));
  check(searchsorted(a, 2), Array(1));
  check_fails([&] { searchsorted(a, 1., "middle"); }, "left");
  check(interp(Array{0., 1.5, 2.5, 9.}, Array{1., 2., 3.}, Array{10., 20., 40.}),
        Array{10., 15., 30., 40.});
}

TEST_CASE("math: products") {
  const Array B = {{1., 0.}, {0., 1.}, {1., 1.}}, v = {1., 2., 3.};
  check(matmul(A, B), Array{{4., 5.}, {10., 11.}});
  check(matmul(A, v), Array{14., 32.});
  check(matmul(v, B), Array{4., 5.});
  check(matmul(v, v), Array(14.));
  check(dot(v, v), Array(14.));
  check(dot(A, 2.), 2. * A);
  check(dot(A, B), matmul(A, B));
  check(inner(A, A), Array{{14., 32.}, {32., 77.}});
  check(outer(Array{1, 2}, Array{3, 4}), Array{{3, 4}, {6, 8}});
  check(tensordot(A, B, 1), matmul(A, B));
  check(tensordot(A, A), Array(91.));
  check(tensordot(A, A, 0, 0), matmul(transpose(A), A));
  check(tensordot(A, A, {1}, {1}), inner(A, A));
  CHECK(dot(zeros({2, 3, 4}), zeros({5, 4, 6})).shape() == Shape{2, 3, 5, 6});
  // batches broadcast
  const Array x = arange(24., f64).reshape({2, 1, 3, 4}), y = arange(40., f64).reshape({5, 4, 2});
  Array z = matmul(x, y);
  CHECK(z.shape() == Shape{2, 5, 3, 2});
  check(z(1, 3), matmul(x(1, 0), y(3)));
  check(matmul(x, ones({4}, f64)), sum(x, -1));
  check(matmul(ones({4}, f64), y), sum(y, 1));
  check(matmul(Array{true, false}, Array{true, true}), Array(true));
  check(cross(Array{1., 0., 0.}, Array{0., 1., 0.}), Array{0., 0., 1.});
  check(cross(Array{1., 2.}, Array{3., 4.}), Array(-2.));
  check(kron(Array{1, 2}, Array{{1}, {10}}), Array{{1, 2}, {10, 20}});
  check_fails(
      [&] { matmul(A, A); },
      "matmul: inner dimensions differ: f64[2,3] has 3 on axis 1, f64[2,3] has 2 on axis 0.");
  check_fails([&] { matmul(A, 2 * Array(1.)); }, "matmul: needs at least vectors");
  check_fails([&] { matmul(zeros({2, 3, 4}), zeros({3, 4, 5})); }, "batch sizes do not broadcast");
  check_fails([&] { dot(v, Array{1., 2.}); }, "dot: inner dimensions differ");
}

TEST_CASE("math: einsum") {
  const Array B = {{1., 0.}, {0., 1.}, {1., 1.}}, v = {1., 2., 3.}, S = {{1., 2.}, {3., 4.}};
  check(einsum("ij,jk->ik", A, B), matmul(A, B));
  check(einsum("ij,jk", A, B), matmul(A, B));
  check(einsum("ij,jk->ki", A, B), transpose(matmul(A, B)));
  check(einsum("ii", S), Array(5.));
  check(einsum("ii->i", S), Array{1., 4.});
  check(einsum("ij->ji", A), transpose(A));
  check(einsum("ij->", A), Array(21.));
  check(einsum("ij->j", A), Array{5., 7., 9.});
  check(einsum("i,i", v, v), Array(14.));
  check(einsum("i,j", v, v), outer(v, v));
  check(einsum("...i,i", A, v), matmul(A, v));
  check(einsum("...i->...", A), sum(A, 1));
  check(einsum("ij,ij->i", A, A), sum(A * A, 1));
  check(einsum("bij,bjk->bik", ones({2, 2, 3}, f64), ones({2, 3, 1}, f64)), full({2, 2, 1}, 3.));
  check(einsum("ij,jk,kl,l->i", A, B, S, Array{1., 1.}),
        matmul(matmul(matmul(A, B), S), Array{1., 1.}));
  check(einsum("i,i,i->i", v, v, v), v * v * v);
  check(einsum("ii,ii->i", S, S), Array{1., 16.});
  check(einsum("ij,kj->", A, A), sum(matmul(A, transpose(A))));
  check(einsum("...ij,...jk->...ik", ones({3, 2, 3}, f64), ones({1, 3, 2}, f64)),
        full({3, 2, 2}, 3.));
  check(einsum("ij,ij->ij", A, ones({1, 3}, f64)), A);
  check(einsum("ij,jk->ik", {A, B}), matmul(A, B));
  check_fails([&] { einsum("ij,jk->ik", A, A); }, "label j has sizes 3 and 2");
  check_fails([&] { einsum("ij->ik", A); }, "label k of the result");
  check_fails([&] { einsum("ijk", A); }, "has 2 axes");
  check_fails([&] { einsum("ij,jk", A); }, "more operands");
  check_fails([&] { einsum("ij", A, A); }, "fewer operands");
  check_fails([&] { einsum("i?", A); }, "is not a label");
  check_fails([&] { einsum("ij->ii", A); }, "twice in the result");
}

TEST_CASE("math: shapes") {
  check(reshape(A, {3, -1}), Array{{1., 2.}, {3., 4.}, {5., 6.}});
  check(A.reshape({-1}), ravel(A));
  check(reshape(zeros({0, 3}), {0, 7}), zeros({0, 7}));
  check(A.astype(i32), Array{{1, 2, 3}, {4, 5, 6}});
  check(transpose(A), Array{{1., 4.}, {2., 5.}, {3., 6.}});
  const Array x = arange(24).reshape({2, 3, 4});
  CHECK(transpose(x).shape() == Shape{4, 3, 2});
  CHECK(transpose(x, {1, 0, 2}).shape() == Shape{3, 2, 4});
  CHECK(transpose(x, {-1, 0, 1}).shape() == Shape{4, 2, 3});
  CHECK(swapaxes(x, 0, -1).shape() == Shape{4, 3, 2});
  CHECK(moveaxis(x, 0, -1).shape() == Shape{3, 4, 2});
  CHECK(moveaxis(x, {0, 1}, {-1, 0}).shape() == Shape{3, 4, 2});
  CHECK(matrix_transpose(x).shape() == Shape{2, 4, 3});
  CHECK(expand_dims(x, 0).shape() == Shape{1, 2, 3, 4});
  CHECK(expand_dims(x, {0, -1}).shape() == Shape{1, 2, 3, 4, 1});
  CHECK(squeeze(zeros({1, 2, 1})).shape() == Shape{2});
  CHECK(squeeze(zeros({1, 2, 1}), -1).shape() == Shape{1, 2});
  check(broadcast_to(Array{1, 2}, {2, 2}), Array{{1, 2}, {1, 2}});
  CHECK(broadcast_shapes({{2, 1}, {3}}) == Shape{2, 3});
  CHECK(broadcast_arrays({A, Array(1.)})[1].shape() == Shape{2, 3});
  CHECK(atleast_3d(Array{1, 2}).shape() == Shape{1, 2, 1});
  check(concatenate({A, A(Slice(0, 1))}), Array{{1., 2., 3.}, {4., 5., 6.}, {1., 2., 3.}});
  check(concatenate({Array{1}, Array{2.5}}), Array{1., 2.5});
  check(stack({Array{1, 2}, Array{3, 4}}, -1), Array{{1, 3}, {2, 4}});
  check(hstack({Array{1}, Array{2, 3}}), Array{1, 2, 3});
  check(vstack({Array{1, 2}, Array{3, 4}}), Array{{1, 2}, {3, 4}});
  check(column_stack({Array{1, 2}, Array{3, 4}}), Array{{1, 3}, {2, 4}});
  CHECK(dstack({A, A}).shape() == Shape{2, 3, 2});
  auto parts = split(arange(6), {1, 4});
  check(parts[0], Array{0});
  check(parts[1], Array{1, 2, 3});
  check(parts[2], Array{4, 5});
  CHECK(split(arange(6), 3).size() == 3);
  CHECK(split(arange(6), {2}).size() == 2);
  check(array_split(arange(5), 3)[2], Array{4});
  check(unstack(A)[1], Array{4., 5., 6.});
  check(tile(Array{1, 2}, 2), Array{1, 2, 1, 2});
  check(tile(Array{1, 2}, {2, 1}), Array{{1, 2}, {1, 2}});
  check(repeat(Array{1, 2}, 2), Array{1, 1, 2, 2});
  check(repeat(Array{{1, 2}, {3, 4}}, 2, 1), Array{{1, 1, 2, 2}, {3, 3, 4, 4}});
  check(flip(A, 1), Array{{3., 2., 1.}, {6., 5., 4.}});
  check(flipud(A), Array{{4., 5., 6.}, {1., 2., 3.}});
  check(roll(arange(5), 2), Array{3, 4, 0, 1, 2});
  check(roll(arange(5), -6), Array{1, 2, 3, 4, 0});
  check(roll(A, 1, 1), Array{{3., 1., 2.}, {6., 4., 5.}});
  check(roll(A, {1, 1}, {0, 1}), Array{{6., 4., 5.}, {3., 1., 2.}});
  check_fails(
      [&] {
        reshape(A, {4, -1});
      },
      "the 6 elements of f64[2,3] do not fill the shape (4, -1)");
  check_fails([&] { reshape(A, {-1, -1}); }, "do not fill");
  check_fails([&] { transpose(A, {0}); }, "not a permutation");
  check_fails([&] { squeeze(A, 0); }, "does not have size 1");
  check_fails([&] { broadcast_to(A, {2}); }, "broadcast_to");
  check_fails([&] { concatenate({A, Array{1.}}); }, "concatenate");
  check_fails([&] { concatenate({}); }, "needs at least one array");
  check_fails([&] { stack({A, Array{1.}}); }, "differ");
  check_fails([&] { split(arange(5), 2); }, "does not divide");
  check_fails([&] { expand_dims(A, {0, 0}); }, "not distinct");
}

TEST_CASE("math: padding") {
  const Array v = {1, 2, 3};
  check(pad(v, 1), Array{0, 1, 2, 3, 0});
  check(pad(v, {2, 0}, "constant", 9.), Array{9, 9, 1, 2, 3});
  check(pad(v, {2, 1}, "edge"), Array{1, 1, 1, 2, 3, 3});
  check(pad(v, {2, 5}, "reflect"), Array{3, 2, 1, 2, 3, 2, 1, 2, 3, 2});
  check(pad(v, {2, 4}, "symmetric"), Array{2, 1, 1, 2, 3, 3, 2, 1, 1});
  check(pad(v, {4, 2}, "wrap"), Array{3, 1, 2, 3, 1, 2, 3, 1, 2});
  check(pad(Array{{1}}, {{1, 0}, {0, 2}}), Array{{0, 0, 0}, {1, 0, 0}});
  check_fails([&] { pad(v, -1); }, "negative");
  check_fails([&] { pad(v, 1, "mirror"); }, "no mode");
  check_fails([&] { pad(zeros({0}), 1, "edge"); }, "nothing to repeat");
}

TEST_CASE("math: taking elements") {
  const Array v = {10., 20., 30.};
  check(take(v, Array{2, 0, -1}), Array{30., 10., 30.});
  check(take(v, Array{{0, 5}}), Array{{10., kNan}});
  check(take(v, Array{5, -9}, 0, "clip"), Array{30., 10.});
  check(take(v, Array{4, -4}, 0, "wrap"), Array{20., 30.});
  check(take(A, Array{2, 0}, 1), Array{{3., 1.}, {6., 4.}});
  check(take(A, 1, 0), Array{4., 5., 6.});
  CHECK(take(A, Array{{0, 1, 0, 1}}, 0).shape() == Shape{1, 4, 3});
  CHECK(take(v, zeros({0}, i32)).shape() == Shape{0});
  check(take_along_axis(A, Array{{2}, {0}}, 1), Array{{3.}, {4.}});
  const Array m = {{3., 1., 2.}, {1., 3., 2.}};
  check(take_along_axis(m, argsort(m, 1), 1), sort(m, 1));
  check_fails([&] { take(v, Array{1.}); }, "indices must be integers");
  check_fails([&] { take(zeros({0}), Array{0}); }, "is empty");
}

TEST_CASE("math: derivatives at corners are JAX's") {
  auto d = [](auto f, double x) { return double(grad(f)(x)); };
  CHECK(d([](Array x) { return maximum(x, 0.); }, 0) == 0.5);
  CHECK(d([](Array x) { return clip(x, 0., 1.); }, 1) == 0.5);
  CHECK(d([](Array x) { return abs(x); }, 0) == 1);
  CHECK(d([](Array x) { return pow(x, 2); }, 0) == 0);
  CHECK(d([](Array x) { return pow(x, 2.); }, -1) == -2);
  CHECK(d([](Array x) { return pow(x, Array{0}(0)); }, 0) == 0);
  CHECK(d([](Array x) { return logaddexp(x, 0.); }, 0) == 0.5);
  CHECK(d([](Array x) { return logaddexp(0., x); }, 0) == 0.5);
  CHECK(d([](Array x) { return logaddexp(x, x); }, 3) == 1);
  CHECK(d([](Array x) { return logaddexp(x, 0.); }, 1000) == 1);
  CHECK(d([](Array x) { return logaddexp(x, -kInf); }, 1) == 1);
  CHECK(d(grad([](Array x) { return logaddexp(x, 0.); }), 0) == 0.25);
  CHECK(d([](Array x) { return sinc(x); }, 0) == 0);
  CHECK(std::abs(d(grad([](Array x) { return sinc(x); }), 0) + M_PI * M_PI / 3) < 1e-12);
  CHECK(d([](Array x) { return xlogy(x, 2.); }, 0) == std::log(2.));
  CHECK(d([](Array x) { return hypot(x, 4.); }, 3) == Approx(0.6));
  check(grad([](Array x) { return max(x); })(Array{1., 3., 3.}), Array{0., 0.5, 0.5});
  check(grad([](Array x) { return sort(x)(0); })(Array{3., 1., 2.}), Array{0., 1., 0.});
  check(grad([](Array x) { return stddev(x); })(Array{1., 3.}), Array{-0.5, 0.5});
}

TEST_CASE("math: derivatives of shapes, diagonals and products") {
  const Array w = arange(6., f64).reshape({2, 3});
  check(grad([&](Array x) { return sum(w * flip(roll(x, 1, 1), 0)); })(A), roll(flip(w, 0), -1, 1));
  check(grad([&](Array x) { return sum(transpose(w) * transpose(x)); })(A), w);
  check(grad([](Array x) {
          return sum(diagonal(x, 1) * Array{2., 3.});
        })(A),
        Array{{0., 2., 0.}, {0., 0., 3.}});
  check(grad([](Array v) {
          return sum(diag(v, -1) * arange(9., f64).reshape({3, 3}));
        })(Array{1., 1.}),
        Array{3., 7.});
  check(grad([](Array x) { return trace(matmul(x, transpose(x))); })(A), 2. * A);
  check(grad([](Array x) { return einsum("ij,ij->", x, x); })(A), 2. * A);
  check(grad([](Array x) { return sum(pad(x, 1, "edge")); })(Array{1., 2., 3.}), Array{2., 1., 2.});
  check(grad([](Array x) {
          return sum(take(x, Array{0, 0, 2}));
        })(Array{1., 2., 3.}),
        Array{2., 0., 1.});
  check(grad([](Array x) { return sum(repeat(x, 3) * arange(6., f64)); })(Array{1., 2.}),
        Array{3., 12.});
  check(grad([](Array x) {
          return interp(x, Array{0., 1., 3.}, Array{0., 5., 7.});
        })(2.),
        Array(1.));
  check(grad([](Array x) { return sum(tile(x, {2, 2})); })(Array{1., 2.}), Array{4., 4.});
}

TEST_CASE("math: under jit and vmap") {
  auto f = [](Array x) {
    return sum(logaddexp(x, 1.)) + var(sort(x)) + einsum("i,i", x, x) + trace(outer(x, x)) +
           max(cumsum(x)) + sum(searchsorted(x, 2.)) + sum(pad(x, 1, "wrap")) +
           sum(where(x > 2, x, 0)) + sum(remainder(x, 2));
  };
  const Array v = {1., 2., 4.};
  check(jit(f)(v), f(v));
  check(jit(grad(f))(v), grad(f)(v));
  const Array rows = {{1., 2., 4.}, {0., 3., 5.}};
  check(vmap(f)(rows), stack({f(rows(0)), f(rows(1))}));
  check(jit(vmap(grad(f)))(rows), stack({grad(f)(rows(0)), grad(f)(rows(1))}));
  auto g = [](Array x, Array i) { return take(x, i) + take_along_axis(x, i(Slice(0, 1)), 0); };
  const Array i = {{0, 2}, {1, 1}};
  check(vmap(g)(rows, i), stack({g(rows(0), i(0)), g(rows(1), i(1))}));
  CHECK_THROWS_AS(jit([](Array x) { return Array(allclose(x, x)); })(v), ConcretizationError);
}

TEST_CASE("array: literals") {
  check(Array{1, 2}, Array(std::vector<int>{1, 2}));
  CHECK(Array{1., 2}.dtype() == f64);
  CHECK(Array{1.f, 2}.dtype() == f32);
  CHECK(Array{1, 2L}.dtype() == i64);
  CHECK(Array{true, false}.dtype() == b1);
  CHECK(Array{1.f, std::complex<float>(0, 1)}.dtype() == c64);
  CHECK(Array{{1, 2, 3}, {4, 5, 6}}.shape() == Shape{2, 3});
  CHECK(Array{{{1}, {2}}}.shape() == Shape{1, 2, 1});
  const Array x = {1.f, 2.f}, s = 3.f;
  CHECK(Array{x, x}.shape() == Shape{2, 2});
  check(Array{x}, x);
  check(Array{s, 1.0, s * 2}, Array{3.f, 1.f, 6.f});
  check(Array{{s, s}, {0, 1}}, Array{{3.f, 3.f}, {0.f, 1.f}});
  check(grad([](Array t) { return sum(Array{t, t * t, 1.0}); })(3.), Array(7.));
  check_fails([] { Array a{{1, 2}, {3}}; }, "one has 2 elements, another 1");
  check_fails([] { Array a{{1, 2}, 3}; }, "a number stands beside a list");
  check_fails([&] { Array a{x, s}; }, "rows of a nested list differ");
  check_fails([&] { Array a{x, Array()}; }, "null");
  check(Array(std::vector<std::vector<double>>{{1, 2}, {3, 4}}), Array{{1., 2.}, {3., 4.}});
  CHECK_THROWS_AS(Array(std::vector<std::vector<double>>{{1, 2}, {3}}), TypeError);
}

TEST_CASE("array: printing is numpy's") {
  auto text = [](const Array& a) { return to_string(a); };
  CHECK(text(Array{1., 2.5, 3.25}) == "[1.   2.5  3.25]");
  CHECK(text(Array{1., 2., 3.}) == "[1. 2. 3.]");
  CHECK(text(Array{-1., 10.}) == "[-1. 10.]");
  CHECK(text(Array{{1., 2.}, {3., 4.}}) == "[[1. 2.]\n [3. 4.]]");
  CHECK(text(Array{{{1, 2}}, {{3, 14}}}) == "[[[ 1  2]]\n\n [[ 3 14]]]");
  CHECK(text(Array{0.1f, 0.2f}) == "[0.1 0.2]");
  CHECK(text(Array{1. / 3}) == "[0.33333333]");
  CHECK(text(Array{1e-10, 1.}) == "[1.e-10 1.e+00]");
  CHECK(text(Array{1.5e-10, 1.}) == "[1.5e-10 1.0e+00]");
  CHECK(text(Array{1e10}) == "[1.e+10]");
  CHECK(text(Array{123456.}) == "[123456.]");
  CHECK(text(Array{kNan, kInf, -kInf, 1.5}) == "[ nan  inf -inf  1.5]");
  CHECK(text(Array{true, false}) == "[ True False]");
  CHECK(text(Array{-1, 10, 100}) == "[ -1  10 100]");
  CHECK(text(Array{std::complex<double>(1, 2), std::complex<double>(3, -1)}) == "[1.+2.j 3.-1.j]");
  CHECK(text(Array(1.5)) == "1.5");
  CHECK(text(Array(2.0)) == "2.0");
  CHECK(text(Array(1. / 3)) == "0.3333333333333333");
  CHECK(text(Array(0.1f)) == "0.1");
  CHECK(text(Array(1e20)) == "1e+20");
  CHECK(text(Array(1e-5)) == "1e-05");
  CHECK(text(Array(true)) == "True");
  CHECK(text(Array(-3)) == "-3");
  CHECK(text(Array(std::complex<double>(1, -2))) == "(1-2j)");
  CHECK(text(Array(std::complex<double>(0, 2))) == "2j");
  CHECK(text(Array{1e-9f, 1.f / 3}) == "[9.9999997e-10 3.3333334e-01]");
  CHECK(text(Array{1e6f}) == "[1.e+06]");
  CHECK(text(Array{true}) == "[ True]");
  CHECK(text(zeros({0, 3})) == "[]");
  CHECK(text(Array()) == "null");
  CHECK(text(full({2}, 0.1, bf16)) == "[0.1 0.1]");
  CHECK(text(full({2}, 0.1, f16)) == "[0.1 0.1]");
  CHECK(text(arange(1001)) == "[   0    1    2 ...  998  999 1000]");
  CHECK(text(zeros({40, 30})) ==
        "[[0. 0. 0. ... 0. 0. 0.]\n [0. 0. 0. ... 0. 0. 0.]\n [0. 0. 0. ... 0. 0. 0.]\n ...\n"
        " [0. 0. 0. ... 0. 0. 0.]\n [0. 0. 0. ... 0. 0. 0.]\n [0. 0. 0. ... 0. 0. 0.]]");
  CHECK(text(arange(30)) ==
        "[ 0  1  2  3  4  5  6  7  8  9 10 11 12 13 14 15 16 17 18 19 20 21 22 23\n 24 25 26 27 28 "
        "29]");
  std::string traced;
  (void)jit([&](Array x) {
    traced = to_string(x);
    return x;
  })(zeros({3}));
  CHECK(traced == "Traced<f32[3]>");
}

}  // namespace

TEST_CASE("nested vectors, both ways") {
  using Matrix = std::vector<std::vector<double>>;
  const Matrix m{{1, 2, 3}, {4, 5, 6}};
  CHECK(to_nested<Matrix>(Array(m)) == m);
  CHECK(to_nested<std::vector<int>>(Array{1.f, 2.f}) == std::vector<int>{1, 2});
  const std::vector<Matrix> cube{m, m};
  CHECK(to_nested<std::vector<Matrix>>(Array(cube)) == cube);
  CHECK(to_nested<Matrix>(zeros({0, 3})).empty());
  CHECK_THROWS_WITH(to_nested<Matrix>(Array{1., 2.}),
                    Catch::Contains("f64[2] has 1 dimensions, the vectors have 2 levels"));
  CHECK_THROWS_AS(Array(Matrix{{1, 2}, {3}}), Error);
}
