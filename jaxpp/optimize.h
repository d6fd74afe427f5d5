// optimize.h -- jaxpp::optimize: nonlinear least squares, minima and roots of functions of any tree of parameters.
//
//   struct Curve { Array a, b; };
//   auto misfit = [&](Curve c) { return c.a * (1. - exp(-c.b * t)) - y; };      // any shape, or a tree of Arrays
//   auto fit = optimize::least_squares(misfit, Curve{500., 1e-4});
//   fit.x.a, fit.cost;   std::cout << fit.summary();
//   auto low = optimize::minimize(rosenbrock, Array{-1.2, 1.}, {.method = "bfgs"});
//   auto zero = optimize::root(equations, Array{1., 1.});
//   auto angle = optimize::brentq(kepler, 0., 7.);
//
// The loops are while_loops of Arrays: everything works under jit and vmap (lanes that are done wait for the last), and a
// function outside of any transform is compiled by the call.  x and cost have derivatives of any order by all that the function
// closes over: from the equation that the solution satisfies (custom_root), not from the steps that found it.  The start has
// none.  A solution is as good as its tolerance, and so are its derivatives: choose small ones where they matter.
//
// Nothing is thrown for a problem that cannot be solved (a start where the function is NaN, a singular Jacobian, too few
// iterations): `status` says why a solver stopped, also per lane, and x is the best point that it saw.
#pragma once
#include "jaxpp/implicit.h"
#include "jaxpp/math.h"

namespace jaxpp::optimize {

/// Why a solver stopped; Result::status holds it as i32.
enum class Status : int {
  running,   ///< not at all: as the callback sees it
  gradient,  ///< converged: the gradient (of roots: the function) is within gtol
  cost,  ///< converged: neither the last step nor the model promised more than ftol times the cost
  step,  ///< converged: the last step was within xtol
  max_iterations,  ///< not converged
  not_finite,  ///< the function or its derivative is NaN or infinite at the start, or nowhere else near the iterate
  stalled,  ///< no step makes progress: the numbers are not precise enough, or the derivatives are wrong
  stopped,     ///< by the callback
  no_bracket,  ///< brentq: f has the same sign at both ends
};
/// "the gradient is within its tolerance", ...
const char* reason(Status);

/// What a callback is told, after every iteration.
struct Progress {
  std::int64_t iteration;   ///< 1, 2, ...
  double cost, optimality;  ///< as in Result
  Array x;                  ///< all parameters as one vector, in ravel's order
};
/// fn(const Progress&), once per iteration (under vmap: and lane).  Where the call is not traced, fn may return bool: false stops.
class Callback {
 public:
  Callback() = default;
  template <class F>
  requires std::is_invocable_v<F&, const Progress&> Callback(F f)
      : self_(std::make_shared<F>(std::move(f))), call_([](void* self, const Progress& p) {
          if constexpr (std::is_void_v<std::invoke_result_t<F&, const Progress&>>) {
            (*static_cast<F*>(self))(p);
            return true;
          } else {
            return bool((*static_cast<F*>(self))(p));
          }
        }) {}
  explicit operator bool() const { return self_ != nullptr; }
  bool operator()(const Progress& p) const { return call_(self_.get(), p); }

