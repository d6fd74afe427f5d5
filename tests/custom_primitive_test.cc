// custom_primitive_test.cc -- primitives defined by a user: with the builder, and as a value of struct Primitive.
#include "jaxpp/custom_primitive.h"
#include <catch2/catch.hpp>
#include <cmath>
#include "checks.h"
#include "jaxpp/jaxpp.h"
#include "message.h"

using namespace jaxpp;
using namespace jaxpp::internal;
using namespace jaxpp::testing;
using Catch::Matchers::Contains;

namespace {

// The example of the header.
const CustomPrimitive<> cube =
    custom_primitive("test_cube")
        .eval([](const Array& x) { return x * x * x; })
        .shape([](Type x) { return x; })
        .jvp([](const Array& x, const Array& dx) { return 3. * x * x * dx; });

// With a parameter; linear, so that reverse mode through it needs a transpose.
struct ScaleParams {
  double by = 1;
  JAXPP_PARAMS(ScaleParams, by)
};
extern const CustomPrimitive<ScaleParams> scale;
const CustomPrimitive<ScaleParams> scale =
    custom_primitive<ScaleParams>("test_scale")
        .eval([](const ScaleParams& p, const Array& x) { return p.by * x; })
        .elementwise()
        .jvp([](const ScaleParams& p, const Array&, const Array& dx) { return scale(p, dx); })
        .transpose([](const ScaleParams& p, const Array& ct) { return scale(p, ct); });

// A computation jaxpp cannot see, on raw elements, with two results; the tangent reuses a result.
const CustomPrimitive<> polar =
    custom_primitive("test_polar")
        .outputs<2>()
        .eval([](const Array& x, const Array& y) {
          std::vector<double> r, t;
          auto a = x.span<double>(), b = y.span<double>();
          for (std::size_t i = 0; i < a.size(); ++i) {
            r.push_back(std::hypot(a[i], b[i]));
            t.push_back(std::atan2(b[i], a[i]));
          }
          return std::pair(Array(std::span<const double>(r), x.shape()),
                           Array(std::span<const double>(t), x.shape()));
        })
        .shape([](Type x, Type y) {
          if (x != y || x->dtype != f64)
            throw TypeError("test_polar: needs two f64 arrays of one shape.");
          return std::pair(x, x);
        })
        .jvp([](const Array& x, const Array& y, const Array& r, const Array&, const Array& dx,
                const Array& dy) {
          return std::pair((x * dx + y * dy) / r, (x * dy - y * dx) / (r * r));
        });

// Any number of operands; a batching rule of its own.
const CustomPrimitive<> total = custom_primitive("test_total")
                                    .eval([](Args x) {
                                      Array s = 0.;
                                      for (const Array& a : x) s = s + sum(a);
                                      return s;
                                    })
                                    .shape([](Types) { return make_type(f64, {}); })
                                    .jvp([](Args x) {
                                      Array s = 0.;
                                      for (const Array& dx : x.subspan(x.size() / 2))
                                        s = s + sum(dx);
                                      return s;
                                    });

Arrays lane(Random& r) {
  return {r.array(f64, {3}, 0.3, 1, true), r.array(f64, {3}, 0.3, 1, true)};
}
template <class F>
std::string all_checks(F f) {
  Random random(7);
  std::vector<Arrays> lanes;
  for (int i = 0; i < 3; ++i) lanes.push_back(lane(random));
  return check_function(f, lanes);
}

}  // namespace

TEST_CASE("a custom primitive under every transform", "[custom_primitive]") {
  CHECK(double(cube(2.)) == 8);
  CHECK(double(grad([](Array x) { return cube(x); })(2.)) == 12);
  CHECK(double(grad(grad([](Array x) { return cube(x); }))(2.)) == 12);
  CHECK(vmap([](Array x) { return cube(x); })(Array{1., 2.}).to_vector() ==
        std::vector<double>{1, 8});
  CHECK(double(jit(grad([](Array x) { return cube(x); }))(2.)) == 12);
  CHECK(vmap([](Array x) { return cube(x); })(zeros({0, 2}, f64)).shape() == Shape{0, 2});
  CHECK(all_checks([](Args x, Results& y) { y.push_back(cube(x[0])); }) == "");
  CHECK(all_checks([](Args x, Results& y) { y.push_back(scale({.by = 2.5}, sin(x[0]))); }) == "");
  CHECK(all_checks([](Args x, Results& y) {
          for (auto& a : polar.all(x)) y.push_back(a);
        }) == "");
  CHECK(all_checks([](Args x, Results& y) { y.push_back(total(x[0] * x[1], x[1], x[0])); }) == "");
}

