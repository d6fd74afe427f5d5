// passes_test.cc -- the passes, text in, text out.
#include <catch2/catch.hpp>
#include "backends/passes/passes.h"
#include "jaxpp/core/jaxpr.h"

using namespace jaxpp;
using namespace jaxpp::internal;

namespace {
// The text without newlines at its ends.
std::string trimmed(std::string s) {
  while (!s.empty() && s.front() == '\n') s.erase(0, 1);
  while (!s.empty() && s.back() == '\n') s.pop_back();
  return s;
}
std::string after(JaxprPtr (*pass)(const JaxprBody&), const std::string& text) {
  const Jaxpr p = Jaxpr::parse(trimmed(text));
  Jaxpr q(pass(*p.body()), p.consts());
  q.check();
  return "\n" + q.to_string() + "\n";
}
}  // namespace

TEST_CASE("passes: dce looks into loops and calls") {
  CHECK(after(passes::dce, R"(
{ lambda ; a:f32[3]. let b:f32[3] = sin a; c:f32[3] = cos a in (b,) }
)") == "\n{ lambda ; a:f32[3]. let b:f32[3] = sin a in (b,) }\n");
  CHECK(after(passes::dce, R"(
{ lambda ; a:f32[] b:f32[] c:f32[3]. let
    d:f32[] e:f32[] f:f32[3] = scan[
      jaxpr={ lambda ; g:f32[] h:f32[] i:f32[]. let
          j:f32[] = mul g i
          k:f32[] = sin h
          l:f32[] = exp k
        in (j, k, l) }
      length=3
      num_carry=2
    ] a b c
  in (d,) }
)") == R"(
{ lambda ; a:f32[] b:f32[] c:f32[3]. let
    d:f32[] = scan[
      jaxpr={ lambda ; e:f32[] f:f32[]. let g:f32[] = mul e f in (g,) }
      length=3
      num_carry=1
    ] a c
  in (d,) }
)");
  // A carry that only feeds itself goes; one that the condition reads stays.
  CHECK(after(passes::dce, R"(
{ lambda ; a:f32[] b:f32[] c:f32[]. let
    d:f32[] e:f32[] f:f32[] = while[
      body_jaxpr={ lambda ; g:f32[] h:f32[] i:f32[]. let
          j:f32[] = add g 1.0:f32[]
          k:f32[] = sin h
          l:f32[] = mul i 2.0:f32[]
        in (j, k, l) }
      cond_jaxpr={ lambda ; m:f32[] n:f32[] o:f32[]. let p:bool[] = lt m 9.0:f32[] in (p,) }
    ] a b c
  in (f,) }
)") == R"(
{ lambda ; a:f32[] b:f32[] c:f32[]. let
    _:f32[] d:f32[] = while[
      body_jaxpr={ lambda ; e:f32[] f:f32[]. let
          g:f32[] = add e 1.0:f32[]
          h:f32[] = mul f 2.0:f32[]
        in (g, h) }
      cond_jaxpr={ lambda ; i:f32[] j:f32[]. let
          k:bool[] = lt i 9.0:f32[]
        in (k,) }
    ] a c
  in (d,) }
)");
  CHECK(after(passes::dce, R"(
{ lambda ; a:i32[] b:f32[] c:f32[]. let
    d:f32[] e:f32[] = cond[
      branches=(
        { lambda ; f:f32[] g:f32[]. let h:f32[] = sin g in (f, h) }
        { lambda ; i:f32[] j:f32[]. let k:f32[] = cos j in (i, k) }
      )
    ] a b c
  in (d,) }
)") == R"(
{ lambda ; a:i32[] b:f32[] c:f32[]. let
    d:f32[] = cond[
      branches=(
        { lambda ; e:f32[]. let  in (e,) }
        { lambda ; f:f32[]. let  in (f,) }
      )
    ] a b
  in (d,) }
)");
}

TEST_CASE("passes: cse, fold, simplify, inline") {
  CHECK(after(passes::cse, R"(
{ lambda ; a:f32[]. let
    b:f32[] = sin a
    c:f32[] = sin a
    d:f32[] = add b 1.0:f32[]
    e:f32[] = add c 1.0:f32[]
    f:f32[] = mul d e
  in (f,) }
)") == R"(
{ lambda ; a:f32[]. let
    b:f32[] = sin a
    c:f32[] = add b 1.0:f32[]
    d:f32[] = mul c c
  in (d,) }
)");
  CHECK(after(passes::fold, R"(
{ lambda ; a:f32[]. let
    b:f32[] = mul 2.0:f32[] 3.0:f32[]
    c:f32[] = add b 1.0:f32[]
    d:f32[] = mul a c
  in (d,) }
)") == "\n{ lambda ; a:f32[]. let b:f32[] = mul a 7.0:f32[] in (b,) }\n");
  CHECK(after(passes::simplify, R"(
{ lambda ; a:f32[2,3]. let
    b:f32[2,3] = mul a 1.0:f32[]
    c:f32[2,3] = neg b
    d:f32[2,3] = neg c
    e:f32[3,2] = transpose[permutation=(1, 0)] d
    f:f32[2,3] = transpose[permutation=(1, 0)] e
    g:f32[6] = reshape[new_sizes=(6,)] f
    h:f32[2,3] = reshape[new_sizes=(2, 3)] g
    i:f64[2,3] = convert_element_type[new_dtype=float64] h
    j:f32[2,3] = convert_element_type i
    k:f32[2,3] = integer_pow[y=1] j
    l:f32[2,3] = select_n False:bool[] k a
  in (l,) }
)") == "\n{ lambda ; a:f32[2,3]. let  in (a,) }\n");
  // What must stay: these are not identities of IEEE arithmetic.
  const std::string stays = R"(
{ lambda ; a:f32[]. let
    b:f32[] = add a 0.0:f32[]
    c:f32[] = mul b 0.0:f32[]
    d:f32[] = sub c c
    e:f16[] = convert_element_type[new_dtype=float16] d
    f:f32[] = convert_element_type e
    g:f32[3] = mul f [1.0, 1.0, 2.0]:f32[3]
    h:f32[3] = mul 1.0:f32[3] f
  in (g, h) }
)";
  CHECK(after(passes::simplify, stays) == stays);
  CHECK(after(passes::inline_calls, R"(
{ lambda ; a:f32[]. let
    b:f32[] = jit[
      name=f
      jaxpr={ lambda ; a:f32[]. let
          b:f32[] = jit[
            name=g
            jaxpr={ lambda ; a:f32[]. let b:f32[] = sin a in (b,) }
          ] a
        in (b,) }
    ] a
    c:f32[] = exp b
  in (c,) }
)") == "\n{ lambda ; a:f32[]. let b:f32[] = sin a; c:f32[] = exp b in (c,) }\n");
  CHECK(after(passes::lower, R"(
{ lambda ; a:f32[]. let
    b:f32[] = remat2[jaxpr={ lambda ; c:f32[]. let d:f32[] = sin c in (d,) }] a
  in (b,) }
)") == R"(
{ lambda ; a:f32[]. let
    b:f32[] = optimization_barrier a
    c:f32[] = sin b
  in (c,) }
)");
}
