// linalg.cc -- numpy.linalg on lu, cholesky and triangular_solve.
//
// With F the factors of A (P A = L U):  d(A^-1 b) = F^-1 (db - dA x),  d log|det A| = tr(F^-1 dA).  So solve, slogdet and
// det carry their own derivative rule, which factors once and is itself made of differentiable steps.
#include "jaxpp/linalg.h"
#include "jaxpp/core/trace.h"
#include "jaxpp/core/user_functions.h"
#include "jaxpp/lax.h"
#include "jaxpp/linalg_internal.h"
#include "jaxpp/ops/linalg.h"

namespace jaxpp::linalg {
using namespace internal;

[[noreturn]] void linalg_error(const std::string& what, Loc loc, const char* remedy) {
  internal::fail<TypeError>("linalg::" + what, loc, "E54", remedy);
}
Array matrix(const char* op, const Array& a, bool square, Loc loc) {
  if (!a.defined() || a.ndim() < 2 || (square && a.shape(-1) != a.shape(-2)))
    linalg_error(std::string(op) + ": needs " + (square ? "square " : "") + "matrices" +
                     (a.defined() ? ", not " + a.type()->str() : "") + ".",
                 loc);
  const DType d = internal::to_inexact(a.dtype());
  return a.astype(width(d) == 2 ? f32 : d, loc);  // halves are computed in f32
}
Array adjoint(const Array& a) {
  const Array t = swapaxes(a, -1, -2);
  return is_complex(a.dtype()) ? conj(t) : t;
}

namespace {
using internal::CustomRule;

// P A = L U
struct Factors {
  Array lu, pivots, permutation;
  explicit Factors(const Array& a) {
    std::vector<Array> f = lax::lu(a);
    lu = f[0];
    pivots = f[1];
    permutation = f[2];
  }
  Array lower_solve(const Array& b) const {
    return lax::triangular_solve(lu, internal::permute_rows(b, permutation),
                                 {.left_side = true, .lower = true, .unit_diagonal = true});
  }
  Array solve(const Array& b) const {
    return lax::triangular_solve(lu, lower_solve(b), {.left_side = true});
  }
  Array diagonal() const { return jaxpp::diagonal(lu, 0, -2, -1); }
  // The sign of the permutation, as an integer: an odd number of real exchanges is -1.
  Array sign(DType d) const {
    const Array in_place = lax::iota(i32, pivots.shape(), pivots.ndim() - 1);
    const Array exchanges =
        lax::reduce_sum(lax::convert_element_type(pivots != in_place, i32), {pivots.ndim() - 1});
    return (1 - 2 * (exchanges % 2)).astype(d);
  }
};
void run(const CustomPtr& rule, Args x, Results& y) { internal::custom_call(rule, x, y); }

// ---- solve: a [..., n, n], b [..., n, m] with equal leading dimensions
const CustomPtr& solve_rule() {
  static const CustomPtr rule = std::make_shared<const CustomRule>(
      CustomRule{.name = "solve",
                 .call = [](Args x, Results& y) { y.push_back(Factors(x[0]).solve(x[1])); },
                 .jvp =
                     [](Args x, Args dx, Results& y, Results& dy) {
                       const Factors f(x[0]);
                       y.push_back(f.solve(x[1]));
                       dy.push_back(f.solve(dx[1] - jaxpp::matmul(dx[0], y[0])));
                     },
                 .fwd = {},
                 .bwd = {},
                 .dropped = {}});
  return rule;
}
// With leading dimensions broadcast to a common shape.
Array solve_matrices(const Array& a, const Array& b, Loc loc) {
  const Shape batches[] = {Shape(a.shape().begin(), a.shape().end() - 2),
                           Shape(b.shape().begin(), b.shape().end() - 2)};
  auto with_batch = [&](const Array& x) {
    Shape s = internal::broadcast_shapes(batches, "linalg::solve", loc);
    s.append(x.shape().end() - 2, x.shape().end());
    return internal::broadcast_to_shape(x, s, loc, "linalg::solve");
  };
  const Array operands[] = {with_batch(a), with_batch(b)};
  Results y;
  run(solve_rule(), operands, y);
  return y[0];
}

// ---- slogdet
void sign_and_logdet(const Factors& f, Results& y) {
  const Array u = f.diagonal(), size = abs(u);
  const Array zero = any(u == 0, -1);
  const Array unit = where(u == 0, ones_like(u), is_complex(u.dtype()) ? u / size : lax::sign(u));
  const Array sign = f.sign(u.dtype()) * prod(unit, -1);
  y.push_back(where(zero, zeros_like(sign), sign));
  y.push_back(sum(log(size), -1));  // log(0) = -inf
}
const CustomPtr& slogdet_rule() {
  static const CustomPtr rule = std::make_shared<const CustomRule>(
      CustomRule{.name = "slogdet",
                 .call = [](Args x, Results& y) { sign_and_logdet(Factors(x[0]), y); },
                 .jvp =
                     [](Args x, Args dx, Results& y, Results& dy) {
                       const Factors f(x[0]);
                       sign_and_logdet(f, y);
                       const Array t = linalg::trace(f.solve(dx[0]));
                       if (is_complex(t.dtype())) {
                         const Array dlogdet = real(t);
                         dy.push_back(y[0] * (t - dlogdet.astype(t.dtype())));
                         dy.push_back(dlogdet);
                       } else {
                         dy.push_back(Array());
                         dy.push_back(t);
                       }
                     },
                 .fwd = {},
                 .bwd = {},
                 .dropped = {}});
  return rule;
}

// ---- det
Array det_of(const Factors& f) {
  const Array u = f.diagonal();
  return f.sign(u.dtype()) * prod(u, -1);
}
// tr(adj(A) dA) = d det A.  det(A) A^-1 exists for singular A too: where only the last pivot u_n vanishes, as it does
// for most matrices of rank n - 1, det(A) / u_n = the product of the others stands in for its quotient.
Array det_tangent(const Factors& f, const Array& da) {
  const std::int64_t n = da.shape(-1);
  const Array u = f.diagonal(), sign = f.sign(u.dtype());
  const Array others = sign * prod(u(Ellipsis, Slice(0, n - 1)), -1),
              whole = others * u(Ellipsis, -1);
  const Array last = ones_like(u(Ellipsis, -1)) / others;
  Factors g = f;
  g.lu = f.lu.at(Ellipsis, n - 1, n - 1).set(last);
  const Array z = f.lower_solve(da);
  const Array scale = expand_dims(whole, {-1, -2});
  const Array scaled[] = {z(Ellipsis, Slice(0, n - 1), All) * scale,
                          z(Ellipsis, Slice(n - 1, None), All)};
  return linalg::trace(
      lax::triangular_solve(g.lu, lax::concatenate(scaled, da.ndim() - 2), {.left_side = true}));
}
const CustomPtr& det_rule() {
  static const CustomPtr rule = std::make_shared<const CustomRule>(
      CustomRule{.name = "det",
                 .call = [](Args x, Results& y) { y.push_back(det_of(Factors(x[0]))); },
                 .jvp =
                     [](Args x, Args dx, Results& y, Results& dy) {
                       const Factors f(x[0]);
                       y.push_back(det_of(f));
                       dy.push_back(det_tangent(f, dx[0]));
                     },
                 .fwd = {},
                 .bwd = {},
                 .dropped = {}});
  return rule;
}
// Up to 3 x 3, by its definition: cheaper, and smooth everywhere.
Array small_det(const Array& a, std::int64_t n) {
  auto e = [&](int i, int j) { return a(Ellipsis, i, j); };
  if (n == 1) return e(0, 0);
  auto minor = [&](int i, int j) { return e(1, i) * e(2, j) - e(1, j) * e(2, i); };
  if (n == 2) return e(0, 0) * e(1, 1) - e(0, 1) * e(1, 0);
  return e(0, 0) * minor(1, 2) - e(0, 1) * minor(0, 2) + e(0, 2) * minor(0, 1);
}
}  // namespace

Array solve(const Array& a, const Array& b, Loc loc) {
  const Array square = matrix("solve", a, true, loc);
  const bool vector = b.defined() && b.ndim() == 1;
  if (!b.defined() || b.ndim() == 0 || b.shape(vector ? -1 : -2) != a.shape(-1))
    linalg_error("solve: the right-hand side" +
                     (b.defined() ? ", " + b.type()->str() + "," : std::string()) +
                     " does not fit " + a.type()->str() + ".",
                 loc, "It is a vector, or has rows in its last but one axis.");
  const auto [x, y] = internal::promote(square, b, loc);
  const Array result = solve_matrices(x, vector ? expand_dims(y, -1, loc) : y, loc);
  return vector ? squeeze(result, -1, loc) : result;
}
Array inv(const Array& a, Loc loc) {
  const Array square = matrix("inv", a, true, loc);
  return solve_matrices(square, eye(a.shape(-1), square.dtype(), loc), loc);
}
Array det(const Array& a, Loc loc) {
  const Array square = matrix("det", a, true, loc);
  const std::int64_t n = a.shape(-1);
  if (n == 0) return ones(Shape(a.shape().begin(), a.shape().end() - 2), square.dtype(), loc);
  if (n <= 3) return small_det(square, n);
  Results y;
  run(det_rule(), {&square, 1}, y);
  return y[0];
}
SignAndLogdet slogdet(const Array& a, Loc loc) {
  const Array square = matrix("slogdet", a, true, loc);
  Results y;
  run(slogdet_rule(), {&square, 1}, y);
  return {y[0], y[1]};
}
Array cholesky(const Array& a, bool upper, Loc loc) {
  const Array square = matrix("cholesky", a, true, loc);
  const Array l = lax::cholesky((square + adjoint(square)) / 2, loc);
  return upper ? adjoint(l) : l;
}

}  // namespace jaxpp::linalg
