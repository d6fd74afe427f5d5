// iterative.cc -- cg, bicgstab and gmres on vectors: the tree b is ravelled into one, and a and m are wrapped.
//
// The iterations are while loops of traced steps, run by custom_linear_solve as its solver: they are never differentiated.
// Reverse mode runs them again with the transpose of a, and with the same preconditioner, which need only be of some use there.
#include "jaxpp/iterative.h"
#include <cmath>
#include "jaxpp/control.h"
#include "jaxpp/lax.h"
#include "jaxpp/math_internal.h"

namespace jaxpp::internal {
namespace {

using linalg::GmresMethod;
using linalg::GmresOptions;

const char* name_of(Krylov method) {
  return method == Krylov::cg ? "cg" : method == Krylov::bicgstab ? "bicgstab" : "gmres";
}

/// A function of arrays of certain types as one of vectors.
struct OnVectors {
  const FlatFn* f;  // null: the identity
  std::span<const Type> types;
  Loc loc;
  Array operator()(const Array& v) const {
    if (!f) return v;
    Results x, y;
    unravel_flat(v, types, x, loc);
    (*f)(args(x), y);
    Array flat;
    ravel_flat(args(y), flat, loc);
    return lax::convert_element_type(flat, v.dtype(), loc);
  }
};
/// What a method needs to know.
struct Problem {
  OnVectors a, m;
  Array b, x0;
  double tol, atol;
  std::int64_t maxiter, restart;
  bool incremental;
};

// The inner product, and its real part; the norm.
Array inner_product(const Array& x, const Array& y) { return vdot(x, y); }
Array real_product(const Array& x, const Array& y) {
  const Array v = vdot(x, y);
  return is_complex(v.dtype()) ? real(v) : v;
}
Array norm_of(const Array& x) { return sqrt(real_product(x, x)); }
Array as(const Array& x, const Array& like) { return x.astype(like.dtype()); }
Array zero_step() { return Array(std::int32_t(0)); }

// ---- Conjugate gradients, preconditioned
struct CgState {
  Array x, r, gamma, p, k;
};
Array cg(const Problem& q) {
  const Array bs = real_product(q.b, q.b),
              least = maximum(bs * (q.tol * q.tol), full_like(bs, Array(q.atol * q.atol)));
  const Array r0 = q.b - q.a(q.x0), z0 = q.m(r0);
  const bool plain = !q.m.f;
  const CgState end = while_loop(
      [&](const CgState& s) {
        const Array rs = plain ? s.gamma : real_product(s.r, s.r);
        return (rs > least) & (s.k < q.maxiter);
      },
      [&](const CgState& s) {
        const Array ap = q.a(s.p), alpha = as(s.gamma / real_product(s.p, ap), s.p);
        const Array r = s.r - alpha * ap, z = q.m(r), gamma = real_product(r, z);
        return CgState{s.x + alpha * s.p, r, gamma, z + as(gamma / s.gamma, z) * s.p, s.k + 1};
      },
      CgState{q.x0, r0, real_product(r0, z0), z0, zero_step()});
  return end.x;
}

// ---- Stabilized biconjugate gradients.  A negative k ends the loop: a coefficient vanished.
struct BicgState {
  Array x, r, alpha, omega, rho, p, q, k;
};
Array bicgstab(const Problem& f) {
  const Array bs = real_product(f.b, f.b),
              least = maximum(bs * (f.tol * f.tol), full_like(bs, Array(f.atol * f.atol)));
  const Array first = f.b - f.a(f.x0), one = ones({}, f.b.dtype());
  const BicgState end = while_loop(
      [&](const BicgState& s) {
        return (real_product(s.r, s.r) > least) & (s.k < f.maxiter) & (s.k >= 0);
      },
      [&](const BicgState& s) {
        const Array rho = inner_product(first, s.r), beta = rho / s.rho * s.alpha / s.omega;
        const Array p = s.r + beta * (s.p - s.omega * s.q), direction = f.m(p);
        const Array q = f.a(direction), alpha = rho / inner_product(first, q);
        const Array half = s.r - alpha * q, other = f.m(half), t = f.a(other);
        const Array done = real_product(half, half) < least;
        const Array omega = inner_product(t, half) / inner_product(t, t);
        const Array x = s.x + alpha * direction;
        const Array broke = (omega == 0) | (alpha == 0) | (rho == 0);
        return BicgState{where(done, x, x + omega * other),
                         where(done, half, half - omega * t),
                         alpha,
                         omega,
                         rho,
                         p,
                         q,
                         where(broke & !done, -1, s.k + 1)};
      },
      BicgState{f.x0, first, one, one, one, first, first, zero_step()});
  return end.x;
}

// ---- Generalized minimal residual
/// x / |x| and |x|; both 0 where the norm is at most `least`.
std::pair<Array, Array> normalized(const Array& x, const Array& least) {
  const Array norm = norm_of(x), use = norm > least;
  const Array safe = where(use, norm, ones_like(norm));
  return {where(use, x / as(safe, x), zeros_like(x)), where(use, norm, zeros_like(norm))};
}
Array rounding(const Array& real) {
  return full_like(real, Array(real.dtype() == f64 ? 0x1p-52 : 0x1p-23));
}
std::pair<Array, Array> normalized(const Array& x) { return normalized(x, rounding(norm_of(x))); }
Array with_row(const Array& x, const Array& k, const Array& row) {
  Results at;
  at.push_back(k);
  if (x.ndim() == 2) at.push_back(zero_step());
  return lax::dynamic_update_slice(x, expand_dims(row, 0), args(at));
}
Array row_of(const Array& x, const Array& k) { return take(x, k, 0, "clip"); }

/// Arnoldi's process: rows of v are orthonormal, and m a v[k] = sum over j of h[k, j] v[j].
struct Basis {
  Array v;  // [restart + 1, n], zeros where not built yet
  Array h;  // [restart, restart + 1], the unit matrix where not built yet
};
// Adds direction k + 1.  Twice is enough: a second projection takes what rounding left of the first.
std::pair<Array, Array> next_direction(const Problem& f, const Array& v, const Array& k) {
  Array w = f.m(f.a(row_of(v, k)));
  const Array before = norm_of(w);
  Array h = zeros({v.shape(0)}, v.dtype());
  for (int pass = 0; pass < 2; ++pass) {
    const Array overlap = matmul(is_complex(v.dtype()) ? conj(v) : v, w);
    w = w - matmul(overlap, v);
    h = h + overlap;
  }
  const auto [unit, norm] = normalized(w, before * rounding(before));
  return {unit, with_row(h, k + 1, as(norm, h))};
}
Basis first_basis(const Problem& f, const Array& unit) {
  return {pad(expand_dims(unit, 0), {{0, f.restart}, {0, 0}}),
          eye(f.restart, f.restart + 1, 0, unit.dtype())};
}

// One restart: the step from x with the least |m (b - a x)|, its residual's direction `unit` and norm given.
struct BatchedState {
  Array v, h, k, alive;
};
Array batched_step(const Problem& f, const Array& unit, const Array& norm, const Array&) {
  const Basis start = first_basis(f, unit);
  const BatchedState end =
      while_loop([&](const BatchedState& s) { return (s.k < f.restart) & s.alive; },
                 [&](const BatchedState& s) {
                   const auto [direction, h] = next_direction(f, s.v, s.k);
                   return BatchedState{with_row(s.v, s.k + 1, direction), with_row(s.h, s.k, h),
                                       s.k + 1, row_of(h, s.k + 1) != 0};
                 },
                 BatchedState{start.v, start.h, zero_step(), Array(true)});
  // The least |h^T y - norm e_0|: by QR of the Hessenberg matrix.
  const std::vector<Array> qr = lax::qr(transpose(end.h), {.full_matrices = false});
  const Array first = conj(qr[0](0, All)) * as(norm, unit);
  const Array y = lax::triangular_solve(qr[1], expand_dims(first, -1), {.left_side = true});
  return matmul(squeeze(y, -1), end.v(Slice(0, f.restart), All));
}

// The rotation (c, s) with s a + c b = 0, and what it makes of elements i and i + 1 of a vector.
std::pair<Array, Array> rotation(const Array& a, const Array& b) {
  const Array none = abs(b) == 0, less = abs(a) < abs(b), one = ones_like(a);
  const Array divisor = where(less, b, a);
  const Array t = -where(less, a, b) / where(divisor == 0, one, divisor);
  const Array r = as(rsqrt(1 + square(abs(t))), t);
  return {where(none, one, where(less, r * t, r)),
          where(none, zeros_like(a), where(less, r, r * t))};
}
Array rotated(const Array& x, const Array& i, const Array& c, const Array& s) {
  const Array a = row_of(x, i), b = row_of(x, i + 1);
  return with_row(with_row(x, i, conj(c) * a - conj(s) * b), i + 1, s * a + c * b);
}
struct IncrementalState {
  Array v, r, beta, c, s, k, error;
};
Array incremental_step(const Problem& f, const Array& unit, const Array& norm, const Array& least) {
  const Basis start = first_basis(f, unit);
  const Array none = zeros({f.restart}, unit.dtype());
  const Array beta0 = with_row(zeros({f.restart + 1}, unit.dtype()), zero_step(), as(norm, unit));
  const IncrementalState end = while_loop(
      [&](const IncrementalState& s) { return (s.k < f.restart) & (s.error > least); },
      [&](const IncrementalState& s) {
        const auto [direction, h] = next_direction(f, s.v, s.k);
        const Array earlier = fori_loop(
            Array(std::int32_t(0)), s.k,
            [&](Array i, Array x) { return rotated(x, i, row_of(s.c, i), row_of(s.s, i)); }, h);
        const auto [c, sine] = rotation(row_of(earlier, s.k), row_of(earlier, s.k + 1));
        const Array beta = rotated(s.beta, s.k, c, sine);
        return IncrementalState{with_row(s.v, s.k + 1, direction),
                                with_row(s.r, s.k, rotated(earlier, s.k, c, sine)),
                                beta,
                                with_row(s.c, s.k, c),
                                with_row(s.s, s.k, sine),
                                s.k + 1,
                                abs(row_of(beta, s.k + 1))};
      },
      IncrementalState{start.v, start.h, beta0, none, none, zero_step(), norm});
  // Rows of r that were not built are those of the unit matrix, their right-hand sides 0 (but for the last one built, whose
  // element is the residual: it belongs to no unknown of the step).
  const Array built = lax::iota(i32, {f.restart}, 0) < end.k;
  const Array rhs = where(built, end.beta(Slice(0, f.restart)), zeros_like(none));
  const Array y = lax::triangular_solve(transpose(end.r(All, Slice(0, f.restart))),
                                        expand_dims(rhs, -1), {.left_side = true});
  return matmul(squeeze(y, -1), end.v(Slice(0, f.restart), All));
}

struct GmresState {
  Array x, unit, norm, k;
};
Array gmres(const Problem& f) {
  const Array b_norm = norm_of(f.b),
              enough = maximum(b_norm * f.tol, full_like(b_norm, Array(f.atol)));
  const Array inner_enough = norm_of(f.m(f.b)) * minimum(ones_like(b_norm), enough / b_norm);
  const auto [unit, norm] = normalized(f.m(f.b - f.a(f.x0)));
  const GmresState end =
      while_loop([&](const GmresState& s) { return (s.k < f.maxiter) & (s.norm > enough); },
                 [&](const GmresState& s) {
                   const Array x = s.x + (f.incremental ? incremental_step : batched_step)(
                                             f, s.unit, s.norm, inner_enough);
                   const auto [next, size] = normalized(f.m(f.b - f.a(x)));
                   return GmresState{x, next, size, s.k + 1};
                 },
                 GmresState{f.x0, unit, norm, zero_step()});
  return end.x;
}

/// A solver for linear_solve_flat: x of f(x) = b.
struct Iteration {
  Krylov method;
  const FlatFn* m;
  Args x0;
  const GmresOptions& options;
  std::span<const Type> types;
  Loc loc;
  FlatSolver solver() {
    return {this, [](void* self, FlatFn f, Args b, Results& x) {
              static_cast<const Iteration*>(self)->run(f, b, x);
            }};
  }
  void run(FlatFn a, Args b, Results& x) const {
    Array rhs, guess;
    ravel_flat(b, rhs, loc);
    ravel_flat(x0, guess, loc);
    const std::int64_t n = rhs.size();
    const Problem p{{&a, types, loc},
                    {m, types, loc},
                    rhs,
                    guess,
                    options.tol,
                    options.atol,
                    options.maxiter < 0 ? 10 * n : options.maxiter,
                    std::min(options.restart, n),
                    options.solve_method == GmresMethod::incremental};
    const Array solution = n == 0                    ? guess
                           : method == Krylov::cg    ? cg(p)
                           : method == Krylov::gmres ? gmres(p)
                                                     : bicgstab(p);
    unravel_flat(solution, types, x, loc);
  }
};

}  // namespace

void check_operator(const char* who, const Array& matrix, Loc loc) {
  if (matrix.defined() && matrix.ndim() == 2 && matrix.shape(0) == matrix.shape(1)) return;
  fail<TypeError>(std::string("linalg::") + who +
                      ": the operator must be a function or a square matrix" +
                      (matrix.defined() ? ", not " + matrix.type()->str() : std::string()) + ".",
                  loc, "E54");
}
void check_guess(const char* who, Types b, Types x0, bool same_structure, Loc loc) {
  const std::string name = std::string("linalg::") + who + ": ";
  for (Type t : b)
    if (!is_inexact(t->dtype) || width(real_of(t->dtype)) < 4)
      fail<TypeError>(name + "b must hold f32, f64, c64 or c128, not " + t->str() + ".", loc, "E54",
                      "Convert it: b.astype(f32).");
  if (!same_structure || b.size() != x0.size())
    fail<TypeError>(name + "x0 must be a tree like b.", loc, "E54");
  for (std::size_t i = 0; i < b.size(); ++i)
    if (b[i] != x0[i])
      fail<TypeError>(name + "x0 must hold arrays like b's: " + x0[i]->str() + " in the place of " +
                          b[i]->str() + ".",
                      loc, "E54");
}
void iterate_flat(Krylov method, FlatFn a, const FlatFn* m, Args b, Args x0,
                  const GmresOptions& options, Results& x, Loc loc) {
  const UserLine line(loc);
  if (!(options.tol >= 0 && options.atol >= 0) || options.restart < 1)
    fail<TypeError>(std::string("linalg::") + name_of(method) +
                        ": tolerances must not be negative, and restart at least 1.",
                    loc, "E54");
  std::vector<Type> types;
  bool real = true;
  for (const Array& v : b) {
    types.push_back(v.type());
    real &= !is_complex(v.dtype());
  }
  Iteration iteration{method, m, x0, options, types, loc};
  const FlatSolver solver = iteration.solver();
  // What is Hermitian and real is its own transpose.
  linear_solve_flat(a, solver, &solver, real && method == Krylov::cg, b, x, loc);
}

}  // namespace jaxpp::internal
