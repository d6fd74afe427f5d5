// errors_test.cc -- the exact text of errors that users meet: what is wrong, the line of the
// user's expression, the transforms in progress, a remedy.
#include <catch2/catch.hpp>
#include "jaxpp/jaxpp.h"

using namespace jaxpp;

namespace {

struct Layer {
  Array w, b;
};
struct Net {
  Layer hidden;
  Array steps;
};

/// The text of what f throws, in which HERE stands for every line of this file close to the call.
template <class F>
std::string said(F f, Loc loc = Loc::current()) {
  std::string s;
  try {
    f();
    return "nothing was thrown";
  } catch (const Error& e) {
    s = e.what();
  }
  const std::string file = "errors_test.cc:";
  for (auto at = s.find(file); at != s.npos; at = s.find(file, at)) {
    auto end = s.find_first_not_of("0123456789", at + file.size());
    const int line = std::stoi(s.substr(at + file.size(), end - at - file.size()));
    if (line < int(loc.line()) || line > int(loc.line()) + 8) {
      at = end;
      continue;
    }
    s.replace(at, end - at, "HERE");
  }
  return s;
}
const Array a = {1., 2., 3.}, m = {{1., 2.}, {3., 4.}};

}  // namespace

TEST_CASE("errors: operations name shapes, axes and the user's line") {
  CHECK(said([] { return a + m; }) ==
        "add: shapes f64[3] and f64[2,2] do not broadcast: axis -1 has sizes 3 and 2.  [E75]\n  at "
        "HERE.");
  CHECK(said([] { return sin(Array()); }) == "sin: an operand is null.  [E04]\n  at HERE.");
  CHECK(said([] { return 1 - Array(); }) == "sub: an operand is null.  [E04]\n  at HERE.");
  CHECK(said([] { return sum(m, 2); }) ==
        "sum: axis 2 is out of range for f64[2,2].  [E73]\n  at HERE.");
  CHECK(said([] { return reshape(m, {3}); }) ==
        "reshape: the 4 elements of f64[2,2] do not fill the shape (3,).  [E87]\n  at HERE.");
  CHECK(said([] { return matmul(m, a); }) ==
        "matmul: inner dimensions differ: f64[2,2] has 2 on axis 1, f64[3] has 3 on axis 0.  "
        "[E94]\n  at HERE.");
  CHECK(said([] {
          return concatenate({m, a});
        }) == "concatenate: f64[2,2] and f64[3] differ beyond axis 0.  [E91]\n  at HERE.");
  CHECK(said([] { return m(2); }) ==
        "index: 2 is out of range for axis 0 of f64[2,2].  [E50]\n  at HERE.");
  CHECK(said([] { return m(0, 0, 0); }) ==
        "index: too many indices: 3 for f64[2,2].  [E50]\n  at HERE.");
  CHECK(said([] { return a.item(); }) ==
        "item: needs one element, the array is f64[3].  [E06]\n  at HERE.");
  CHECK(said([] { return a.span<float>()[0]; }) ==
        "span: the elements are f64, not f32.  [E05]\n  at HERE.\n  Convert first: x.astype(...).");
}

TEST_CASE("errors: grad") {
  CHECK(said([] { grad([](Array x) { return sin(x); })(a); }) ==
        "grad: needs a scalar output; the function returned f64[3].  [E17]\n"
        "  at HERE, while tracing the function given to grad (HERE).\n"
        "  Reduce it (sum, mean), or use jacrev or vjp.");
  CHECK(said([] { value_and_grad([](Array x) { return x; })(a); }) ==
        "value_and_grad: needs a scalar output; the function returned f64[3].  [E17]\n"
        "  at HERE, while tracing the function given to value_and_grad (HERE).\n"
        "  Reduce it (sum, mean), or use jacrev or vjp.");
  CHECK(said([] { grad([](Array x) { return x * x; })(2); }) ==
        "grad: argument 0 is differentiated, but holds i32[].  [E14]\n  at HERE.\n"
        "  Only floating-point and complex arrays have derivatives: convert it (2.0 for 2, "
        "astype), or make it static.");
  CHECK(said([] {
          grad<1>([](Array x, Net p) { return x * p.hidden.w; })(2.0, Net{{1.0, 2.0}, Array{1, 2}});
        }) ==
        "grad: argument 1 is differentiated, but holds i32[2].  [E14]\n  at HERE.\n"
        "  Only floating-point and complex arrays have derivatives: convert it (2.0 for 2, "
        "astype), or make it static.");
  CHECK(said([] { grad([](Array x) { return x > 0; })(2.0); }) ==
        "grad: needs a real floating-point output; the function returned bool[].  [E18]\n"
        "  at HERE, while tracing the function given to grad (HERE).\n"
        "  Use vjp, or jacrev of a complex function.");
  CHECK(said([] { grad([](Array x) { return x; })(std::complex<double>(1, 2)); }) ==
        "grad: needs a real floating-point output; the function returned c128[].  [E18]\n"
        "  at HERE, while tracing the function given to grad (HERE).\n"
        "  Use vjp, or jacrev of a complex function.");
  CHECK(said([] { grad([](Array x) { return x * x; }, {.holomorphic = true})(2.0); }) ==
        "grad: needs a complex output; the function returned f64[].  [E18]\n"
        "  at HERE, while tracing the function given to grad (HERE).");
}

