// text_test.cc -- programs as text: printing, parsing, JSON.
#include <catch2/catch.hpp>
#include "jaxpp/core/json.h"
#include "jaxpp/core/rewrite.h"
#include "jaxpp/core/scalar_text.h"
#include "jaxpp/core/user_functions.h"
#include "jaxpp/flat.h"
#include "jaxpp/lax.h"
#include "jaxpp/ops/primitives.h"

using namespace jaxpp;
using namespace jaxpp::internal;

namespace {
// The text without leading newline and with common indentation left as it is.
std::string trimmed(std::string s) {
  while (!s.empty() && s.front() == '\n') s.erase(0, 1);
  while (!s.empty() && s.back() == '\n') s.pop_back();
  return s;
}
void is_own_text(const std::string& text) {
  const std::string t = trimmed(text);
  INFO(t);
  CHECK(Jaxpr::parse(t).to_string() == t);
}
std::string error_of(const std::string& text) {
  try {
    Jaxpr::parse(text);
  } catch (const ParseError& e) {
    return e.what();
  }
  return "no error";
}
template <class F>
Jaxpr trace(std::vector<Type> in, F f) {
  return make_jaxpr_flat(flat(f), in, Loc::current());
}
Type f32_(std::initializer_list<std::int64_t> shape) { return make_type(f32, Shape(shape)); }
const PrintOptions kJax{.jax = true};
}  // namespace

TEST_CASE("text: print, parse, print is the identity") {
  is_own_text("{ lambda ; . let  in () }");
  is_own_text("{ lambda ; a:f32[]. let  in (a, a, 2.0:f32[]) }");
  is_own_text("{ lambda ; a:f32[3] b:f32[3]. let c:f32[3] = add a b in (c,) }");
  is_own_text("{ lambda ; a:f32[3]. let b:f32[3] = sin a; c:f32[3] = neg b in (c,) }");
  is_own_text(R"(
{ lambda a:f32[3]; b:f32[3]. let c:f32[3] = mul b a in (c,) }
where
  a = [1.0, 2.5, -0.0]:f32[3]
)");
  is_own_text(R"(
{ lambda ; a:f32[2,3] b:f32[3]. let
    c:f32[2] = dot_general[dimension_numbers=(([1], [0]), ([], []))] a b
  in (c,) }
)");
  is_own_text(R"(
{ lambda ; a:f32[] b:f32[3]. let
    c:f32[] d:f32[3] = scan[
      jaxpr={ lambda ; e:f32[] f:f32[]. let
          g:f32[] = mul e f
          h:f32[] = add e 1.0:f32[]
        in (g, h) }
      length=3
      num_carry=1
    ] a b
  in (c, d) }
)");
  is_own_text(R"(
{ lambda ; a:i32[] b:f32[3]. let
    c:f32[3] = cond[
      branches=(
        { lambda ; d:f32[3]. let e:f32[3] = cos d in (e,) }
        { lambda ; f:f32[3]. let g:f32[3] = sin f in (g,) }
      )
    ] a b
  in (c,) }
)");
  is_own_text(R"(
let sin = { lambda ; a:f32[3]. let b:f32[3] = sin a in (b,) } in
{ lambda ; c:f32[3]. let
    d:f32[3] = jit[name=sin jaxpr=sin] c
    e:f32[3] = jit[name=sin jaxpr=sin] d
  in (e,) }
)");
  is_own_text(R"(
{ lambda ; a:f32[]. let
    b:f32[] = custom_jvp_call[
      name=f
      call_jaxpr={ lambda ; c:f32[]. let d:f32[] = sin c in (d,) }
      jvp_jaxpr={ lambda ; e:f32[] f:f32[]. let
          g:f32[] = sin e
          h:f32[] = mul f 2.0:f32[]
        in (g, h) }
    ] a
  in (b,) }
)");
  is_own_text(R"(
{ lambda ; a:f32[4] b:i32[2,1]. let
    c:f32[2] = gather[
      dimension_numbers=GatherDimensionNumbers(collapsed_slice_dims=(0,), start_index_map=(0,))
      fill_value=nan
      mode=FILL_OR_DROP
      slice_sizes=(1,)
    ] a b
  in (c,) }
)");
}