TEST_CASE("a custom primitive in text and JSON", "[custom_primitive]") {
  Jaxpr j = make_jaxpr([](Array x) { return scale({.by = 2.5}, cube(x)); })(2.);
  const std::string text = j.to_string();
  CHECK_THAT(text, Contains("test_cube") && Contains("test_scale[by=2.5]"));
  Jaxpr back = Jaxpr::parse(text);
  back.check();
  CHECK(back.to_string() == text);
  Array in[] = {2.};
  CHECK(eval_jaxpr(back, in)[0].item() == 20);
  CHECK(eval_jaxpr(Jaxpr::from_json(j.json()), in)[0].item() == 20);
  CHECK(find_primitive("test_cube") == &cube.primitive());
}

TEST_CASE("a primitive as a value", "[custom_primitive]") {
  static const Kernel kernel{.run =
                                 [](Args x, Params, Array* y) {
                                   for (std::int64_t i = 0; i < x[0].size(); ++i)
                                     y->data<double>()[i] = std::expm1(x[0].data<double>()[i]);
                                 },
                             .allocates = false,
                             .in_place = 1};
  static const Primitive my_expm1 = {.name = "test_expm1",
                                     .shape = [](Types x, Params, Type* y) { *y = x[0]; },
                                     .jvp =
                                         [](JvpRule& r) {
                                           r.prim.bind(r.x, r.params, r.y, Loc::current());
                                           *r.dy = (*r.y + 1.) * r.dx[0];
                                         },
                                     .batch =
                                         [](BatchRule& r) {
                                           r.prim.bind(r.x, r.params, r.y, Loc::current());
                                           *r.y_axis = r.axis[0];
                                         },
                                     .kernel = &kernel};
  if (!find_primitive("test_expm1")) register_primitive(my_expm1);
  auto f = [](Array x) { return my_expm1.apply({}, Loc::current(), x); };
  CHECK(double(f(1.)) == Approx(std::expm1(1.)));
  CHECK(double(grad(f)(1.)) == Approx(std::exp(1.)));
  CHECK(double(jit(grad(grad(f)))(1.)) == Approx(std::exp(1.)));
  CHECK(allclose(vmap(f)(Array{0., 1.}), Array{0., std::expm1(1.)}));
}

TEST_CASE("mistakes in custom primitives", "[custom_primitive][errors]") {
  CHECK_THAT(message([] { custom_primitive("sin"); }),
             Contains("exists already") && Contains("[E44]"));
  CHECK_THAT(message([] { custom_primitive("a b"); }), Contains("not an identifier"));
  CHECK_THAT(message([] { custom_primitive(""); }), Contains("empty"));
  static const auto shapeless =
      custom_primitive("test_shapeless").eval([](const Array& x) { return x; });
  CHECK_THAT(message([] { shapeless(1.); }),
             Contains("no shape function") && Contains("custom_primitive_test.cc"));
  static const auto liar =
      custom_primitive("test_liar").eval([](const Array&) { return Array(1.f); }).shape([](Type x) {
        return x;
      });
  CHECK_THAT(message([] { liar(1.); }), Contains("returned f32[]") && Contains("says f64[]"));
  CHECK_THAT(message([] { liar(1., 2.); }), Contains("takes 1 array, was given 2"));
  CHECK_THAT(message([] { grad([](Array x) { return liar(x); })(1.); }),
             Contains("no derivative rule"));
  CHECK_THAT(message([] { polar(1., 2.); }), Contains("several results"));
  CHECK_THAT(message([] { polar.all(Arrays{1., 2.f}); }), Contains("two f64 arrays"));
  auto same = [](const Array& x) { return x; };
  custom_primitive("test_first").eval(same);
  CHECK_THAT(message([&] { custom_primitive("test_second").eval(same); }), Contains("belongs to"));
}
