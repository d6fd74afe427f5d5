// check_grads.h -- is a derivative right?  Finite differences, and the exact test  <u, J v> = <J^T
// u, v>.
//
//   check_grads(f, std::tuple(x, y), {.order = 2, .modes = fwd | rev});   // throws, if not
#pragma once
#include "jaxpp/jvp.h"

namespace jaxpp {

enum class GradModes : unsigned { none = 0, forward = 1, reverse = 2, both = 3 };
constexpr GradModes operator|(GradModes a, GradModes b) {
  return GradModes(unsigned(a) | unsigned(b));
}
inline constexpr GradModes fwd = GradModes::forward, rev = GradModes::reverse;

struct CheckGradsOptions {
  int order = 2;  ///< derivatives of derivatives are checked too, in every combination of modes
  GradModes modes = GradModes::both;  ///< fwd, rev, fwd | rev
  double tolerance = 1e-5;            ///< of finite differences, relative to max(1, |derivative|)
  std::uint64_t seed = 0;             ///< of the random directions
};
/// The largest errors found, relative to max(1, |derivative|).
struct GradReport {
  double forward_difference = 0;  ///< (f(x + hv) - f(x)) / h
  double central_difference = 0;  ///< (f(x + hv) - f(x - hv)) / 2h: what the tolerance applies to
  double dot_product = 0;         ///< |<u, J v> - <J^T u, v>|
  int checks = 0;
};
namespace internal {
GradReport check_grads_flat(FlatFn f, Args x, const CheckGradsOptions&, Loc loc);
/// The leaves that carry derivatives, in double precision.
Results in_double_precision(Args x, Loc loc);
}  // namespace internal

/// Compares the derivatives of f at x (a tuple of arguments, or one bare argument) with finite
/// differences in float64 along random directions, and forward with reverse mode.  Throws Error
/// where they disagree.
template <class F, class X>
GradReport check_grads(const F& f, const X& x, CheckGradsOptions options = {},
                       Loc loc = Loc::current()) {
  if constexpr (!internal::is_tuple<X>)
    return check_grads(f, std::tuple<const X&>(x), options, loc);
  else {
    auto in = std::apply([](auto&... e) { return internal::as_args<F>(e...); }, x);
    internal::InexactFlattened<F, decltype(in)> run{f, in};
    internal::Results leaves =
        internal::in_double_precision(args(internal::inexact_leaves(in)), loc);
    return internal::check_grads_flat(internal::flat(run), args(leaves), options, loc);
  }
}

}  // namespace jaxpp
