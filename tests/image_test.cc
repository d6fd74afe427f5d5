// image_test.cc -- resampling; expected values are jax.image's and jax.scipy.ndimage's.
#include "jaxpp/image.h"
#include "jaxpp/jaxpp.h"
#include "message.h"
#include "values.h"

using namespace jaxpp;
using Catch::Matchers::Contains;
using image::Beyond;
using image::Method;

namespace {
const Array kX = {{1., 4., 2., 8.}, {5., 7., 1., 3.}, {9., 2., 6., 0.}};
const Array kSquares = square(arange(9, f64));
}  // namespace

TEST_CASE("image::resize", "[image]") {
  const auto resized = [](const Array& x, std::int64_t n, Method m) {
    return image::resize(x, {n}, m);
  };
  check(resized(kX(0), 7, Method::nearest), {1., 1., 4., 2., 2., 8., 8.});
  check(resized(kSquares, 4, Method::nearest), {1., 9., 25., 49.});
  check(resized(kX(0), 7, Method::linear),
        {1., 2.071428571428571, 3.785714285714285, 3., 2.428571428571427, 5.857142857142857, 8.});
  check(resized(kSquares, 4, Method::linear),
        {1.2285714285714286, 9., 27.34146341463415, 51.97142857142857});
  check(resized(kX(0), 7, Method::cubic),
        {0.7620192307692304, 1.9825216358391307, 3.9256498818396652, 2.8125, 2.210143610252682,
         6.1113185134905805, 8.475961538461538});
  check(resized(kSquares, 4, Method::cubic),
        {0.6261449133137122, 8.16399004750057, 26.91449898213073, 53.76517010140661});
  check(resized(kSquares, 4, Method::lanczos3),
        {0.5481517674217148, 7.78291462767693, 26.725261431484025, 54.44311362967173});
  check(resized(kX(0), 7, Method::lanczos5),
        {0.2929407611153105, 2.401983656008094, 4.007478247287397, 2.3846643845795716,
         2.2767786721497396, 5.844528401589063, 9.020134812528298});
  check(image::resize(kSquares, {4}, Method::linear, false), {0.625, 8.375, 26.375, 54.625});
  const Array both = {{2.1088714656130376, 4.676109454276952, 3.2305377207062604, 2.559820704003661,
                       6.583729472774418},
                      {7.929188788739349, 4.937739690908141, 4.007022471910112, 3.291180930699031,
                       0.7036825534016542}};
  const auto f = [](Array x) { return image::resize(x, {2, 5}, Method::cubic); };
  check(f(kX), both);
  check(jit(f)(kX), both);
  check(vmap(f)(stack({kX, kX}))(1), both);
  check_grads(f, std::tuple(kX), {.order = 2});
  CHECK(image::resize(ones({4, 4}, f16), {2, 2}).dtype() == f16);
  CHECK(image::resize(ones({4, 4}, i32), {2, 4}).dtype() == f64);
  CHECK(image::resize(kX, {0, 4}).shape() == Shape{0, 4});
  CHECK_THAT(message([] { image::resize(kX, {2}); }), Contains("a shape of 1 sizes"));
  CHECK_THAT(message([] { image::resize(kX, {2, -1}); }), Contains("a size is -1"));
  CHECK_THAT(message([] { image::resize(zeros({0}), {3}); }), Contains("has no elements"));
}

TEST_CASE("image::scale_and_translate", "[image]") {
  const auto f = [](Array t) {
    return image::scale_and_translate(kX, {3, 5}, 1, t(Slice(1)), t(Slice(1, 2)));
  };
  check(f({1.5, -0.25}),
        {{1., 3., 10. / 3, 2., 6.}, {5., 19. / 3, 5., 1., 7. / 3}, {9., 13. / 3, 10. / 3, 6., 2.}});
  const auto loss = [](Array t) {
    return sum(square(
        image::scale_and_translate(kX, {3, 5}, 1, t(Slice(1)), t(Slice(1, 2)), Method::cubic)));
  };
  check(grad(loss)(Array{1.5, -0.25}), {-35.203480481252384, 41.58991228525364});
  CHECK_THAT(message([] {
               image::scale_and_translate(kX, {2, 5}, 1, Array{1.}, Array{0.});
             }),
             Contains("is not among the axes"));
  CHECK_THAT(message([] {
               image::scale_and_translate(kX, {3, 5}, 1, Array(1.), Array{0.});
             }),
             Contains("one number for each of 1 axes"));
  CHECK_THAT(message([] {
               image::scale_and_translate(kX, {3, 5}, 1, Array{1.}, Array{0.}, Method::nearest);
             }),
             Contains("has no derivative"));
}

TEST_CASE("image::map_coordinates", "[image]") {
  const Array at = {-2.6, -0.5, 0.3, 1.5, 2.7, 3.4, 5.1, 9.2};
  const auto mapped = [&](Beyond b, int order) {
    return image::map_coordinates(kX(0), {at}, order, b, -1);
  };
  check(mapped(Beyond::constant, 0), {-1., -1., 1., 2., 8., 8., -1., -1.});
  check(mapped(Beyond::constant, 1), {-1., 0., 1.9, 3., 6.2, 4.4, -1., -1.});
  check(mapped(Beyond::nearest, 0), {1., 1., 1., 2., 8., 8., 8., 8.});
  check(mapped(Beyond::nearest, 1), {1., 1., 1.9, 3., 6.2, 8., 8., 8.});
  check(mapped(Beyond::wrap, 0), {4., 8., 1., 2., 8., 8., 4., 4.});
  check(mapped(Beyond::wrap, 1), {3.2, 4.5, 1.9, 3., 6.2, 5.2, 3.8, 3.6});
  check(mapped(Beyond::mirror, 0), {8., 4., 1., 2., 8., 8., 4., 8.});
  check(mapped(Beyond::mirror, 1), {5.6, 2.5, 1.9, 3., 6.2, 5.6, 3.7, 6.8});
  check(mapped(Beyond::reflect, 0), {2., 1., 1., 2., 8., 8., 2., 4.});
  check(mapped(Beyond::reflect, 1), {2.8, 1., 1.9, 3., 6.2, 8., 2.2, 3.6});
  const auto f = [](Array x, Array i, Array j) { return image::map_coordinates(x, {i, j}); };
  const Array i = {0.5, 1.2}, j = {1.5, 2.25};
  check(f(kX, i, j), {3.5, 2.1});
  check(jit(f)(kX, i, j), {3.5, 2.1});
  check_grads(f, std::tuple(kX, i, j));
  CHECK_THAT(message([] { image::map_coordinates(kX, {Array{1.}}); }), Contains("1 coordinates"));
  CHECK_THAT(message([] { image::map_coordinates(kX(0), {Array{1.}}, 3); }),
             Contains("0 (nearest) or 1 (linear)"));
}
