// passes_test.cc -- the passes, text in, text out; their speed; and how large they leave gradients.
#include "backends/passes/passes.h"
#include <catch2/catch.hpp>
#include <fstream>
#include <nlohmann/json.hpp>
#include "jaxpp/core/jaxpr.h"
#include "jaxpp/flat.h"
#include "jaxpp/jaxpp.h"
#include "jaxpp/lax.h"

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

// ---- Pass by pass

TEST_CASE("passes: equal up to the order of commuting operands") {
  CHECK(after(passes::cse, R"(
{ lambda ; a:f32[] b:f32[]. let
    c:f32[] = mul a b
    d:f32[] = mul b a
    e:f32[] = sub a b
    f:f32[] = sub b a
    g:f32[] = add c 1.0:f32[]
    h:f32[] = add 1.0:f32[] d
    i:f32[] = add 1.0000001:f32[] d
  in (e, f, g, h, i) }
)") == R"(
{ lambda ; a:f32[] b:f32[]. let
    c:f32[] = mul a b
    d:f32[] = sub a b
    e:f32[] = sub b a
    f:f32[] = add c 1.0:f32[]
    g:f32[] = add 1.0000001:f32[] c
  in (d, e, f, f, g) }
)");
}

TEST_CASE("passes: simplify, algebra") {
  CHECK(after(passes::simplify, R"(
{ lambda ; a:f32[3] b:f32[3] c:f32[]. let
    d:f32[3] = neg a
    e:f32[3] = neg b
    f:f32[3] = mul d e
    g:f32[3] = sub f e
    h:f32[3] = add g d
    i:f32[3] = div h 4.0:f32[]
    j:f32[3] = integer_pow[y=2] i
    k:f32[3] = mul j -1.0:f32[]
    l:f32[3] = pow k 2.0:f32[]
    m:f32[3] = mul c l
    n:f32[3] = max m -inf:f32[]
    o:f32[3] = abs n
    p:f32[3] = square o
  in (p,) }
)") == R"(
{ lambda ; a:f32[3] b:f32[3] c:f32[]. let
    d:f32[3] = mul a b
    e:f32[3] = add d b
    f:f32[3] = sub e a
    g:f32[3] = mul f 0.25:f32[]
    h:f32[3] = square g
    i:f32[3] = square h
    j:f32[3] = mul c i
    k:f32[3] = square j
  in (k,) }
)");
  // Signs move into numbers.
  CHECK(after(passes::simplify, R"(
{ lambda ; a:f32[3]. let
    b:f32[3] = neg a
    c:f32[3] = mul b 3.0:f32[]
    d:f32[3] = mul a 2.0:f32[]
    e:f32[3] = neg d
    f:f32[3] = add c e
  in (f,) }
)") == R"(
{ lambda ; a:f32[3]. let
    b:f32[3] = mul a -3.0:f32[]
    c:f32[3] = mul a -2.0:f32[]
    d:f32[3] = add b c
  in (d,) }
)");
  // not (a < b) is not a >= b: NaN.  Integers have none.
  CHECK(after(passes::simplify, R"(
{ lambda ; a:f32[3] b:f32[3] c:i32[] d:bool[]. let
    e:bool[3] = eq a b
    f:bool[3] = not e
    g:bool[3] = lt a b
    h:bool[3] = not g
    i:f32[3] = select_n h a b
    j:i32[] = convert_element_type[new_dtype=int32] d
    k:bool[] = gt j 0:i32[]
    l:bool[] = lt c 5:i32[]
    m:bool[] = not l
    n:bool[] = and k True:bool[]
    o:bool[] = eq c c
  in (f, h, i, n, m, o) }
)") == R"(
{ lambda ; a:f32[3] b:f32[3] c:i32[] d:bool[]. let
    e:bool[3] = ne a b
    f:bool[3] = lt a b
    g:bool[3] = not f
    h:f32[3] = select_n f b a
    i:bool[] = ge c 5:i32[]
  in (e, g, h, d, i, True:bool[]) }
)");
}

TEST_CASE("passes: simplify, views") {
  // Broadcasts come after what is computed.
  CHECK(after(passes::simplify, R"(
{ lambda ; a:f32[3] b:f32[3] c:f32[]. let
    d:f32[2,3] = broadcast_in_dim[broadcast_dimensions=(1,) shape=(2, 3)] a
    e:f32[2,3] = broadcast_in_dim[broadcast_dimensions=(1,) shape=(2, 3)] b
    f:f32[2,3] = mul d e
    g:f32[2,3] = mul f 2.0:f32[]
    h:f32[2,3] = sin g
    i:f32[2,3] = broadcast_in_dim[shape=(2, 3)] 1.0:f32[]
    j:f32[2,3] = broadcast_in_dim[shape=(2, 3)] c
    k:f32[2,3] = div i j
    l:f32[2,3] = add h k
    m:f32[1,3] = expand_dims[dimensions=(0,)] a
    n:f32[1,3] = expand_dims[dimensions=(0,)] b
    o:f32[1,3] = max m n
  in (l, o) }
)") == R"(
{ lambda ; a:f32[3] b:f32[3] c:f32[]. let
    d:f32[3] = mul a b
    e:f32[3] = mul d 2.0:f32[]
    f:f32[3] = sin e
    g:f32[] = div 1.0:f32[] c
    h:f32[3] = add f g
    i:f32[2,3] = broadcast_in_dim[broadcast_dimensions=(1,) shape=(2, 3)] h
    j:f32[3] = max a b
    k:f32[1,3] = expand_dims[dimensions=(0,)] j
  in (i, k) }
)");
  // Views of views: a slice, a transpose and a rev are left.
  CHECK(after(passes::simplify, R"(
{ lambda ; a:f32[3,4] b:f32[]. let
    c:f32[1,3,4] = reshape[new_sizes=(1, 3, 4)] a
    d:f32[3,1,4] = transpose[permutation=(1, 0, 2)] c
    e:f32[3,4] = squeeze[dimensions=(1,)] d
    f:f32[3,4,2] = broadcast_in_dim[broadcast_dimensions=(0, 1) shape=(3, 4, 2)] e
    g:f32[2,4,3] = transpose[permutation=(2, 1, 0)] f
    h:f32[1,4,2] = slice[limit_indices=(2, 4, 3) start_indices=(1, 0, 1)] g
    i:f32[4,2] = squeeze[dimensions=(0,)] h
    j:f32[4,2] = rev[dimensions=(0,)] i
    k:f32[4,2] = rev[dimensions=(0, 1)] j
  in (k,) }
)") == R"(
{ lambda ; a:f32[3,4] b:f32[]. let
    c:f32[2,4] = slice[limit_indices=(3, 4) start_indices=(1, 0)] a
    d:f32[4,2] = transpose[permutation=(1, 0)] c
    e:f32[4,2] = rev[dimensions=(1,)] d
  in (e,) }
)");
  CHECK(after(passes::simplify, R"(
{ lambda ; a:f32[3] b:f32[4] c:i32[] d:f32[3]. let
    e:f32[7] = concatenate a b
    f:f32[2] = slice[limit_indices=(6,) start_indices=(4,)] e
    g:f32[9] = pad[padding_config=((4, 2, 0),)] a 0.5:f32[]
    h:f32[2] = slice[limit_indices=(6,) start_indices=(4,)] g
    i:f32[3] = slice[limit_indices=(3,) start_indices=(0,)] g
    j:f32[2,3] = stack a d
    k:f32[1,3] = slice[limit_indices=(2, 3) start_indices=(1, 0)] j
    l:f32[3] = squeeze[dimensions=(0,)] k
    m:f32[3] n:f32[3] = unstack[n=2] j
    o:f32[3] p:f32[4] = split[sizes=(3, 4)] e
    q:f32[2] = dynamic_slice[slice_sizes=(2,)] b 9:i32[]
    r:f32[4] = dynamic_slice[slice_sizes=(4,)] b c
    s:f32[2,3] = stack a a
  in (f, h, i, l, m, p, q, r, s) }
)") == R"(
{ lambda ; a:f32[3] b:f32[4] c:i32[] d:f32[3]. let
    e:f32[2] = slice[limit_indices=(3,) start_indices=(1,)] b
    f:f32[2] = slice[limit_indices=(2,) start_indices=(0,)] a
    g:f32[3] = broadcast_in_dim[shape=(3,)] 0.5:f32[]
    h:f32[2] = slice[limit_indices=(4,) start_indices=(2,)] b
    i:f32[2,3] = broadcast_in_dim[broadcast_dimensions=(1,) shape=(2, 3)] a
  in (e, f, g, d, a, b, h, b, i) }
)");
}

TEST_CASE("passes: simplify, sums of cotangents") {
  // A slice onto zeros is a pad; slices side by side are a concatenate, or a stack.
  CHECK(after(passes::simplify, R"(
{ lambda ; a:f32[2] b:f32[] c:f32[] d:f32[] e:f32[5]. let
    f:f32[5] = broadcast_in_dim[shape=(5,)] 0.0:f32[]
    g:f32[5] = add_slice[limit_indices=(4,) start_indices=(2,)] f a
    h:f32[1] = reshape[new_sizes=(1,)] b
    i:f32[1] = reshape[new_sizes=(1,)] c
    j:f32[1] = reshape[new_sizes=(1,)] d
    k:f32[3] = broadcast_in_dim[shape=(3,)] 0.0:f32[]
    l:f32[3] = add_slice[limit_indices=(3,) start_indices=(2,)] k h
    m:f32[3] = add_slice[limit_indices=(1,) start_indices=(0,)] l i
    n:f32[3] = add_slice[limit_indices=(3,) start_indices=(2,)] m i
    o:f32[3] = add_slice[limit_indices=(2,) start_indices=(1,)] n j
    p:f32[3] = slice[limit_indices=(3,) start_indices=(0,)] e
    q:f32[5] = add_slice[limit_indices=(3,) start_indices=(0,)] e p
    r:f32[5] = add_slice[limit_indices=(5,) start_indices=(3,)] q a
  in (g, o, r) }
)") == R"(
{ lambda ; a:f32[2] b:f32[] c:f32[] d:f32[] e:f32[5]. let
    f:f32[5] = pad[padding_config=((2, 1, 0),)] a 0.0:f32[]
    g:f32[1] = broadcast_in_dim[shape=(1,)] b
    h:f32[3] = pad[padding_config=((2, 0, 0),)] g 0.0:f32[]
    i:f32[3] = stack c d c
    j:f32[3] = add_any h i
    k:f32[3] = slice[limit_indices=(3,) start_indices=(0,)] e
    l:f32[5] = concatenate k a
    m:f32[5] = add_any e l
  in (f, j, m) }
)");
  // Onto zeros a slice may come twice; onto something else the order of the sums would change.
  CHECK(after(passes::simplify, R"(
{ lambda ; a:f32[2] b:f32[2] c:f32[2] d:f32[6]. let
    e:f32[6] = broadcast_in_dim[shape=(6,)] 0.0:f32[]
    f:f32[6] = add_slice[limit_indices=(2,) start_indices=(0,)] e a
    g:f32[6] = add_slice[limit_indices=(4,) start_indices=(2,)] f b
    h:f32[6] = add_slice[limit_indices=(4,) start_indices=(2,)] g c
    i:f32[6] = add_slice[limit_indices=(6,) start_indices=(4,)] h a
    j:f32[6] = add_slice[limit_indices=(2,) start_indices=(0,)] d a
    k:f32[6] = add_slice[limit_indices=(4,) start_indices=(2,)] j b
    l:f32[6] = add_slice[limit_indices=(4,) start_indices=(2,)] k c
    m:f32[6] = add_slice[limit_indices=(6,) start_indices=(4,)] l a
    n:f32[6] = add_slice[limit_indices=(3,) start_indices=(1,)] i c
  in (m, n) }
)") == R"(
{ lambda ; a:f32[2] b:f32[2] c:f32[2] d:f32[6]. let
    e:f32[2] = add_any b c
    f:f32[6] = concatenate a e a
    g:f32[6] = add_slice[limit_indices=(2,) start_indices=(0,)] d a
    h:f32[6] = add_slice[limit_indices=(4,) start_indices=(2,)] g b
    i:f32[6] = add_slice[limit_indices=(4,) start_indices=(2,)] h c
    j:f32[6] = add_slice[limit_indices=(6,) start_indices=(4,)] i a
    k:f32[6] = add_slice[limit_indices=(3,) start_indices=(1,)] f c
  in (j, k) }
)");
}

TEST_CASE("passes: simplify, reductions and products") {
  CHECK(after(passes::simplify, R"(
{ lambda ; a:f32[3,1,4] b:f32[4]. let
    c:f32[3,4] = reduce_sum[axes=(1,)] a
    d:f32[4,3] = transpose[permutation=(1, 0)] c
    e:f32[3] = reduce_sum[axes=(0,)] d
    f:f32[] = reduce_sum[axes=(0,)] e
    g:f32[5,4] = broadcast_in_dim[broadcast_dimensions=(1,) shape=(5, 4)] b
    h:f32[4] = reduce_max[axes=(0,)] g
    i:f32[5] = reduce_sum[axes=(1,)] g
    j:f32[4] = reduce_sum[axes=(0,)] g
    k:f32[5,4] = broadcast_in_dim[shape=(5, 4)] 3.0:f32[]
    l:f32[5] = reduce_sum[axes=(1,)] k
  in (f, h, i, j, l) }
)") == R"(
{ lambda ; a:f32[3,1,4] b:f32[4]. let
    c:f32[3,4] = squeeze[dimensions=(1,)] a
    d:f32[] = reduce_sum[axes=(0, 1)] c
    e:f32[5,4] = broadcast_in_dim[broadcast_dimensions=(1,) shape=(5, 4)] b
    f:f32[] = reduce_sum[axes=(0,)] b
    g:f32[5] = broadcast_in_dim[shape=(5,)] f
    h:f32[4] = reduce_sum[axes=(0,)] e
    i:f32[5] = broadcast_in_dim[shape=(5,)] 12.0:f32[]
  in (d, b, g, h, i) }
)");
  CHECK(after(passes::simplify, R"(
{ lambda ; a:f32[3,4] b:f32[3] c:f32[4]. let
    d:f32[4,3] = transpose[permutation=(1, 0)] a
    e:f32[4] = dot_general[dimension_numbers=(([1], [0]), ([], []))] d b
    f:f32[3,4] = dot_general b c
    g:f32[4,3] = transpose[permutation=(1, 0)] f
    h:f32[1,3] = expand_dims[dimensions=(0,)] b
    i:f32[1,4] = dot_general[dimension_numbers=(([1], [0]), ([], []))] h a
    j:f32[3] = broadcast_in_dim[shape=(3,)] 1.0:f32[]
    k:f32[4] = dot_general[dimension_numbers=(([0], [0]), ([], []))] j a
    l:f32[2] = broadcast_in_dim[shape=(2,)] 2.0:f32[]
    m:f32[2,3] = dot_general l b
    n:f32[3] = dot_general[dimension_numbers=(([], []), ([0], [0]))] b b
  in (e, g, i, k, m, n) }
)") == R"(
{ lambda ; a:f32[3,4] b:f32[3] c:f32[4]. let
    d:f32[4] = dot_general[dimension_numbers=(([0], [0]), ([], []))] a b
    e:f32[4,3] = dot_general c b
    f:f32[4] = dot_general[dimension_numbers=(([0], [0]), ([], []))] b a
    g:f32[1,4] = expand_dims[dimensions=(0,)] f
    h:f32[4] = reduce_sum[axes=(0,)] a
    i:f32[3] = mul 2.0:f32[] b
    j:f32[2,3] = broadcast_in_dim[broadcast_dimensions=(1,) shape=(2, 3)] i
    k:f32[3] = square b
  in (d, e, g, h, j, k) }
)");
}

TEST_CASE("passes: what an identity makes of a product") {
  CHECK(after(passes::simplify, R"(
{ lambda ; a:f32[3,4] b:f32[3] c:f32[3]. let
    d:i32[3,3] = iota[shape=(3, 3)]
    e:i32[3,3] = iota[dimension=1 shape=(3, 3)]
    f:bool[3,3] = eq d e
    g:f32[3,3] = convert_element_type[new_dtype=float32] f
    h:f32[3,4] = dot_general[dimension_numbers=(([1], [0]), ([], []))] g a
    i:f32[4,3] = dot_general[dimension_numbers=(([0], [1]), ([], []))] a g
    j:f32[1,3] = expand_dims[dimensions=(0,)] b
    k:f32[3,3] = mul g j
    l:f32[1,3] = expand_dims[dimensions=(0,)] c
    m:f32[3,3] = mul k l
    n:f32[3,3] = add_any k m
    o:f32[3,4] = dot_general[dimension_numbers=(([1], [0]), ([], []))] n a
    p:f32[3] = reduce_sum[axes=(1,)] n
  in (h, i, o, p) }
)") == R"(
{ lambda ; a:f32[3,4] b:f32[3] c:f32[3]. let
    d:f32[4,3] = transpose[permutation=(1, 0)] a
    e:f32[3] = mul b c
    f:f32[3] = add_any b e
    g:f32[3,4] = broadcast_in_dim[broadcast_dimensions=(0,) shape=(3, 4)] f
    h:f32[3,4] = mul g a
    i:f32[3] = mul b c
    j:f32[3] = add_any b i
  in (a, d, h, j) }
)");
  CHECK(after(passes::simplify, R"(
{ lambda ; a:i32[5] b:f32[7,2] c:f32[2,7]. let
    d:i32[5,1] = expand_dims[dimensions=(1,)] a
    e:i32[1,7] = iota[dimension=1 shape=(1, 7)]
    f:bool[5,7] = eq d e
    g:f32[5,7] = convert_element_type[new_dtype=float32] f
    h:f32[5,2] = dot_general[dimension_numbers=(([1], [0]), ([], []))] g b
    i:f32[2,5] = dot_general[dimension_numbers=(([1], [1]), ([], []))] c g
  in (h, i) }
)") == R"(
{ lambda ; a:i32[5] b:f32[7,2] c:f32[2,7]. let
    d:i32[5,1] = expand_dims[dimensions=(1,)] a
    e:f32[5,2] = gather[
      dimension_numbers=GatherDimensionNumbers(offset_dims=(1,), collapsed_slice_dims=(0,), start_index_map=(0,))
      fill_value=0
      mode=FILL_OR_DROP
      slice_sizes=(1, 2)
    ] b d
    f:i32[5,1] = expand_dims[dimensions=(1,)] a
    g:f32[5,2] = gather[
      dimension_numbers=GatherDimensionNumbers(offset_dims=(1,), collapsed_slice_dims=(1,), start_index_map=(1,))
      fill_value=0
      mode=FILL_OR_DROP
      slice_sizes=(2, 1)
    ] c f
    h:f32[2,5] = transpose[permutation=(1, 0)] g
  in (e, h) }
)");
  // Masks that the program computes are data; a full matrix has no diagonal at hand.
  CHECK(after(passes::simplify, R"(
{ lambda ; a:f32[3,4] b:f32[3,3] c:f32[3]. let
    d:i32[3,3] = iota[shape=(3, 3)]
    e:i32[3,3] = iota[dimension=1 shape=(3, 3)]
    f:bool[3,3] = ge d e
    g:f32[3,3] = convert_element_type[new_dtype=float32] f
    h:f32[3,4] = dot_general[dimension_numbers=(([1], [0]), ([], []))] g a
    i:bool[3,3] = gt b 0.0:f32[]
    j:f32[3,3] = convert_element_type[new_dtype=float32] i
    k:f32[3,4] = dot_general[dimension_numbers=(([1], [0]), ([], []))] j a
    l:bool[3,3] = eq d e
    m:f32[3,3] = convert_element_type[new_dtype=float32] l
    n:f32[3,3] = mul m b
    o:f32[3] = reduce_sum[axes=(1,)] n
  in (h, k, o) }
)") == R"(
{ lambda ; a:f32[3,4] b:f32[3,3] c:f32[3]. let
    d:i32[3,3] = iota[shape=(3, 3)]
    e:i32[3,3] = iota[dimension=1 shape=(3, 3)]
    f:bool[3,3] = ge d e
    g:f32[3,3] = convert_element_type f
    h:f32[3,4] = dot_general[dimension_numbers=(([1], [0]), ([], []))] g a
    i:bool[3,3] = gt b 0.0:f32[]
    j:f32[3,3] = convert_element_type i
    k:f32[3,4] = dot_general[dimension_numbers=(([1], [0]), ([], []))] j a
    l:bool[3,3] = eq d e
    m:f32[3,3] = convert_element_type l
    n:f32[3,3] = mul m b
    o:f32[3] = reduce_sum[axes=(1,)] n
  in (h, k, o) }
)");
}

TEST_CASE("passes: hoist") {
  // The stacked results m and k are made of constants; cleanup takes them out.
  CHECK(after(passes::hoist, R"(
{ lambda ; a:f32[] b:f32[3] c:f32[2]. let
    d:f32[] e:f32[2,3] f:f32[2] = scan[
      jaxpr={ lambda ; g:f32[] h:f32[3] i:f32[] j:f32[]. let
          k:f32[] = sin g
          l:f32[] = mul k 2.0:f32[]
          m:f32[3] = mul h l
          n:f32[] = reduce_sum[axes=(0,)] m
          o:f32[] = mul i n
          p:f32[] = add o j
        in (p, m, k) }
      length=2
      num_carry=1
      num_consts=2
    ] a b a c
  in (d, e, f) }
)") == R"(
{ lambda ; a:f32[] b:f32[3] c:f32[2]. let
    d:f32[] = sin a
    e:f32[] = mul d 2.0:f32[]
    f:f32[3] = mul b e
    g:f32[] = reduce_sum[axes=(0,)] f
    h:f32[] i:f32[2,3] j:f32[2] = scan[
      jaxpr={ lambda ; k:f32[] l:f32[3] m:f32[] n:f32[3] o:f32[] p:f32[] q:f32[]. let
          r:f32[] = mul p o
          s:f32[] = add r q
        in (s, n, m) }
      length=2
      num_carry=1
      num_consts=5
    ] a b d f g a c
  in (h, i, j) }
)");
  CHECK(after(passes::hoist, R"(
{ lambda ; a:f32[] b:f32[] c:f32[]. let
    d:f32[] = while[
      body_jaxpr={ lambda ; e:f32[] f:f32[]. let
          g:f32[] = exp e
          h:f32[] = mul f g
        in (h,) }
      body_nconsts=1
      cond_jaxpr={ lambda ; i:f32[] j:f32[]. let
          k:f32[] = square i
          l:bool[] = lt j k
        in (l,) }
      cond_nconsts=1
    ] b a c
  in (d,) }
)") == R"(
{ lambda ; a:f32[] b:f32[] c:f32[]. let
    d:f32[] = square b
    e:f32[] = exp a
    f:f32[] = while[
      body_jaxpr={ lambda ; g:f32[] h:f32[] i:f32[]. let
          j:f32[] = mul i h
        in (j,) }
      body_nconsts=2
      cond_jaxpr={ lambda ; k:f32[] l:f32[] m:f32[]. let
          n:bool[] = lt m l
        in (n,) }
      cond_nconsts=2
    ] b d a e c
  in (f,) }
)");
  // A large product stays; what is made of it goes.
  CHECK(after(passes::hoist, R"(
{ lambda ; a:f32[1000] b:f32[1000,1000]. let
    c:f32[1000,1000] = scan[
      jaxpr={ lambda ; d:f32[1000] e:f32[1000,1000]. let
          f:f32[1000,1000] = broadcast_in_dim[broadcast_dimensions=(0,) shape=(1000, 1000)] d
          g:f32[1000] = sin d
          h:f32[1000,1000] = broadcast_in_dim[broadcast_dimensions=(1,) shape=(1000, 1000)] g
          i:f32[1000,1000] = mul f h
          j:f32[1000] = reduce_max[axes=(0,)] i
          k:f32[1000,1] = expand_dims[dimensions=(1,)] j
          l:f32[1000,1000] = mul e i
          m:f32[1000,1000] = add l k
        in (m,) }
      length=9
      num_carry=1
      num_consts=1
    ] a b
  in (c,) }
)") == R"(
{ lambda ; a:f32[1000] b:f32[1000,1000]. let
    c:f32[1000,1000] = broadcast_in_dim[
      broadcast_dimensions=(0,)
      shape=(1000, 1000)
    ] a
    d:f32[1000] = sin a
    e:f32[1000,1000] = broadcast_in_dim[
      broadcast_dimensions=(1,)
      shape=(1000, 1000)
    ] d
    f:f32[1000,1000] = mul c e
    g:f32[1000] = reduce_max[axes=(0,)] f
    h:f32[1000,1000] = scan[
      jaxpr={ lambda ; i:f32[1000] j:f32[1000] k:f32[1000] l:f32[1000,1000]. let
          m:f32[1000,1000] = broadcast_in_dim[
            broadcast_dimensions=(0,)
            shape=(1000, 1000)
          ] i
          n:f32[1000,1000] = broadcast_in_dim[
            broadcast_dimensions=(1,)
            shape=(1000, 1000)
          ] j
          o:f32[1000,1000] = mul m n
          p:f32[1000,1] = expand_dims[dimensions=(1,)] k
          q:f32[1000,1000] = mul l o
          r:f32[1000,1000] = add q p
        in (r,) }
      length=9
      num_carry=1
      num_consts=3
    ] a d g b
  in (h,) }
)");
  CHECK(after(passes::hoist, R"(
{ lambda ; a:f32[] b:f32[]. let
    c:f32[] = scan[
      jaxpr={ lambda ; d:f32[] e:f32[]. let
          f:f32[] = scan[
            jaxpr={ lambda ; g:f32[] h:f32[] i:f32[]. let
                j:f32[] = sin g
                k:f32[] = mul j h
                l:f32[] = add i k
              in (l,) }
            length=3
            num_carry=1
            num_consts=2
          ] d e e
        in (f,) }
      length=4
      num_carry=1
      num_consts=1
    ] a b
  in (c,) }
)") == R"(
{ lambda ; a:f32[] b:f32[]. let
    c:f32[] = sin a
    d:f32[] = scan[
      jaxpr={ lambda ; e:f32[] f:f32[] g:f32[]. let
          h:f32[] = mul f g
          i:f32[] = scan[
            jaxpr={ lambda ; j:f32[] k:f32[] l:f32[] m:f32[]. let
                n:f32[] = add m l
              in (n,) }
            length=3
            num_carry=1
            num_consts=3
          ] e g h g
        in (i,) }
      length=4
      num_carry=1
      num_consts=2
    ] a c b
  in (d,) }
)");
  // The barrier, what depends on it, and what need not end stay.
  CHECK(after(passes::hoist, R"(
{ lambda ; a:f32[] b:f32[]. let
    c:f32[] = while[
      body_jaxpr={ lambda ; d:f32[] e:f32[]. let
          f:f32[] = optimization_barrier d
          g:f32[] = sin f
          h:f32[] = while[
            body_jaxpr={ lambda ; i:f32[]. let j:f32[] = mul i i in (j,) }
            cond_jaxpr={ lambda ; k:f32[]. let l:bool[] = lt k 9.0:f32[] in (l,) }
          ] d
          m:f32[] = mul e g
          n:f32[] = add m h
        in (n,) }
      body_nconsts=1
      cond_jaxpr={ lambda ; o:f32[]. let p:bool[] = lt o 1.0:f32[] in (p,) }
    ] a b
  in (c,) }
)") == R"(
{ lambda ; a:f32[] b:f32[]. let
    c:f32[] = while[
      body_jaxpr={ lambda ; d:f32[] e:f32[]. let
          f:f32[] = optimization_barrier d
          g:f32[] = sin f
          h:f32[] = while[
            body_jaxpr={ lambda ; i:f32[]. let j:f32[] = mul i i in (j,) }
            cond_jaxpr={ lambda ; k:f32[]. let
                l:bool[] = lt k 9.0:f32[]
              in (l,) }
          ] d
          m:f32[] = mul e g
          n:f32[] = add m h
        in (n,) }
      body_nconsts=1
      cond_jaxpr={ lambda ; o:f32[]. let p:bool[] = lt o 1.0:f32[] in (p,) }
    ] a b
  in (c,) }
)");
}

TEST_CASE("passes: cleanup of scan") {
  CHECK(after(passes::cleanup, R"(
{ lambda ; a:f32[3] b:f32[] c:f32[4,3]. let
    d:f32[4,3] = broadcast_in_dim[broadcast_dimensions=(1,) shape=(4, 3)] a
    e:f32[3] f:f32[4,3] g:f32[4,3] h:f32[4] i:f32[4,3] j:f32[4,3] = scan[
      jaxpr={ lambda ; k:f32[] l:f32[] m:f32[] n:f32[3] o:f32[3] p:f32[3] q:f32[3]. let
          r:f32[3] = mul n l
          s:f32[3] = mul r k
          t:f32[3] = add s o
          u:f32[3] = mul t p
          v:f32[3] = add u q
        in (v, o, p, m, r, r) }
      length=4
      num_carry=1
      num_consts=3
    ] 2.0:f32[] b b a d c c
  in (e, f, g, h, i, j) }
)") == R"(
{ lambda ; a:f32[3] b:f32[] c:f32[4,3]. let
    d:f32[4,3] = broadcast_in_dim[broadcast_dimensions=(1,) shape=(4, 3)] a
    e:f32[4] = broadcast_in_dim[shape=(4,)] b
    f:f32[3] g:f32[4,3] = scan[
      jaxpr={ lambda ; h:f32[] i:f32[3] j:f32[3] k:f32[3]. let
          l:f32[3] = mul j h
          m:f32[3] = mul l 2.0:f32[]
          n:f32[3] = add m i
          o:f32[3] = mul n k
          p:f32[3] = add o k
        in (p, l) }
      length=4
      num_carry=1
      num_consts=2
    ] b a a c
  in (f, d, c, e, g, g) }
)");
  // Carries 0 and 1 change places and stay equal; 2 and 3 are computed alike, 4 is not.
  CHECK(after(passes::cleanup, R"(
{ lambda ; a:f32[] b:f32[] c:f32[5]. let
    d:f32[] e:f32[] f:f32[] g:f32[] h:f32[] = scan[
      jaxpr={ lambda ; i:f32[] j:f32[] k:f32[] l:f32[] m:f32[] n:f32[] o:f32[]. let
          p:f32[] = mul l j
          q:f32[] = add p o
          r:f32[] = mul m k
          s:f32[] = add r o
          t:f32[] = sub n q
        in (k, j, q, s, t) }
      length=5
      num_carry=5
      num_consts=1
    ] a a a b b b c
  in (d, e, f, g, h) }
)") == R"(
{ lambda ; a:f32[] b:f32[] c:f32[5]. let
    d:f32[] e:f32[] = scan[
      jaxpr={ lambda ; f:f32[] g:f32[] h:f32[] i:f32[]. let
          j:f32[] = mul g f
          k:f32[] = add j i
          l:f32[] = sub h k
        in (k, l) }
      length=5
      num_carry=2
      num_consts=1
    ] a b b c
  in (a, a, d, d, e) }
)");
  CHECK(after(passes::cleanup, R"(
{ lambda ; a:f32[] b:f32[1,3] c:f32[0,3]. let
    d:f32[] e:f32[1,3] = scan[
      jaxpr={ lambda ; f:f32[] g:f32[3]. let
          h:f32[] = reduce_sum[axes=(0,)] g
          i:f32[] = add f h
          j:f32[3] = mul g f
        in (i, j) }
      length=1
      num_carry=1
    ] a b
    k:f32[] l:f32[0,3] = scan[
      jaxpr={ lambda ; f:f32[] g:f32[3]. let
          h:f32[] = reduce_sum[axes=(0,)] g
          i:f32[] = add f h
          j:f32[3] = mul g f
        in (i, j) }
      length=0
      num_carry=1
    ] d c
  in (k, e, l) }
)") == R"(
{ lambda ; a:f32[] b:f32[1,3] c:f32[0,3]. let
    d:f32[3] = squeeze[dimensions=(0,)] b
    e:f32[] = reduce_sum[axes=(0,)] d
    f:f32[] = add a e
    g:f32[3] = mul d a
    h:f32[1,3] = broadcast_in_dim[broadcast_dimensions=(1,) shape=(1, 3)] g
    i:f32[0,3] = broadcast_in_dim[shape=(0, 3)] 0.0:f32[]
  in (f, h, i) }
)");
  CHECK(after(passes::cleanup, R"(
{ lambda ; a:f32[] b:f32[3]. let
    c:f32[] d:f32[3] e:f32[3] = scan[
      jaxpr={ lambda ; f:f32[] g:f32[]. let
          h:f32[] = mul f g
        in (h, g, 2.0:f32[]) }
      length=3
      num_carry=1
      reverse=True
    ] a b
  in (c, d, e) }
)") == R"(
{ lambda ; a:f32[] b:f32[3]. let
    c:f32[3] = broadcast_in_dim[shape=(3,)] 2.0:f32[]
    d:f32[] = scan[
      jaxpr={ lambda ; e:f32[] f:f32[]. let g:f32[] = mul e f in (g,) }
      length=3
      num_carry=1
      reverse=True
    ] a b
  in (d, b, c) }
)");
}

TEST_CASE("passes: cleanup of while") {
  CHECK(after(passes::cleanup, R"(
{ lambda ; a:i32[] b:f32[] c:f32[]. let
    d:i32[] e:i32[] f:f32[] g:f32[] = while[
      body_jaxpr={ lambda ; h:f32[] i:f32[] j:i32[] k:i32[] l:f32[] m:f32[]. let
          n:i32[] = add j 1:i32[]
          o:f32[] = mul l h
          p:f32[] = add o m
          q:f32[] = mul p i
        in (n, k, q, m) }
      body_nconsts=2
      cond_jaxpr={ lambda ; r:i32[] s:i32[] t:f32[] u:f32[]. let
          v:bool[] = lt r s
        in (v,) }
    ] 0.5:f32[] b 0:i32[] a c b
    w:f32[] = while[
      body_jaxpr={ lambda ; x:f32[]. let y:f32[] = mul x x in (y,) }
      cond_jaxpr={ lambda ; z:f32[]. let  in (False:bool[],) }
    ] c
  in (d, e, f, g, w) }
)") == R"(
{ lambda ; a:i32[] b:f32[] c:f32[]. let
    d:i32[] e:f32[] = while[
      body_jaxpr={ lambda ; f:f32[] g:i32[] h:f32[]. let
          i:i32[] = add g 1:i32[]
          j:f32[] = mul h 0.5:f32[]
          k:f32[] = add j f
          l:f32[] = mul k f
        in (i, l) }
      body_nconsts=1
      cond_jaxpr={ lambda ; m:i32[] n:i32[] o:f32[]. let
          p:bool[] = lt n m
        in (p,) }
      cond_nconsts=1
    ] a b 0:i32[] c
  in (d, a, e, b, c) }
)");
  CHECK(after(passes::cleanup, R"(
{ lambda ; a:f32[4] b:f32[4] c:f32[4,2]. let
    d:f32[4] e:f32[4] f:f32[4,2] = while[
      body_jaxpr={ lambda ; g:f32[4] h:f32[4] i:f32[4,2]. let
          j:f32[4] = mul h g
          k:f32[4,1] = expand_dims[dimensions=(1,)] j
          l:f32[4,2] = add i k
        in (g, j, l) }
      cond_jaxpr={ lambda ; m:f32[4] n:f32[4] o:f32[4,2]. let
          p:bool[4] = lt n m
        in (p,) }
    ] a b c
  in (d, e, f) }
)") == R"(
{ lambda ; a:f32[4] b:f32[4] c:f32[4,2]. let
    d:f32[4] e:f32[4,2] = while[
      body_jaxpr={ lambda ; f:f32[4] g:f32[4] h:f32[4,2]. let
          i:f32[4] = mul g f
          j:f32[4,1] = expand_dims[dimensions=(1,)] i
          k:f32[4,2] = add h j
        in (i, k) }
      body_nconsts=1
      cond_jaxpr={ lambda ; l:f32[4] m:f32[4] n:f32[4,2]. let
          o:bool[4] = lt m l
        in (o,) }
      cond_nconsts=1
    ] a a b c
  in (a, d, e) }
)");
}

TEST_CASE("passes: cleanup of cond") {
  CHECK(after(passes::cleanup, R"(
{ lambda ; a:i32[] b:f32[3] c:f32[3] d:f32[]. let
    e:f32[3] f:f32[3] g:f32[] h:f32[3] i:f32[] = cond[
      branches=(
        { lambda ; j:f32[3] k:f32[3] l:f32[] m:f32[]. let
            n:f32[3] = cumsum j
            o:f32[3] = mul n l
          in (o, k, 1.0:f32[], o, m) }
        { lambda ; p:f32[3] q:f32[3] r:f32[] s:f32[]. let
            t:f32[3] = sort q
          in (t, q, 1.0:f32[], t, s) }
      )
    ] a b b 2.0:f32[] d
  in (e, f, g, h, i) }
)") == R"(
{ lambda ; a:i32[] b:f32[3] c:f32[3] d:f32[]. let
    e:f32[3] = cond[
      branches=(
        { lambda ; f:f32[3]. let
            g:f32[3] = cumsum f
            h:f32[3] = mul g 2.0:f32[]
          in (h,) }
        { lambda ; i:f32[3]. let j:f32[3] = sort i in (j,) }
      )
    ] a b
  in (e, b, 1.0:f32[], e, d) }
)");
  CHECK(after(passes::cleanup, R"(
{ lambda ; a:f32[3] b:i32[]. let
    c:f32[3] = cond[
      branches=(
        { lambda ; d:f32[3]. let e:f32[3] = sin d in (e,) }
        { lambda ; f:f32[3]. let g:f32[3] = cos f in (g,) }
      )
    ] 7:i32[] a
    h:f32[3] = cond[
      branches=(
        { lambda ; d:f32[3]. let e:f32[3] = sin d in (e,) }
        { lambda ; f:f32[3]. let g:f32[3] = sin f in (g,) }
      )
    ] b c
  in (h,) }
)") == R"(
{ lambda ; a:f32[3] b:i32[]. let c:f32[3] = cos a; d:f32[3] = sin c in (d,) }
)");
  CHECK(after(passes::cleanup, R"(
{ lambda ; a:i32[4] b:f32[4,2] c:i32[] d:f32[]. let
    e:f32[4,2] = cond[
      branches=(
        { lambda ; f:f32[4,2]. let g:f32[4,2] = sin f in (g,) }
        { lambda ; h:f32[4,2]. let i:f32[4,2] = neg h in (i,) }
      )
    ] a b
    j:f32[] = cond[
      branches=(
        { lambda ; k:f32[]. let l:f32[] = mul k 0.5:f32[] in (l,) }
        { lambda ; m:f32[]. let
            n:f32[] = mul 3.0:f32[] m
            o:f32[] = add n 1.0:f32[]
          in (o,) }
        { lambda ; p:f32[]. let  in (p,) }
      )
    ] c d
  in (e, j) }
)") == R"(
{ lambda ; a:i32[4] b:f32[4,2] c:i32[] d:f32[]. let
    e:f32[4,2] = sin b
    f:f32[4,2] = neg b
    g:bool[4] = gt a 0:i32[]
    h:bool[4,2] = broadcast_in_dim[broadcast_dimensions=(0,) shape=(4, 2)] g
    i:f32[4,2] = select_n h e f
    j:f32[] = mul d 0.5:f32[]
    k:f32[] = mul 3.0:f32[] d
    l:f32[] = add k 1.0:f32[]
    m:i32[] = clamp 0:i32[] c 2:i32[]
    n:f32[] = select_n m j l d
  in (i, n) }
)");
}

TEST_CASE("passes: lower, and the barrier that it leaves") {
  CHECK(after(passes::lower, R"(
{ lambda ; a:f32[] b:f32[]. let
    c:f32[] = stop_gradient a
    d:f32[] = name[name=x] c
    e:f32[] f:f32[] = remat2[
      jaxpr={ lambda ; g:f32[] h:f32[] i:f32[]. let
          j:f32[] = sin g
          k:f32[] = mul j h
          l:f32[] = mul i 2.0:f32[]
        in (k, l) }
    ] d b 3.0:f32[]
  in (e,) }
)") == R"(
{ lambda ; a:f32[] b:f32[]. let
    c:f32[] d:f32[] = optimization_barrier[n=2] a b
    e:f32[] = sin c
    f:f32[] = mul e d
    _:f32[] = mul 3.0:f32[] 2.0:f32[]
  in (f,) }
)");
  CHECK(after(passes::optimize, R"(
{ lambda ; a:f32[] b:f32[]. let
    e:f32[] f:f32[] = remat2[
      jaxpr={ lambda ; g:f32[] h:f32[] i:f32[]. let
          j:f32[] = sin g
          l:f32[] = mul i h
        in (j, l) }
    ] a b 3.0:f32[]
  in (e,) }
)") == R"(
{ lambda ; a:f32[] b:f32[]. let
    c:f32[] = optimization_barrier a
    d:f32[] = sin c
  in (d,) }
)");
}

TEST_CASE("passes: optimize") {
  CHECK(after(passes::optimize, R"(
{ lambda ; a:f32[] b:f32[6]. let
    c:f32[] d:f32[6] = scan[
      jaxpr={ lambda ; e:f32[] f:f32[] g:f32[]. let
          h:f32[] = jit[
            name=f
            jaxpr={ lambda ; i:f32[] j:f32[]. let
                k:f32[] = mul i j
                l:f32[] = sin k
              in (l,) }
          ] e 2.0:f32[]
          m:f32[] = mul f h
          n:f32[] = add m g
          o:f32[] = mul h 1.0:f32[]
        in (n, o) }
      length=6
      num_carry=1
      num_consts=1
    ] a 0.0:f32[] b
  in (c, d) }
)") == R"(
{ lambda ; a:f32[] b:f32[6]. let
    c:f32[] = mul a 2.0:f32[]
    d:f32[] = sin c
    e:f32[6] = broadcast_in_dim[shape=(6,)] d
    f:f32[] = scan[
      jaxpr={ lambda ; g:f32[] h:f32[] i:f32[]. let
          j:f32[] = mul h g
          k:f32[] = add j i
        in (k,) }
      length=6
      num_carry=1
      num_consts=1
    ] d 0.0:f32[] b
  in (f, e) }
)");
}

TEST_CASE("passes: a long program takes linear time and no deep stack") {
  JaxprTrace trace(nullptr);
  Array x = trace.input(scalar_type(f64)), y = x;
  {
    Scope scope(&trace);
    for (int i = 0; i < 25000; ++i)
      y = lax::sin(lax::mul(lax::neg(lax::add(y, Array(double(i)))), Array(2.0)));
  }
  const JaxprPtr j = trace.close({&y, 1}).jaxpr;
  REQUIRE(j->eqns.size() == 100000);
  CHECK(passes::optimize(*j)->eqns.size() == 75000);  // the sign goes into the 2
}

TEST_CASE("passes: the size of gradients") {
  // Programs of the conformance corpus; gradients of the sum of all results.
  std::ifstream in(std::string(JAXPP_SOURCE_DIR) + "/tests/conformance/cases/programs.jsonl");
  REQUIRE(in);
  std::size_t programs = 0, before = 0, plain = 0, optimized = 0;
  for (std::string line; std::getline(in, line);) {
    try {
      const auto c = nlohmann::json::parse(line);
      const Jaxpr p = Jaxpr::from_json(c["program"].dump());
      const std::vector<Type> types = p.body()->in_types();
      auto gradient = [&](Args x, Results& ct) {
        Results at, y, ones;
        for (const Array& a : x)
          if (is_inexact(a.dtype())) at.push_back(a);
        auto f = [&](Args z, Results& out) {
          Results operands, all;
          std::size_t k = 0;
          for (const Array& a : x) operands.push_back(is_inexact(a.dtype()) ? z[k++] : a);
          eval_jaxpr(*p.body(), args(operands), all);
          for (const Array& a : all)
            if (is_inexact(a.dtype())) out.push_back(a);
        };
        const LinearMap map = LinearMap::of(flat(f), args(at), y, "grad", Loc::current());
        for (const Array& a : y) ones.push_back(lax::full(a.type(), 1));
        map.pull(args(ones), ct, Loc::current());
      };
      const Closed g = trace_to_jaxpr(types, flat(gradient), Consts::embed);
      before += count_equations(*passes::dce(*p.body()));
      plain += count_equations(*passes::dce(*g.jaxpr));
      optimized += count_equations(*passes::optimize(*g.jaxpr));
      ++programs;
    } catch (const Error&) {  // a primitive that is not there yet, a while
    }
  }
  INFO(programs << " programs of " << before << " equations; gradients: " << plain
                << ", after the passes " << optimized);
  CHECK(programs >= 90);
  // 2.0 without the derivatives of cummax and cummin, which are associative scans written out (what ties share depends on
  // the tree of the scan), and of the incomplete gamma functions, whose densities are.
  CHECK(double(plain) / double(before) <= 2.08);
  CHECK(double(optimized) / double(before) < 1.7);
}

TEST_CASE("passes: powers of half integers are what pow says, everywhere") {
  const double inf = std::numeric_limits<double>::infinity();
  for (DType d : {f32, f64})
    for (double y : {0.5, 1.5, 2.5, 3.5, -0.5, -1.5, -2.5, -3.5}) {
      const Array x =
          Array({-inf, -2., -0., 0., 1e-38, 1e-20, 0.3, 1., 2., 7.5, 1e12, 1e26, inf, std::nan("")})
              .astype(d);
      const auto f = [y](Array v) { return pow(v, Array(y).astype(v.dtype())); };
      const Array want = f(x), got = jit(f)(x);
      INFO(name(d) << " " << y << ": " << got << " for " << want);
      for (std::int64_t i = 0; i < x.size(); ++i) {
        const double a = want(i).item<double>(), b = got(i).item<double>();
        CHECK((std::isnan(a)
                   ? std::isnan(b)
                   : std::signbit(a) == std::signbit(b) &&
                         (a == b || std::abs(a - b) <= (d == f32 ? 4e-7 : 1e-15) * std::abs(a))));
      }
    }
}
