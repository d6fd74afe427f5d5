// ode.h -- ordinary differential equations: an adaptive Runge-Kutta method that can be differentiated.
//
//   auto f = [](Array y, Array t, Array k) { return -k * y; };
//   Array ys = odeint(f, 1.0, linspace(0.0, 2.0, 5), 0.3);        // y at 5 times
//   grad([&](Array k) { return sum(odeint(f, 1.0, ts, k)); })(0.3)
#pragma once
#include <limits>
#include "jaxpp/args.h"

namespace jaxpp {

enum class OdeGradient {
  adjoint,  ///< solves the adjoint equation backwards: memory does not depend on the number of steps
  direct,   ///< differentiates the steps that were taken (their sizes are constants)
};
struct OdeOptions {
  double rtol = 1.4e-8,
         atol = 1.4e-8;  ///< errors of a step: at most atol + rtol |y|, as a root mean square
  std::int64_t mxstep =
      0;  ///< most steps between two times; 0: no limit (direct reverse mode: 4096)
  double hmax = std::numeric_limits<double>::infinity();  ///< the largest step
  OdeGradient gradient = OdeGradient::adjoint;            ///< of reverse mode
};

namespace internal {
/// f: (y..., t, args...) -> dy/dt...
void odeint_flat(FlatFn f, Args y0, const Array& ts, Args args, const OdeOptions& options,
                 Results& ys, Loc loc);
template <class F, class Y, class A>
decltype(auto) ode_rate(const F& f, Y& y, Array& t, A& a) {
  if constexpr (std::is_same_v<A, NoneType>)
    return f(y, t);
  else if constexpr (is_tuple<A>)
    return std::apply([&](auto&... e) -> decltype(auto) { return f(y, t, e...); }, a);
  else
    return f(y, t, a);
}
}  // namespace internal

/// y at the times ts, where dy/dt = f(y, t, extra) and y(ts[0]) = y0.
/// y0: any tree of real arrays, f returns one like it;   ts: T[n], increasing;   extra: None, a tree, or a std::tuple that f
/// takes as several arguments.   Each leaf of the result has a leading axis of size n; the first row is y0.
/// Dormand and Prince's method of order 5(4) with a PI controller of the step and dense output; lanes of vmap have steps of
/// their own.  Reverse mode is options.gradient, with respect to y0, ts, extra and what f captures; forward mode is
/// direct.  Where mxstep is reached, or the step becomes 0, rows from there on are NaN.
template <class F, class Y, class A = NoneType>
auto odeint(const F& f, const Y& y0, const Array& ts, const A& extra = None,
            OdeOptions options = {}, Loc loc = Loc::current()) {
  using State = internal::Promote<Y>;
  using Extra = internal::Promote<A>;
  const State start = internal::promote(y0);
  const Extra more = internal::promote(extra);
  const internal::Results y = internal::leaves(start), a = internal::leaves(more);
  auto rate = [&](internal::Args in, internal::Results& out) {
    State state = internal::unflatten(start, in.first(y.size()));
    Array t = in[y.size()];
    Extra e = internal::unflatten(more, in.subspan(y.size() + 1));
    static_assert(std::is_convertible_v<decltype(internal::ode_rate(f, state, t, e)), State>,
                  "jaxpp: the function given to odeint takes (y, t, extra) and returns dy/dt, of "
                  "the type of y.");
    internal::flatten(State(internal::ode_rate(f, state, t, e)), out);
  };
  internal::Results ys;
  internal::odeint_flat(internal::flat(rate), args(y), ts, args(a), options, ys, loc);
  return internal::unflatten(start, args(ys));
}

}  // namespace jaxpp
