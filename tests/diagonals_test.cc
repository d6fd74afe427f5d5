// diagonals_test.cc -- Jacobians of local functions, made from their diagonals: the numbers of the dense program.
#include <catch2/catch.hpp>
#include <limits>
#include "backends/passes/passes.h"
#include "jaxpp/core/jaxpr.h"
#include "jaxpp/jaxpp.h"
#include "jaxpp/lax.h"

using namespace jaxpp;

namespace {
constexpr std::int64_t n = 40;
constexpr double inf = std::numeric_limits<double>::infinity();

Array numbers() { return sin(arange(n) * 1.7).astype(f64); }
// Zeros of both signs, infinities and NaN among them.
Array awkward() {
  Array x = numbers();
  return x.at(3).set(0.0).at(7).set(-0.0).at(11).set(inf).at(12).set(-inf).at(30).set(
      std::numeric_limits<double>::quiet_NaN());
}
// NaN included, but for the sign of zeros: sums of cotangents (add_slice) take a zero for nothing.
bool same(const Array& x, const Array& y) {
  if (x.shape() != y.shape() || x.dtype() != y.dtype()) return false;
  const double *a = x.data<double>(), *b = y.data<double>();
  for (std::int64_t i = 0; i < x.size(); ++i)
    if (a[i] != b[i] && !(std::isnan(a[i]) && std::isnan(b[i]))) return false;
  return true;
}
template <class F>
std::size_t diagonals(const F& f, const Array& x) {
  const auto p = passes::optimize(*make_jaxpr(f)(x).body());
  return std::size_t(std::count_if(p->eqns.begin(), p->eqns.end(), [](const auto& e) {
    return std::string_view(e.prim->name) == "scatter";
  }));
}
// As many diagonals are written as expected, and compiled it is what it is eagerly.
template <class F>
void check(const char* what, const F& f, std::size_t expected) {
  INFO(what);
  CHECK(diagonals(f, numbers()) == expected);
  for (const Array& x : {numbers(), awkward()}) {
    const Array y = f(x);
    CHECK(same(jit(f, {.contract = false})(x), y));
  }
}
Array head(const Array& x) { return x(Slice(None, -1)); }
Array tail(const Array& x) { return x(Slice(1, None)); }
}  // namespace

TEST_CASE("diagonals: Jacobians and Hessians of local functions") {
  const auto cube = [](Array x) { return x * x * x; };
  check("elementwise, forward", jacfwd(cube), 1);
  check("elementwise, reverse", jacrev(cube), 1);
  check("a choice",
        jacfwd([](Array x) { return where(x > 0, x * x, lax::clamp(Array(-0.5), x, Array(0.2))); }),
        1);
  check("differences", jacfwd([](Array x) { return tail(x) - head(x) * head(x); }), 2);
  check("differences, reverse", jacrev([](Array x) { return tail(x) - head(x) * head(x); }), 2);
  check("joined", jacfwd([](Array x) { return concatenate({tail(x) * head(x), x}); }), 3);
  check("padded", jacfwd([](Array x) { return pad(sin(tail(x)), {{2, 3}}) * 2; }), 1);
  check("every element twice", jacfwd([](Array x) { return stack({x, x * x}, 0) * 3; }), 1);
  check("columns", jacfwd([](Array x) { return x.reshape({n, 1}) * Array{1., 2., 3.}; }), 1);
  check("one of many axes is summed", jacfwd([](Array x) {
          return sum(x.reshape({n, 1}) * Array{1., 2., 4.}, 1);
        }),
        1);
  check("Rosenbrock", hessian([](Array x) {
          return sum(100 * square(tail(x) - square(head(x))) + square(1 - head(x)));
        }),
        3);
  check("second neighbours", hessian([](Array x) {
          return sum(sin(x(Slice(2, None)) * x(Slice(None, -2))) * x(Slice(1, -1)));
        }),
        5);
}
TEST_CASE("diagonals: what is dense stays as it is") {
  check("a column", jacfwd([](Array x) { return x * x(0); }), 0);
  check("reversed", jacfwd([](Array x) { return flip(x) * x; }), 0);
  check("plus a dense matrix", jacfwd([](Array x) { return x * x + cumsum(x) * 0; }), 0);
  const auto wide = [](Array x) {  // more diagonals than are worth it
    Array y = x;
    for (int k = 1; k < 9; ++k) y = y(Slice(1, None)) * y(Slice(None, -1));
    return y;
  };
  check("many diagonals", jacfwd(wide), 0);
}
TEST_CASE("diagonals: under vmap, in loops, of other types") {
  const auto f = [](Array x) { return tail(x) * sin(head(x)); };
  Array x = stack({numbers(), 2 * numbers(), awkward()});
  const auto batched = vmap(jacfwd(f));
  CHECK(same(jit(batched, {.contract = false})(x), batched(x)));
  const auto newton = [](Array start) {  // the Hessian is the operand of a factorisation
    const auto g = grad([](Array z) { return sum(square(z) * square(z) + z * z); });
    return fori_loop(
        0, 4, [&](Array, Array z) { return z - linalg::solve(jacfwd(g)(z), g(z)); }, start);
  };
  CHECK(allclose(jit(newton)(numbers()), newton(numbers()), 1e-12, 1e-12));
  const Array z = lax::complex(numbers(), 2 * numbers());
  const auto holomorphic = jacfwd([](Array w) { return w * w * w; }, {.holomorphic = true});
  CHECK(allclose(jit(holomorphic)(z), holomorphic(z)));
}
TEST_CASE("diagonals: arithmetic of indices gives no statements") {
  const auto loops = [](auto f, const Array& x) { return jit(f).compile(x).loops(); };
  const auto shifted = [](Array x) { return x(lax::iota(i32, {n - 5}, 0) + 5); };
  const auto backwards = [](Array x) { return x(Array(int(n - 1)) - lax::iota(i32, {n}, 0)); };
  const auto narrow = [](Array x) {
    return x(clip((lax::iota(i8, {n}, 0) * Array(std::int8_t(5))).astype(i32), 0, 100) - 10);
  };
  for (const auto& text : {loops(shifted, numbers()), loops(backwards, numbers())})
    CHECK(text.find("clip") == std::string::npos);
  CHECK(same(jit(shifted)(numbers()), shifted(numbers())));
  CHECK(same(jit(backwards)(numbers()), backwards(numbers())));
  CHECK(same(jit(narrow)(numbers()), narrow(numbers())));  // 195 is no i8
}