TEST_CASE("errors: values that are not known yet") {
  CHECK(said([] {
          jit([](Array x) {
            if (x > 0) return x;
            return -x;
          })(1.0);
        }) ==
        "bool: the value of bool[] is not known while it is traced.  [E07]\n"
        "  at HERE, while tracing the function given to jit (HERE).\n"
        "  Use where(c, a, b) or cond(c, f, g), or leave the function un-jitted: grad alone keeps "
        "values.");
  CHECK(said([] {
          vmap([](Array x) {
            if (x > 0) return x;
            return -x;
          })(a);
        }) ==
        "bool: the value of bool[] is not known while it is traced.  [E07]\n"
        "  at HERE, while tracing the function given to vmap (HERE).\n"
        "  Use where(c, a, b) or cond(c, f, g), or leave the function un-jitted: grad alone keeps "
        "values.");
  CHECK(said([] { jit([](Array x) { return x.item(); })(1.0); }) ==
        "item: the value of f64[] is not known while it is traced.  [E07]\n"
        "  at HERE, while tracing the function given to jit (HERE).\n"
        "  Use where(c, a, b) or cond(c, f, g), or leave the function un-jitted: grad alone keeps "
        "values.");
}

TEST_CASE("errors: the trail names every transform in progress") {
  CHECK(said([] {
          jit([](Array x) { return vmap(grad([](Array y) { return sum(y + a); }))(x); })(m);
        }) ==
        "add: shapes f64[2] and f64[3] do not broadcast: axis 0 has sizes 2 and 3.  [E75]\n"
        "  at HERE, while tracing the function given to grad (HERE) inside vmap (HERE) inside jit "
        "(HERE).");
}

TEST_CASE("errors: tracers that escape") {
  Array leaked;
  CHECK(said([&] {
          jit([&](Array x) {
            leaked = sin(x);
            return x;
          })(1.0);
          leaked + 1;
        }) ==
        "tracer leak: a f64[], the result of `sin` at HERE, is used after the transform that made "
        "it has ended.  [E08]\n"
        "  at HERE.\n  Return values from the function instead of storing them outside it.");
}

TEST_CASE("errors: jvp, vjp, linearize") {
  CHECK(said([] { jvp([](Array x) { return x; }, a, m); }) ==
        "jvp: tangent 0 is f64[2,2], the value it belongs to is f64[3].  [E16]\n  at HERE.\n"
        "  Both need the same shape and dtype.");
  CHECK(said([] { jvp([](Array x) { return x; }, Array(1.f), Array(1.0)); }) ==
        "jvp: tangent 0 is f64[], the value it belongs to is f32[].  [E16]\n  at HERE.\n"
        "  Both need the same shape and dtype.");
  CHECK(said([] {
          std::vector<Array> one{1.0}, two{1.0, 2.0};
          jvp([](std::vector<Array> x) { return x; }, one, two);
        }) == "jvp: the trees differ: one has 1 arrays, another 2.  [E70]\n  at HERE.");
  CHECK(said([] {
          auto [y, pullback] = vjp([](Array x) { return x; }, a);
          pullback(m);
        }) ==
        "vjp: cotangent 0 is f64[2,2], the value it belongs to is f64[3].  [E16]\n  at HERE.\n"
        "  Both need the same shape and dtype.");
  CHECK_THROWS_AS(linearize([](Array x) { return x; }, a).second(m), TypeError);
  CHECK(said([] { jacrev([](Array x) { return x > 0; })(a); }) ==
        "jacrev: needs real floating-point results; there is bool[3].  [E18]\n  at HERE.\n  Use "
        "jvp or vjp.");
  CHECK(said([] {
          jacfwd([](Array x) { return x; })(Array{1, 2});
        }) ==
        "jacfwd: argument 0 is differentiated, but holds i32[2].  [E14]\n  at HERE.\n"
        "  Only floating-point and complex arrays have derivatives: convert it (2.0 for 2, "
        "astype), or make it static.");
  CHECK_THROWS_AS(linear_transpose([](Array x) { return x * x; }, a)(a), Error);
  CHECK_THROWS_AS(linear_transpose([](Array x) { return x; }, 3)(3), Error);
}

