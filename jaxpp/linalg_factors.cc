// linalg_factors.cc -- scipy.linalg's factors and systems of a known kind, on cholesky, lu and triangular_solve.
#include "jaxpp/linalg_factors.h"
#include "jaxpp/core/user_functions.h"
#include "jaxpp/linalg_internal.h"
#include "jaxpp/ops/linalg.h"

namespace jaxpp::linalg {
using namespace internal;

namespace {
Shape leading(const Array& x, int last) { return {x.shape().begin(), x.shape().end() - last}; }
Array with_leading(const Array& x, int last, const Shape& batch) {
  Shape s = batch;
  s.append(x.shape().end() - last, x.shape().end());
  return broadcast_to(x, s);
}

/// A system a x = b with both of one type, b as columns, and leading axes broadcast.
struct System {
  Array a, b;
  bool vector;
  Shape batch;
  System(const char* op, const Array& a0, const Array& b0, Loc loc)
      : a(matrix(op, a0, true, loc)), vector(b0.defined() && b0.ndim() == 1) {
    if (!b0.defined() || b0.ndim() == 0 || b0.shape(vector ? -1 : -2) != a.shape(-1))
      linalg_error(std::string(op) + ": the right-hand side" +
                       (b0.defined() ? ", " + b0.type()->str() + "," : std::string()) +
                       " does not fit " + a0.type()->str() + ".",
                   loc, "It is a vector, or has rows in its last but one axis.");
    const auto [x, y] = internal::promote(a, b0, loc);
    a = x;
    b = vector ? expand_dims(y, -1) : y;
    batch = broadcast_shapes({leading(a, 2), leading(b, 2)}, loc);
    a = with_leading(a, 2, batch);
    b = with_leading(b, 2, batch);
  }
  Array result(const Array& x) const { return vector ? squeeze(x, -1) : x; }
};
TriangularSolveParams params_of(const TriangularOptions& o) {
  return {.conjugate_a = o.trans == Trans::C,
          .left_side = true,
          .lower = o.lower,
          .transpose_a = o.trans != Trans::N,
          .unit_diagonal = o.unit_diagonal};
}
Array solve_triangle(const Array& a, const Array& b, const TriangularOptions& o) {
  return lax::triangular_solve(a, b, params_of(o));
}
Array solve_cholesky(const Array& c, bool lower, const Array& b) {
  const Array half = solve_triangle(c, b, {lower ? Trans::N : Trans::C, lower, false});
  return solve_triangle(c, half, {lower ? Trans::C : Trans::N, lower, false});
}
Array factor_cholesky(const Array& a, bool lower) {
  return lower ? lax::cholesky(a) : adjoint(lax::cholesky(adjoint(a)));
}

// a x = b by Cholesky:  dx = a^-1 (db - da x), with the factor of the value.
CustomPtr positive_rule(bool lower) {
  static const auto make = [](bool low) {
    return std::make_shared<const CustomRule>(
        CustomRule{.name = "solve_positive",
                   .call =
                       [low](Args x, Results& y) {
                         y.push_back(solve_cholesky(factor_cholesky(x[0], low), low, x[1]));
                       },
                   .jvp =
                       [low](Args x, Args dx, Results& y, Results& dy) {
                         const Array c = factor_cholesky(x[0], low);
                         y.push_back(solve_cholesky(c, low, x[1]));
                         dy.push_back(solve_cholesky(c, low, dx[1] - jaxpp::matmul(dx[0], y[0])));
                       },
                   .fwd = {},
                   .bwd = {},
                   .dropped = {}});
  };
  static const CustomPtr rules[] = {make(false), make(true)};
  return rules[lower];
}
}  // namespace

CholeskyFactor cho_factor(const Array& a, bool lower, Loc loc) {
  const UserLine line(loc);
  return {factor_cholesky(matrix("cho_factor", a, true, loc), lower), lower};
}
Array cho_solve(const CholeskyFactor& factor, const Array& b, Loc loc) {
  const UserLine line(loc);
  const System s("cho_solve", factor.c, b, loc);
  return s.result(solve_cholesky(s.a, factor.lower, s.b));
}
LU lu_factor(const Array& a, Loc loc) {
  const UserLine line(loc);
  const std::vector<Array> f = lax::lu(matrix("lu_factor", a, false, loc), loc);
  return {f[0], f[1]};
}
Array lu_solve(const LU& factors, const Array& b, Trans op, Loc loc) {
  const UserLine line(loc);
  const System s("lu_solve", factors.lu, b, loc);
  need_array(factors.piv, "linalg::lu_solve", loc);
  const std::int64_t n = s.a.shape(-1);
  if (factors.piv.ndim() != factors.lu.ndim() - 1 || factors.piv.shape(-1) != n)
    linalg_error("lu_solve: the pivots " + factors.piv.type()->str() + " do not fit " +
                     factors.lu.type()->str() + ".",
                 loc, "Both come from lu_factor.");
  const Array permutation =
      with_leading(lax::lu_pivots_to_permutation(factors.piv.astype(i32), n, loc), 1, s.batch);
  if (op == Trans::N) {
    const Array rows = permute_rows(s.b, permutation);
    return s.result(solve_triangle(s.a, solve_triangle(s.a, rows, {Trans::N, true, true}), {}));
  }
  const Array x =
      solve_triangle(s.a, solve_triangle(s.a, s.b, {op, false, false}), {op, true, true});
  return s.result(permute_rows(x, argsort(permutation, -1).astype(i32)));
}
PLU lu(const Array& a, Loc loc) {
  const UserLine line(loc);
  const Array x = matrix("lu", a, false, loc);
  const std::vector<Array> f = lax::lu(x, loc);
  const std::int64_t m = x.shape(-2), n = x.shape(-1), k = std::min(m, n);
  const Array l = tril(f[0](Ellipsis, All, Slice(0, k)), -1) + eye(m, k, 0, x.dtype());
  const Array u = triu(f[0](Ellipsis, Slice(0, k), All));
  const Array rows = expand_dims(lax::iota(i32, {m}, 0), -1);
  return {(expand_dims(f[2], -2) == rows).astype(real_of(x.dtype())), l, u};
}
SchurForm schur(const Array& a, Schur output, Loc loc) {
  const UserLine line(loc);
  const Array x = matrix("schur", a, true, loc);
  const auto [t, z] =
      lax::schur(output == Schur::complex ? x.astype(complex_of(x.dtype())) : x, loc);
  return {t, z};
}

Array solve_triangular(const Array& a, const Array& b, const TriangularOptions& options, Loc loc) {
  const UserLine line(loc);
  const System s("solve_triangular", a, b, loc);
  return s.result(solve_triangle(s.a, s.b, options));
}
Array solve(const Array& a, const Array& b, Assume assume_a, bool lower, Loc loc) {
  if (assume_a != Assume::pos) return solve(a, b, loc);
  const UserLine line(loc);
  const System s("solve", a, b, loc);
  const Array operands[] = {s.a, s.b};
  Results y;
  internal::custom_call(positive_rule(lower), operands, y);
  return s.result(y[0]);
}

}  // namespace jaxpp::linalg
