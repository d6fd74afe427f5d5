// iterative.h -- linear systems a x = b by iteration: a is a function, which no matrix need ever be made of.
//
//   auto laplacian = [](Array u) { ... };                       // or a matrix
//   Array x = linalg::cg(laplacian, b);
//   Array y = linalg::gmres(a, b, {.tol = 1e-10, .restart = 30}, guess, preconditioner);
//
// After jax.scipy.sparse.linalg.  b is any tree of float or complex arrays, seen as one vector; a takes and returns trees like b.
// Derivatives come from the equation, by another iteration (custom_linear_solve): in forward and reverse mode, of any
// order, with respect to b and to everything that a closes over.  They are as accurate as that iteration converges.
#pragma once
#include "jaxpp/implicit.h"
#include "jaxpp/math.h"

namespace jaxpp::linalg {

/// Iteration ends where |b - a x| <= max(tol |b|, atol), or after maxiter steps (restarts of gmres; -1: 10 times the size of b).
struct IterativeOptions {
  double tol = 1e-5, atol = 0;
  std::int64_t maxiter = -1;
};
/// Batched: each restart builds `restart` directions (or fewer, if the space is exhausted) and solves one least-squares
/// problem.  Incremental: it is solved step by step, and ends as soon as the tolerance is met.
enum class GmresMethod { batched, incremental };
struct GmresOptions {
  double tol = 1e-5, atol = 0;
  std::int64_t restart = 20;
  std::int64_t maxiter = -1;
  GmresMethod solve_method = GmresMethod::batched;
};

}  // namespace jaxpp::linalg

namespace jaxpp::internal {

enum class Krylov { cg, bicgstab, gmres };
/// m: null for none.
void iterate_flat(Krylov method, FlatFn a, const FlatFn* m, Args b, Args x0,
                  const linalg::GmresOptions& options, Results& x, Loc loc);
void check_operator(const char* who, const Array& matrix, Loc loc);
void check_guess(const char* who, Types b, Types x0, bool same_structure, Loc loc);

/// A matrix, or a function of trees, as a function of trees.
template <class A, class B>
auto linear_operator(const char* who, const A& a, const B&, Loc loc) {
  if constexpr (std::is_convertible_v<const A&, Array>) {
    static_assert(
        std::is_convertible_v<B, Array>,
        "jaxpp: a matrix multiplies an Array; of other trees the operator is a function.");
    const Array matrix = a;
    check_operator(who, matrix, loc);
    return [matrix, loc](const B& v) { return B(dot(matrix, v, loc)); };
  } else {
    return [&a](const B& v) { return B(a(v)); };
  }
}
template <class A, class B, class X, class M>
auto iterate(const char* who, Krylov method, const A& a, const B& b,
             const linalg::GmresOptions& options, const X& x0, const M& m, Loc loc) {
  using Tree = Promote<B>;
  const Tree rhs = internal::promote(b);
  Tree guess = rhs;
  if constexpr (std::is_same_v<X, NoneType>)
    visit_arrays(guess, [](Array& v) {
      if (v.defined()) v = zeros_like(v);
    });
  else
    guess = internal::promote(x0);
  const Results in = leaves(rhs), start = leaves(guess);
  SmallVec<Type, 4> in_types, start_types;
  for (const Array& v : in) in_types.push_back(v.type());
  for (const Array& v : start) start_types.push_back(v.type());
  check_guess(who, in_types, start_types, same_structure<false>(rhs, guess), loc);
  const auto product = linear_operator(who, a, rhs, loc);
  const auto flat_product = on_leaves(product, rhs);
  Results x;
  if constexpr (std::is_same_v<M, NoneType>) {
    iterate_flat(method, flat(flat_product), nullptr, args(in), args(start), options, x, loc);
  } else {
    const auto preconditioner = linear_operator(who, m, rhs, loc);
    const auto flat_preconditioner = on_leaves(preconditioner, rhs);
    const FlatFn f = flat(flat_preconditioner);
    iterate_flat(method, flat(flat_product), &f, args(in), args(start), options, x, loc);
  }
  return unflatten(rhs, args(x));
}

}  // namespace jaxpp::internal

namespace jaxpp::linalg {

/// x with a x = b for a Hermitian positive definite a, by conjugate gradients.
///   a: a function of trees like b, or a matrix;  x0: where to start (usually zeros);  m: an approximate inverse of a, Hermitian
///   positive definite too, a function or a matrix.   Throws TypeError [E54] where x0 is not like b or a matrix not square.
template <class A, class B, class X = NoneType, class M = NoneType>
auto cg(const A& a, const B& b, IterativeOptions options = {}, const X& x0 = None,
        const M& m = None, Loc loc = Loc::current()) {
  return internal::iterate("cg", internal::Krylov::cg, a, b,
                           {.tol = options.tol, .atol = options.atol, .maxiter = options.maxiter},
                           x0, m, loc);
}
/// The same for any a, by stabilized biconjugate gradients.  It may break down: x is then what was found until there.
template <class A, class B, class X = NoneType, class M = NoneType>
auto bicgstab(const A& a, const B& b, IterativeOptions options = {}, const X& x0 = None,
              const M& m = None, Loc loc = Loc::current()) {
  return internal::iterate("bicgstab", internal::Krylov::bicgstab, a, b,
                           {.tol = options.tol, .atol = options.atol, .maxiter = options.maxiter},
                           x0, m, loc);
}
/// The same for any a, by the generalized minimal residual: the best x in the space that x0, m a x0, (m a)^2 x0, ...
/// (options.restart of them) span, again and again.  NaN where a is singular.
template <class A, class B, class X = NoneType, class M = NoneType>
auto gmres(const A& a, const B& b, GmresOptions options = {}, const X& x0 = None, const M& m = None,
           Loc loc = Loc::current()) {
  return internal::iterate("gmres", internal::Krylov::gmres, a, b, options, x0, m, loc);
}

}  // namespace jaxpp::linalg