 private:
  std::shared_ptr<void> self_;
  bool (*call_)(void*, const Progress&) = nullptr;
};

struct LeastSquaresOptions {
  /// "lm": Levenberg and Marquardt: damped by the diagonal of J^T J, the damping by the gain ratio (Madsen, Nielsen and
  /// Tingleff, Methods for non-linear least squares problems, 2004, 3.16).  "gauss_newton": not damped, the step halved until
  /// the cost falls.
  std::string_view method = "lm";
  /// "cholesky": of the normal equations; where that fails, more damping (lm) or "qr" (gauss_newton).  "qr": of the Jacobian,
  /// dearer, and precise for ill-conditioned ones.  "cg": conjugate gradients with products J v and J^T u: no matrix is made,
  /// for many parameters; the diagonal is estimated by 8 products.
  std::string_view solver = "cholesky";
  /// "linear", "soft_l1", "huber", "cauchy", "arctan": the cost is 1/2 sum of f_scale^2 rho((r / f_scale)^2), as SciPy's.
  std::string_view loss = "linear";
  double f_scale = 1;               ///< residuals beyond it count as outliers
  std::int64_t max_iterations = 0;  ///< steps tried; 0: 100 times the number of parameters
  /// Tolerances; by default the square root of the dtype's epsilon (1.5e-8 for f64).
  std::optional<double> ftol{};  ///< of the relative fall of the cost
  std::optional<double>
      xtol{};  ///< of the step: |dx| <= xtol |x|, of parameters in units of the columns of J
  std::optional<double> gtol{};  ///< of the greatest |dcost/dx| (with bounds: of its projection)
  double damping = 1e-3;         ///< lm: the first one, relative to the diagonal
  Callback callback{};
};
struct MinimizeOptions {
  /// "bfgs"; "l-bfgs" (two loops over the last `history` steps: for many parameters); "newton" (Cholesky of the Hessian plus a
  /// multiple of the identity); "newton-cg" (conjugate gradients with Hessian-vector products, for many parameters).  Steps end
  /// where the strong Wolfe conditions hold.  Nocedal and Wright, Numerical Optimization, 2006: algorithms 6.1, 7.4 and 7.5, 3.3,
  /// 7.1; line search 3.5 and 3.6.
  std::string_view method = "bfgs";
  std::int64_t max_iterations = 0;  ///< 0: 200 times the number of parameters
  std::optional<double>
      gtol{};       ///< of the greatest |df/dx|; by default the square root of the dtype's epsilon
  double ftol = 0;  ///< of the relative fall of f; 0: not looked at
  double xtol = 0;  ///< of the step: |dx| <= xtol |x|
  std::int64_t history = 10;  ///< l-bfgs: steps remembered
  Callback callback{};
};
struct RootOptions {
  /// "newton": the Jacobian at every step, Armijo's line search on |f|^2 (Nocedal and Wright, 11.2); where it is singular, the step of
  /// the least squares of a slightly damped one (Dennis and Schnabel, Numerical Methods, 1983, 6.5).  "broyden": the
  /// Jacobian at the start, its inverse updated after that (Broyden's good method), made anew where that does not lead on.
  std::string_view method = "newton";
  std::int64_t max_iterations = 0;  ///< 0: 200 times the number of unknowns
  std::optional<double>
      gtol{};       ///< of the greatest |f|; by default the square root of the dtype's epsilon
  double xtol = 0;  ///< of Newton's step: |dx| <= xtol |x|
  Callback callback{};
};
struct BrentqOptions {
  double xtol = 2e-12;  ///< of the root
  std::optional<double>
      rtol{};  ///< of the root, relative; by default four times the dtype's epsilon
  std::int64_t max_iterations = 100;
};

/// Limits of parameters, for least_squares: two trees like them, or of numbers for all of their elements.  INFINITY: none.
///   Bounds{0., INFINITY},   Bounds{Curve{0., 0.}, Curve{1e3, 1.}}
template <class P>
struct Bounds {
  P lower, upper;
};
template <class P>
Bounds(P, P) -> Bounds<P>;

namespace detail {
using internal::Args;
using internal::FlatFn;
using internal::Results;
/// A Result whose x is flat.
struct Outcome {
  Results x;
  Array cost, optimality, initial_cost, iterations, evaluations, status;
};
void least_squares_flat(FlatFn residual, Args x0, Args lower, Args upper,
                        const LeastSquaresOptions&, Outcome&, Loc);
void minimize_flat(FlatFn f, Args x0, const MinimizeOptions&, Outcome&, Loc);
void root_of_flat(FlatFn f, Args x0, const RootOptions&, Outcome&, Loc);
void brentq_flat(FlatFn f, const Array& a, const Array& b, const BrentqOptions&, Outcome&, Loc);
std::string summary(const Array& cost, const Array& initial_cost, const Array& optimality,
                    const Array& iterations, const Array& evaluations, const Array& status);

/// f as a flat function of the leaves of a tree like x; numbers and void become what transforms make of them.
template <class F, class P>
auto of_leaves(const F& f, const P& x) {
  return [&](Args in, Results& out) {
    internal::flatten(internal::promote(f(internal::unflatten(x, in))), out);
  };
}
}  // namespace detail

/// A tree of Arrays: it may be returned from jit and vmap.
template <class P>
struct Result {
  P x;
  Array cost;          ///< f(x); of least_squares and roots half the sum of squares (of the loss)
  Array optimality;    ///< the greatest |gradient|; of roots the greatest |f|
  Array initial_cost;  ///< at the start
  Array iterations, evaluations;  ///< i32: steps, and points at which the function was evaluated
  Array status;                   ///< i32: a Status
  /// Whether the solver converged, for each lane.
  Array converged() const {
    return (status >= int(Status::gradient)) & (status <= int(Status::step));
  }
  /// All lanes converged; the values must be known.
  bool success() const { return bool(all(converged())); }
  /// One line: why it stopped, after how many iterations, the costs.  Of a batch: how many stopped why.
  std::string summary() const {
    return detail::summary(cost, initial_cost, optimality, iterations, evaluations, status);
  }
};
namespace detail {
template <class P>
Result<P> result(const P& like, Outcome& o) {
  return {internal::unflatten(like, args(o.x)),
          std::move(o.cost),
          std::move(o.optimality),
          std::move(o.initial_cost),
          std::move(o.iterations),
          std::move(o.evaluations),
          std::move(o.status)};
}
}  // namespace detail

/// The parameters x near x0 with the least 1/2 |residual(x)|^2 (options.loss: of robust losses).   residual: a tree of real Arrays;
/// x0: a tree of real floats, whose dtype is computed in (f32 at least).
template <class F, class P>
auto least_squares(const F& residual, const P& x0, const LeastSquaresOptions& options = {},
                   Loc loc = Loc::current()) {
  const auto start = internal::promote(x0);
  auto f = detail::of_leaves(residual, start);
  detail::Outcome o;
  detail::least_squares_flat(internal::flat(f), args(internal::leaves(start)), {}, {}, options, o,
                             loc);
  return detail::result(start, o);
}
/// The same within bounds: steps are projected onto them, parameters that would leave them are held (Kanzow, Yamashita and
/// Fukushima, Levenberg-Marquardt methods for constrained nonlinear equations, 2004).  A parameter at its bound has the bound's
/// derivative.
template <class F, class P, class B>
auto least_squares(const F& residual, const P& x0, const Bounds<B>& bounds,
                   const LeastSquaresOptions& options = {}, Loc loc = Loc::current()) {
  const auto start = internal::promote(x0);
  const auto lower = internal::leaves(internal::promote(bounds.lower)),
             upper = internal::leaves(internal::promote(bounds.upper));
  auto f = detail::of_leaves(residual, start);
  detail::Outcome o;
  detail::least_squares_flat(internal::flat(f), args(internal::leaves(start)), args(lower),
                             args(upper), options, o, loc);
  return detail::result(start, o);
}

/// A local minimum of f near x0.   f: a real number;  x0: a tree of real floats.
template <class F, class P>
auto minimize(const F& f, const P& x0, const MinimizeOptions& options = {},
              Loc loc = Loc::current()) {
  const auto start = internal::promote(x0);
  auto of = detail::of_leaves(f, start);
  detail::Outcome o;
  detail::minimize_flat(internal::flat(of), args(internal::leaves(start)), options, o, loc);
  return detail::result(start, o);
}

/// x near x0 with f(x) = 0: as many equations as unknowns.   f: a tree of real Arrays;  x0: a tree of real floats.
template <class F, class P>
auto root(const F& f, const P& x0, const RootOptions& options = {}, Loc loc = Loc::current()) {
  const auto start = internal::promote(x0);
  auto of = detail::of_leaves(f, start);
  detail::Outcome o;
  detail::root_of_flat(internal::flat(of), args(internal::leaves(start)), options, o, loc);
  return detail::result(start, o);
}

/// x between a and b with f(x) = 0, where f(a) and f(b) have different signs: Brent's method, which keeps a bracket, as SciPy's
/// brentq.  Of arrays: elementwise (a, b broadcast; f: elementwise, too); status is that of each element, and without a change
/// of sign x is NaN.
template <class F>
Result<Array> brentq(const F& f, const Array& a, const Array& b, const BrentqOptions& options = {},
                     Loc loc = Loc::current()) {
  const Array like(0.);
  auto of = detail::of_leaves(f, like);
  detail::Outcome o;
  detail::brentq_flat(internal::flat(of), a, b, options, o, loc);
  return detail::result(like, o);
}

}  // namespace jaxpp::optimize