TEST_CASE("errors: vmap") {
  auto id = [](Array x) { return x; };
  CHECK(said([&] { vmap(id, {.in_axes = None})(a); }) ==
        "vmap: no argument is mapped.  [E24]\n  at HERE, while tracing the function given to vmap "
        "(HERE).\n"
        "  Give one an axis in in_axes, or give axis_size.");
  CHECK(said([&] { vmap(id, {.in_axes = 1})(a); }) ==
        "vmap: argument 0 is f64[3], it has no axis 1 to map over.  [E22]\n"
        "  at HERE, while tracing the function given to vmap (HERE).\n"
        "  Mark it None in in_axes if it is not mapped.");
  CHECK(said([] { vmap([](Array x, Array y) { return x + y; })(a, m); }) ==
        "vmap: mapped axes have different sizes: 2 on axis 0 of argument 1 (f64[2,2]), 3 in "
        "argument 0 (f64[3]).  [E23]\n"
        "  at HERE, while tracing the function given to vmap (HERE).");
  CHECK(said([&] {
          vmap(id, {.in_axes = {0, 0}})(a);
        }) == "vmap: in_axes has 2 entries for 1 arguments.  [E25]\n  at HERE.");
  CHECK(said([&] { vmap(id, {.out_axes = None})(a); }) ==
        "vmap: output 0 is mapped, out_axes says None.  [E26]\n"
        "  at HERE, while tracing the function given to vmap (HERE).\n  Give it an axis, or reduce "
        "over the batch.");
  CHECK(said([&] {
          vmap(id, {.out_axes = {0, 0}})(a);
        }) ==
        "vmap: out_axes has 2 entries for 1 results.  [E25]\n"
        "  at HERE, while tracing the function given to vmap (HERE).");
  CHECK(said([&] { vmap(id, {.out_axes = 3})(a); }) ==
        "vmap: output 0 is f64[], out_axes 3 is out of range.  [E25]\n"
        "  at HERE, while tracing the function given to vmap (HERE).");
  CHECK(said([] {
          vmap([](Layer l) { return l.w; }, {.in_axes = {axes_of(std::tuple(0))}})(Layer{a, a});
        }) == "vmap: in_axes has axes_of 1 leaves, but argument 0 has 2.  [E25]\n  at HERE.");
  CHECK(said([] { psum(a, "i"); }) ==
        "psum: axis name \"i\" is not bound.  [E40]\n  at HERE.\n"
        "  Call it inside the function given to vmap(f, {.axis_name = \"i\"}).");
}

TEST_CASE("errors: custom derivatives") {
  auto jvp_rule = custom_jvp([](Array x) { return x; },
                             [](Array x, Array dx) {
                               return std::pair(x, stack({dx, dx}));
                             });
  CHECK_THAT(said([&] { grad(jvp_rule)(1.0); }),
             Catch::StartsWith("custom_jvp: tangent 0 is f64[2], the value it belongs to is f64[]. "
                               " [E16]\n  at errors_test.cc:"));
  auto vjp_rule = custom_vjp([](Array x) { return x; }, [](Array x) { return std::pair(x, None); },
                             [](NoneType, Array ct) {
                               return stack({ct, ct});
                             });
  for (bool jitted : {false, true})
    CHECK_THAT(
        said([&] { jitted ? grad(jit(vjp_rule))(1.0) : grad(vjp_rule)(1.0); }),
        Catch::StartsWith(
            "custom_vjp: cotangent 0 is f64[2], the value it belongs to is f64[].  [E16]\n"));
  CHECK_THROWS_AS(grad([](Array x) {
                    return while_loop([](Array y) { return y > 1; }, [](Array y) { return y / 2; },
                                      x);
                  })(5.0),
                  Error);
}

TEST_CASE("errors: shapes and literals that cannot be") {
  CHECK(
      said([] {
        Array x = {{1., 2.}, {3.}};
      }) ==
      "array: the rows of a nested list differ: one has 2 elements, another 1.  [E45]\n  at HERE.");
  CHECK_THROWS_AS(zeros({-1}), TypeError);
  CHECK_THROWS_AS(zeros({std::int64_t(1) << 40, std::int64_t(1) << 40}), Error);
  CHECK_THROWS_AS(a.reshape({-1, -1}), TypeError);
  CHECK_THROWS_AS(ravel(Layer{a, m}).second(a), TypeError);
}

TEST_CASE("errors: programs as text and JSON") {
  for (const char* text :
       {"", "{", "{ lambda", "{ lambda ; a:f64[]. let b:f64[] = foo a in (b,) }",
        "{ lambda ; a:f64[]. let in (c,) }", "{ lambda ; a:f64[]. let b:f64[] = sin a b in (b,) }",
        "{ lambda ; a:f64[-1]. let in (a,) }",
        "{ lambda ; a:f64[99999999999999999999]. let in (a,) }",
        "{ lambda ; a:f99[]. let in (a,) }", "{ lambda ; a:f64[] a:f64[]. let in (a,) }"}) {
    CAPTURE(text);
    CHECK_THROWS_AS(Jaxpr::parse(text), Error);
  }
  CHECK_THROWS_AS(Jaxpr::parse(std::string(100000, '{')), Error);
  for (const char* text : {"", "{", "[]", "null", "{\"invars\": 3}",
                           "{\"invars\": [], \"eqns\": [{}], \"outvars\": []}"}) {
    CAPTURE(text);
    CHECK_THROWS_AS(Jaxpr::from_json(text), Error);
  }
  CHECK_THROWS_AS(Jaxpr::from_json(std::string(100000, '[')), Error);
}