TEST_CASE("text: every number survives") {
  const char* literals[] = {"0.1:f32[]",
                            "-0.0:f64[]",
                            "nan:f32[]",
                            "nan(0xffc00001):f32[]",
                            "inf:f16[]",
                            "-inf:bf16[]",
                            "1e-45:f32[]",
                            "5e-324:f64[]",
                            "1.7976931348623157e+308:f64[]",
                            "0.1:f16[]",
                            "3.14:bf16[]",
                            "1.0-2.5j:c64[]",
                            "nan+infj:c128[]",
                            "-0.0-0.0j:c64[]",
                            "18446744073709551615:u64[]",
                            "-9223372036854775808:i64[]",
                            "True:bool[]",
                            "-128:i8[]",
                            "1e+16:f64[]",
                            "123456.0:f32[]",
                            "[1.0, nan, -0.0]:f32[3]",
                            "7:i32[2,3]",
                            "[]:f32[0,3]",
                            "[True, False]:bool[2]"};
  for (const char* l : literals) is_own_text("{ lambda ; . let  in (" + std::string(l) + ",) }");
  CHECK(double_text(1e22) == "1e+22");
  CHECK(double_text(0.0001) == "0.0001");
  CHECK(double_text(1e-5) == "1e-05");
}

TEST_CASE("text: JAX's own") {
  const Type s = f32_({}), v = f32_({3});
  auto text = [](const Jaxpr& j) { return j.to_string(kJax); };
  CHECK(text(trace({v, v}, [](Args x, Results& y) { y.push_back(lax::add(x[0], x[1])); })) ==
        "{ lambda ; a:f32[3] b:f32[3]. let c:f32[3] = add a b in (c,) }");
  const float ones[] = {1, 2, 3};
  const Array c(std::span<const float>{ones});
  CHECK(text(trace({v}, [&](Args x, Results& y) { y.push_back(lax::mul(x[0], c)); })) ==
        "{ lambda a:f32[3]; b:f32[3]. let c:f32[3] = mul b a in (c,) }");
  CHECK(text(trace({f32_({2, 3}), v}, [](Args x, Results& y) {
          y.push_back(lax::dot_general(x[0], x[1], {{1}, {0}, {}, {}}, f32));
        })) == trimmed(R"(
{ lambda ; a:f32[2,3] b:f32[3]. let
    c:f32[2] = dot_general[
      dimension_numbers=(([1], [0]), ([], []))
      preferred_element_type=float32
    ] a b
  in (c,) }
)"));
  auto body = [](Args x, Results& y) {
    y.push_back(lax::mul(x[0], x[1]));
    y.push_back(lax::add(x[0], Array(1.f)));
  };
  CHECK(text(trace({s, v}, [&](Args x, Results& y) {
          scan_flat(flat(body), x.first(1), x.subspan(1), -1, false, 1, y, Loc::current());
        })) == trimmed(R"(
{ lambda ; a:f32[] b:f32[3]. let
    c:f32[] d:f32[3] = scan[
      jaxpr={ lambda ; e:f32[] f:f32[]. let
          g:f32[] = mul e f
          h:f32[] = add e 1.0:f32[]
        in (g, h) }
      length=3
      num_carry=1
      num_consts=0
      reverse=False
      unroll=1
    ] a b
  in (c, d) }
)"));
  auto no = [](Args x, Results& y) { y.push_back(lax::cos(x[0])); };
  auto yes = [](Args x, Results& y) { y.push_back(lax::sin(x[0])); };
  CHECK(text(trace({s, v}, [&](Args x, Results& y) {
          const FlatFn branches[] = {flat(no), flat(yes)};
          const Array index = lax::convert_element_type(lax::gt(x[0], Array(0.f)), i32);
          cond_flat(index, branches, x.subspan(1), "cond", y, Loc::current());
        })) == trimmed(R"(
{ lambda ; a:f32[] b:f32[3]. let
    c:bool[] = gt a 0.0:f32[]
    d:i32[] = convert_element_type[new_dtype=int32 weak_type=False] c
    e:f32[3] = cond[
      branches=(
        { lambda ; f:f32[3]. let g:f32[3] = cos f in (g,) }
        { lambda ; h:f32[3]. let i:f32[3] = sin h in (i,) }
      )
    ] d b
  in (e,) }
)"));
  auto sine = [](Args x, Results& y) { y.push_back(lax::sin(x[0])); };
  JitCache cache;
  auto call = [&](const Array& x) {
    Results y;
    std::vector<Array> in{x};
    jit_flat(cache, "sin", flat(sine), in, {}, nullptr, y, false, {}, Loc::current());
    return y[0];
  };
  CHECK(text(trace({v}, [&](Args x, Results& y) {
          const Array a = call(x[0]), b = call(x[0]);
          y.push_back(lax::add(a, b));
        })) == trimmed(R"(
let sin = { lambda ; a:f32[3]. let b:f32[3] = sin a in (b,) } in
{ lambda ; c:f32[3]. let
    d:f32[3] = jit[name=sin jaxpr=sin] c
    e:f32[3] = jit[name=sin jaxpr=sin] c
    f:f32[3] = add d e
  in (f,) }
)"));
  // A body printed in place takes the names outside.
  CHECK(text(trace({v}, [&](Args x, Results& y) { y.push_back(call(x[0])); })) == trimmed(R"(
{ lambda ; a:f32[3]. let
    b:f32[3] = jit[
      name=sin
      jaxpr={ lambda ; a:f32[3]. let b:f32[3] = sin a in (b,) }
    ] a
  in (b,) }
)"));
  auto rule = std::make_shared<CustomRule>();
  rule->name = "f";
  rule->call = sine;
  rule->jvp = [](Args x, Args dx, Results& y, Results& dy) {
    y.push_back(lax::sin(x[0]));
    dy.push_back(dx[0]);
  };
  CHECK(text(trace({s}, [&](Args x, Results& y) {
          custom_call_flat(rule, x, y, Loc::current());
        })) == trimmed(R"(
{ lambda ; a:f32[]. let
    b:f32[] = custom_jvp_call[
      name=f
      call_jaxpr={ lambda ; c:f32[]. let d:f32[] = sin c in (d,) }
      jvp=jvp
      symbolic_zeros=False
    ] a
  in (b,) }
)"));
}

TEST_CASE("text: long lists are filled, names go on with two letters") {
  std::vector<Type> in(30, f32_({}));
  CHECK(trace(in, [](Args x, Results& y) { y.push_back(lax::add(x[0], x[29])); }).to_string() ==
        trimmed(R"(
{ lambda ; a:f32[] b:f32[] c:f32[] d:f32[] e:f32[] f:f32[] g:f32[] h:f32[] i:f32[]
    j:f32[] k:f32[] l:f32[] m:f32[] n:f32[] o:f32[] p:f32[] q:f32[] r:f32[] s:f32[]
    t:f32[] u:f32[] v:f32[] w:f32[] x:f32[] y:f32[] z:f32[] ba:f32[] bb:f32[] bc:f32[]
    bd:f32[]. let
    be:f32[] = add a bd
  in (be,) }
)"));
}

TEST_CASE("text: a canonical order hides the order of evaluation") {
  auto program = [](bool swap) {
    return trace({f32_({})}, [swap](Args x, Results& y) {
      Array a, b;
      if (swap)
        b = lax::cos(x[0]), a = lax::sin(x[0]);
      else
        a = lax::sin(x[0]), b = lax::cos(x[0]);
      y.push_back(lax::mul(a, b));
    });
  };
  CHECK(program(false).to_string() != program(true).to_string());
  CHECK(program(false).to_string({.canonical = true}) ==
        program(true).to_string({.canonical = true}));
  CHECK(program(true).to_string({.canonical = true}) ==
        "{ lambda ; a:f32[]. let\n    b:f32[] = sin a\n    c:f32[] = cos a\n    d:f32[] = mul b "
        "c\n  in (d,) }");
}

TEST_CASE("text: malformed programs are refused with line and column") {
  CHECK(error_of("") == "parse: 1:1: expected `{`, the text ends.");
  CHECK(error_of("{ lambda ; a:f32[3]. let\n  b:f32[3] = sinn a in (b,) }") ==
        "parse: 2:14: there is no primitive `sinn`.");
  CHECK(error_of("{ lambda ; a:f32[3]. let b:f32[3] = sin c in (b,) }") ==
        "parse: 1:41: `c` is not defined.");
  CHECK(error_of("{ lambda ; a:f32[3]. let b:f32[4] = sin a in (b,) }") ==
        "parse: 1:26: sin gives f32[3], not f32[4].");
  CHECK(error_of("{ lambda ; a:f32[3]. let b:f32[3] = sin a a in (b,) }") ==
        "parse: 1:37: sin: takes 1 operand, has 2.");
  CHECK(error_of("{ lambda ; a:f32[3] a:f32[3]. let  in (a,) }") ==
        "parse: 1:21: `a` is defined twice.");
  CHECK(error_of("{ lambda a:f32[3]; . let  in (a,) }").find("constant `a` has no value") !=
        std::string::npos);
  const char* bad[] = {
      "{",
      "{ lambda ; a:f33[]. let  in (a,) }",
      "{ lambda ; a:f32[-1]. let  in (a,) }",
      "{ lambda ; a:f32[9223372036854775807,9223372036854775807]. let  in (a,) }",
      "{ lambda ; . let  in (1.5:i32[],) }",
      "{ lambda ; . let  in (300:i8[],) }",
      "{ lambda ; . let  in ([1.0, 2.0]:f32[3],) }",
      "{ lambda ; . let  in (0.0:f64[1000000000000],) }",
      "{ lambda ; . let  in ([...]:f32[3],) }",
      "{ lambda ; a:f32[]. let b:f32[] = jit a in (b,) }",
      "{ lambda ; a:f32[]. let b:f32[] = jit[jaxpr=f] a in (b,) }",
      "let f = { lambda ; a:f32[]. let b:f32[] = jit[jaxpr=f] a in (b,) } in { lambda ; a:f32[]. "
      "let b:f32[] = "
      "jit[jaxpr=f] a in (b,) }",
      "{ lambda ; a:f32[3]. let b:f32[] = reduce_sum[axes=(7,)] a in (b,) }",
      "{ lambda ; a:f32[3]. let b:f32[] = reduce_sum[axes=(0,) axes=(0,)] a in (b,) }",
      "{ lambda ; a:f32[3]. let b:f32[] = reduce_sum[axis=(0,)] a in (b,) }",
      "{ lambda ; a:f32[3]. let b:f32[] = reduce_sum[axes=(0,)(] a in (b,) }",
      "{ lambda ; a:f32[3]. let b:f32[3] = cumsum[axis=99999999999999999999] a in (b,) }",
      "{ lambda ; a:f32[3]. let  in (a,) } trailing",
      "{ lambda ; a:f32[3]. let  in (a,) } where a = 1.0:f32[3]",
      "{ lambda ; a:f32[3]. let  in (<traced>:f32[3],) }",
      "\x01",
      "\"",
      "'\\",
      "<",
      "nan(",
  };
  for (const char* s : bad) {
    INFO(s);
    CHECK_THROWS_AS(Jaxpr::parse(s), ParseError);
  }
  std::string deep;
  for (int i = 0; i < 100000; ++i) deep += "{ lambda ; a:f32[]. let b:f32[] = jit[jaxpr=";
  CHECK_THROWS_AS(Jaxpr::parse(deep), ParseError);
  // Every prefix and every single deletion of a program gives a program or a ParseError.
  const std::string good = trimmed(R"(
{ lambda ; a:f32[] b:f32[3]. let
    c:f32[] d:f32[3] = scan[
      jaxpr={ lambda ; e:f32[] f:f32[]. let g:f32[] = mul e f in (g, g) }
      length=3
      num_carry=1
    ] a b
  in (c, d) }
)");
  for (std::size_t i = 0; i < good.size(); ++i) {
    for (std::string s : {good.substr(0, i), good.substr(0, i) + good.substr(i + 1)}) {
      try {
        Jaxpr::parse(s);
      } catch (const ParseError&) {
      }
    }
  }
}

TEST_CASE("json: write and read") {
  const Jaxpr p = Jaxpr::parse(trimmed(R"(
{ lambda a:f32[3]; b:f32[3] c:i32[]. let
    d:f32[3] = mul b a
    e:f32[3] = cond[
      branches=(
        { lambda ; f:f32[3]. let g:f32[3] = cos f in (g,) }
        { lambda ; h:f32[3]. let i:f32[3] = add h [1.0, 2.0, nan]:f32[3] in (i,) }
      )
    ] c d
  in (e, 1.0:f32[]) }
where
  a = [1.0, 2.0, 3.0]:f32[3]
)"));
  const Jaxpr q = Jaxpr::from_json(p.json());
  CHECK(q.to_string() == p.to_string());
  CHECK(q.json() == p.json());
  CHECK(p.dot().substr(0, 15) == "digraph jaxpr {");
  const char* bad[] = {
      "",
      "{",
      "[]",
      "{}",
      "null",
      "{\"consts\":[],\"jaxpr\":{}}",
      R"({"consts":[],"jaxpr":{"constvars":[],"invars":[],"eqns":[],"outvars":[{"var":0}]}})",
      R"({"consts":[],"jaxpr":{"constvars":[],"invars":[{"id":1,"dtype":"float32","shape":[-1]}],"eqns":[],"outvars":[]}})",
      R"({"consts":[],"jaxpr":{"constvars":[],"invars":[{"id":1,"dtype":"float32","shape":[4611686018427387904,4]}],"eqns":[],"outvars":[]}})",
      R"({"consts":[],"jaxpr":{"constvars":[],"invars":[{"id":1,"dtype":"f32","shape":[]}],"eqns":[],"outvars":[]}})",
      R"({"consts":[],"jaxpr":{"constvars":[],"invars":[{"id":1,"dtype":"float32","shape":[]},{"id":1,"dtype":"float32","shape":[]}],"eqns":[],"outvars":[]}})",
      R"({"consts":[],"jaxpr":{"constvars":[],"invars":[],"eqns":[],"outvars":[{"literal":{"dtype":"float32","shape":[],"data":"AAAA"}}]}})",
      R"({"consts":[],"jaxpr":{"constvars":[],"invars":[],"eqns":[],"outvars":[{"literal":{"dtype":"float32","shape":[],"data":"AAAA!A=="}}]}})",
      R"({"consts":[],"jaxpr":{"constvars":[],"invars":[{"id":1,"dtype":"float32","shape":[]}],"eqns":[{"primitive":"sin","inputs":[],"outputs":[{"id":2,"dtype":"float32","shape":[]}],"params":{}}],"outvars":[]}})",
      R"({"consts":[],"jaxpr":{"constvars":[],"invars":[{"id":1,"dtype":"float32","shape":[]}],"eqns":[{"primitive":"jit","inputs":[{"var":1}],"outputs":[null],"params":{}}],"outvars":[]}})",
  };
  for (const char* s : bad) {
    INFO(s);
    CHECK_THROWS_AS(Jaxpr::from_json(s), ParseError);
  }
  CHECK_THROWS_AS(Jaxpr::from_json(std::string(1000000, '[')), ParseError);
  CHECK_THROWS_AS(
      Jaxpr::from_json(
          R"({"consts":[],"jaxpr":{"constvars":[],"invars":[],"eqns":[{"primitive":"nosuch","inputs":[],"outputs":[],"params":{}}],"outvars":[]}})"),
      UnknownPrimitive);
}

TEST_CASE("check: names the equation that is wrong") {
  const Jaxpr p = Jaxpr::parse("{ lambda ; a:f32[3]. let b:f32[3] = sin a in (b,) }");
  JaxprBody wrong = p.body()->copy();
  wrong.types[wrong.eqns[0].out] = f32_({4});
  CHECK_THROWS_WITH(check_jaxpr(wrong), "check_jaxpr: sin gives f32[3], recorded is f32[4].");
  JaxprBody unordered = p.body()->copy();
  unordered.eqns[0].in[0] = Atom::var(unordered.eqns[0].out);
  CHECK_THROWS_WITH(check_jaxpr(unordered), Catch::Contains("before its definition"));
}
