// lax_composed_test.cc -- the compositions of jax.lax.  Expected values are JAX's, or of the plain way to them.
#include <catch2/catch.hpp>
#include <cmath>
#include "jaxpp/jaxpp.h"
#include "message.h"

using namespace jaxpp;
using Catch::Contains;

namespace {
void check(const Array& got, const Array& want) {
  CHECK(got.type()->str() == want.type()->str());
  CHECK(array_equal(got, want));
}
const Array x = reshape(arange(12.), {3, 4});
}  // namespace

TEST_CASE("lax: slices at run time") {
  check(lax::dynamic_slice(x, {1, 2}, {2, 2}), Array{{6., 7.}, {10., 11.}});
  check(lax::dynamic_slice(x, {Array(5), Array(-2)}, {2, 2}), Array{{6., 7.}, {10., 11.}});
  check(lax::dynamic_slice_in_dim(x, 1, 2, 1), x(All, Slice(1, 3)));
  check(lax::dynamic_slice_in_dim(x, -1, 1), x(Slice(2, 3)));
  check(lax::dynamic_index_in_dim(x, -1, -1, false), x(All, 3));
  check(lax::dynamic_index_in_dim(x, std::uint8_t(1)), x(Slice(1, 2)));
  check(lax::index_in_dim(x, -2, 1), x(All, Slice(2, 3)));
  check(lax::index_in_dim(x, 2, 0, false), x(2));
  check(lax::dynamic_update_slice(x, Array{{-1.}}, {1, 1}), x.at(1, 1).set(-1.));
  check(lax::dynamic_update_slice_in_dim(x, x(Slice(0, 1)), 1), x.at(1).set(x(0)));
  check(lax::dynamic_update_index_in_dim(x, ones({3}, f64), 2, 1), x.at(All, 2).set(1.));
  check(lax::dynamic_update_index_in_dim(x, ones({3, 1}, f64), -1, 1), x.at(All, 3).set(1.));
  check(lax::collapse(reshape(x, {3, 2, 2}), 0, 2), reshape(x, {6, 2}));
  check(lax::collapse(reshape(x, {3, 2, 2}), -2, 3), x);
  auto f = [](Array a, Array i) { return sum(square(lax::dynamic_slice_in_dim(a, i, 2, 1))); };
  check(jit(grad(f))(x, Array(1)), grad(f)(x, Array(1)));
  check(grad(f)(x, Array(1)), (2. * x).at(All, 0).set(0.).at(All, 3).set(0.));
  check(vmap([](Array i) { return lax::dynamic_index_in_dim(x, i, 0, false); })(Array{2, 0}),
        x(Array{2, 0}));
  CHECK_THAT(message([] {
               lax::dynamic_slice(x, {0}, {1, 1});
             }),
             Contains("1 starts for f64[3,4]"));
  CHECK_THAT(message([] {
               lax::dynamic_slice(x, {0., 0.}, {1, 1});
             }),
             Contains("must be an integer") && Contains("lax_composed_test.cc"));
  CHECK_THAT(message([] { lax::index_in_dim(x, 3); }), Contains("outside of axis 0"));
  CHECK_THAT(message([] { lax::collapse(x, 1, 1); }), Contains("no dimensions"));
}

TEST_CASE("lax: products, sorts, patches") {
  const Array a = reshape(arange(12.), {2, 2, 3}), b = reshape(arange(12.), {2, 3, 2});
  check(lax::batch_matmul(a, b), matmul(a, b));
  check(lax::broadcasted_iota(i32, {2, 3}, 1), Array{{0, 1, 2}, {0, 1, 2}});
  auto [k, v] = lax::sort_key_val(Array{3., 1., 2.}, Array{0, 1, 2});
  check(k, Array{1., 2., 3.});
  check(v, Array{1, 2, 0});
  check(lax::approx_max_k(Array{3., 1., 2.}, 2).first, Array{3., 2.});
  check(lax::approx_min_k(Array{3., 1., 2.}, 2).second, Array{1, 2});
  // [1, 2, 3, 3], windows of 2 x 2: what a convolution with ones would add up
  const Array image = reshape(arange(18.), {1, 2, 3, 3});
  const Array p = lax::conv_general_dilated_patches(image, {2, 2}, {1, 1}, "VALID");
  check(p(0, All, 0, 0), Array{0., 1., 3., 4., 9., 10., 12., 13.});
  check(p(0, All, 1, 1), Array{4., 5., 7., 8., 13., 14., 16., 17.});
  const Array kernel = random::normal(random::key(0), {3, 2, 2, 2}, f64);
  CHECK(allclose(einsum("of,bfij->boij", reshape(kernel, {3, 8}), p),
                 lax::conv(image, kernel, {1, 1}, "VALID")));
}

