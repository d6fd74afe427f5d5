// zero_maps.h -- products and quotients that take zero to zero: the linear equations of safe gradients.
#pragma once
#include "jaxpp/core/trace.h"

namespace jaxpp {

/// x * y, 0 where x is 0.  The derivative of a product, linear in x.
extern const Primitive zero_mul_p;
/// x / y, 0 where x is 0.
extern const Primitive zero_div_p;
/// x * y, 0 where x or y is 0: the second derivative, where x is a first one and y a tangent, or the other way.
extern const Primitive zeros_mul_p;

namespace internal {
/// The equation p(x) of a derivative, linear in what `linear` says, by one of these; false if p is neither mul nor div, or
/// if its slope is a finite number.
bool bind_safely(const Primitive& p, Args x, const bool* linear, Array* y, Trace& into, Loc loc);
}  // namespace internal
}  // namespace jaxpp
