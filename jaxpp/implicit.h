// implicit.h -- functions that are defined by an equation.
//
//   auto product = [&](Array v) { return dot(A, v); };
//   auto solver = [](auto& matvec, Array b) { return my_iteration(matvec, b); };
//   Array x = custom_linear_solve(product, b, solver, solver);          // A x = b
//   Array r = custom_root([&](Array x) { return x * x - a; }, 1.0,      // x * x = a
//                         [](auto& f, Array x0) { return newton(f, x0); },
//                         [](auto& g, Array y) { return y / g(ones_like(y)); });
//
// Their derivatives come from the equation (implicit function theorem), not from the steps of a solver: those may be of any
// kind, while_loop and callbacks included, and nothing of them is kept for reverse mode.  What the functions capture is
// differentiated too.
#pragma once
#include "jaxpp/args.h"

namespace jaxpp {
namespace internal {

/// solver(f, b): f is a function of arrays like b.
struct FlatSolver {
  void* self;
  void (*call)(void* self, FlatFn f, Args b, Results& x);
};
void linear_solve_flat(FlatFn matvec, FlatSolver solve, const FlatSolver* transpose_solve,
                       bool symmetric, Args b, Results& x, Loc loc);
/// solve may return more than x, in arrays of floats: they follow x, without a derivative.
void root_flat(FlatFn f, FlatSolver solve, FlatSolver tangent_solve, Args guess, Results& x,
               Loc loc);

/// A user's solver of trees like B as one of flat functions.
template <class S, class B>
struct Solver {
  const S& solve;
  const B& like;
  FlatSolver flat() {
    return {this, [](void* self, FlatFn f, Args b, Results& x) {
              const Solver& s = *static_cast<Solver*>(self);
              auto product = [&](const B& v) {
                Results y;
                f(args(leaves(v)), y);
                return unflatten(s.like, args(y));
              };
              flatten(B(s.solve(product, unflatten(s.like, b))), x);
            }};
  }
};
/// A function from trees like B to trees like B.
template <class F, class B>
auto on_leaves(const F& f, const B& like) {
  return [&](Args in, Results& out) { flatten(B(f(unflatten(like, in))), out); };
}

}  // namespace internal

struct LinearSolveOptions {
  bool symmetric = false;  ///< matvec is its own transpose, and solve solves with both
};
/// x with matvec(x) = b, as solve(matvec, b) finds it.   matvec: linear, from trees like b to trees like b.  Derivatives solve
/// again: A dx = db - dA x.  Reverse mode needs transpose_solve(vecmat, b), which solves with the transpose of matvec (it is
/// given that), or options.symmetric.
template <class M, class B, class S, class T = NoneType>
auto custom_linear_solve(const M& matvec, const B& b, const S& solve,
                         const T& transpose_solve = None, LinearSolveOptions options = {},
                         Loc loc = Loc::current()) {
  using Tree = internal::Promote<B>;
  const Tree rhs = internal::promote(b);
  auto product = internal::on_leaves(matvec, rhs);
  internal::Solver<S, Tree> forward{solve, rhs};
  internal::Results x;
  const auto in = internal::leaves(rhs);
  if constexpr (std::is_same_v<T, NoneType>) {
    internal::linear_solve_flat(internal::flat(product), forward.flat(), nullptr, options.symmetric,
                                args(in), x, loc);
  } else {
    internal::Solver<T, Tree> backward{transpose_solve, rhs};
    const internal::FlatSolver flat = backward.flat();
    internal::linear_solve_flat(internal::flat(product), forward.flat(), &flat, options.symmetric,
                                args(in), x, loc);
  }
  return internal::unflatten(rhs, args(x));
}

/// x with f(x) = 0, as solve(f, guess) finds it.   f: from trees like guess to trees like guess.  tangent_solve(g, y) solves
/// g(x) = y for the linear g that f is near x; it must be linear in y (for a number: y / g(1)).  The guess has no derivative.
template <class F, class B, class S, class T>
auto custom_root(const F& f, const B& guess, const S& solve, const T& tangent_solve,
                 Loc loc = Loc::current()) {
  using Tree = internal::Promote<B>;
  const Tree start = internal::promote(guess);
  auto equation = internal::on_leaves(f, start);
  internal::Solver<S, Tree> solver{solve, start};
  internal::Solver<T, Tree> linear{tangent_solve, start};
  internal::Results x;
  internal::root_flat(internal::flat(equation), solver.flat(), linear.flat(),
                      args(internal::leaves(start)), x, loc);
  return internal::unflatten(start, args(x));
}

}  // namespace jaxpp