TEST_CASE("lax: reductions by a function") {
  auto plus = [](Array a, Array b) { return a + b; };
  auto times = [](Array a, Array b) { return a * b; };
  auto greater = [](Array a, Array b) { return maximum(a, b); };
  check(lax::reduce(x, 0., plus, {0}), sum(x, 0));
  check(lax::reduce(x, 1., times, {0, 1}), prod(x));
  check(lax::reduce(x, -INFINITY, greater, {-1}), max(x, 1));
  check(lax::reduce(x > 5., false, [](Array a, Array b) { return a | b; }, {1}), any(x > 5., 1));
  check(lax::reduce(x, 100., plus, {0}), sum(x, 0) + 100.);
  auto text = [&](auto f, double init) {
    return make_jaxpr([&](Array a) { return lax::reduce(a, init, f, {0}); })(x).to_string();
  };
  CHECK_THAT(text(plus, 0), Contains("reduce_sum"));
  CHECK_THAT(text(greater, -INFINITY), Contains("reduce_max"));
  CHECK_THAT(text(plus, 1), !Contains("reduce_sum"));
  // Integers: the least one is neutral for a maximum.
  const Array n = {{1, 5}, {7, 2}};
  check(lax::reduce(n, std::numeric_limits<int>::min(), greater, {0}), Array{7, 5});
  // The Euclidean norm, and its gradient.
  auto norm = [](Array v) {
    return lax::reduce(v, 0., [](Array a, Array b) { return sqrt(a * a + b * b); }, {0});
  };
  CHECK(allclose(norm(Array{3., 4., 12.}), 13.));
  CHECK(allclose(grad(norm)(Array{3., 4., 12.}), Array{3., 4., 12.} / 13.));
  CHECK(allclose(jit(grad(norm))(Array{3., 4., 12.}), Array{3., 4., 12.} / 13.));
  CHECK(allclose(vmap(norm)(x(All, Slice(1, 4))), sqrt(sum(square(x(All, Slice(1, 4))), 1))));
  // The greatest element and where it is, as one reduction of two arrays.
  using Best = std::pair<Array, Array>;
  const Best found =
      lax::reduce(Best{Array{2., 9., 4.}, Array{0, 1, 2}}, Best{-INFINITY, -1},
                  [](Best a, Best b) {
                    const Array first = a.first >= b.first;
                    return Best{where(first, a.first, b.first), where(first, a.second, b.second)};
                  },
                  {0});
  check(found.first, Array(9.));
  check(found.second, Array(1));
  CHECK_THAT(
      message([&] {
        grad([&](Array s) {
          return lax::reduce(Array{1., 2.}, 0., [&](Array a, Array b) { return a + s * b; }, {0});
        })(1.);
      }),
      Contains("uses an array of the code around it"));
}

TEST_CASE("lax: windows by a function") {
  const Array image = reshape(random::normal(random::key(1), {24}, f64), {4, 6});
  auto plus = [](Array a, Array b) { return a + b; };
  check(lax::reduce_window(image, 0., plus, {2, 3}, {.strides = {2, 3}}),
        lax::reduce_window_sum(image, {.window_dimensions = {2, 3}, .window_strides = {2, 3}}));
  const Array top =
      lax::reduce_window(image, -INFINITY, [](Array a, Array b) { return maximum(a, b); }, {2, 2},
                         {.padding = "SAME"});
  check(top(0, 0), max(image(Slice(0, 2), Slice(0, 2))));
  check(top(3, 5), image(3, 5));
  auto soft = [](Array v) {
    return lax::reduce_window(v, -INFINITY, [](Array a, Array b) { return logaddexp(a, b); },
                              {1, 2});
  };
  CHECK(allclose(soft(image), logaddexp(image(All, Slice(0, 5)), image(All, Slice(1, 6)))));
}
