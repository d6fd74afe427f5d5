// math_internal.h -- what the sources of math.h and nn.h share: promotion, axes, and error
// messages.  Not for users.
#pragma once
#include "jaxpp/core/trace.h"
#include "jaxpp/lax.h"
#include "jaxpp/math.h"

namespace jaxpp::internal {

/// While it lives, operations report this line, the user's, as theirs: functions composed of others
/// hold one.
struct UserLine : Scope {
  explicit UserLine(const Loc& loc) : Scope(context.trace, &loc) {}
};

/// Throws a TypeError unless x is an array.
void need_array(const Array& x, const char* op, Loc loc);
/// x as it is if it is a float or complex; integers become floats.
Array inexact(const Array& x, const char* op, Loc loc);
/// x as a number: bools become i32.
Array numeric(const Array& x, const char* op, Loc loc);
/// x != 0, or x itself if it is of type bool.
Array truth(const Array& x, const char* op, Loc loc);
/// The type in which sums of d accumulate: 64 bits for integers.
DType sum_type(DType d);

/// An axis in 0..rank-1.
std::int64_t axis_of(std::int64_t axis, std::int64_t rank, const Array& x, const char* op, Loc loc);
inline std::int64_t axis_of(std::int64_t axis, const Array& x, const char* op, Loc loc) {
  return axis_of(axis, x.ndim(), x, op, loc);
}
/// Distinct axes in 0..rank-1, in the order given.
Dims axes_of(const Axes& axes, const Array& x, const char* op, Loc loc);

/// Makes the element types equal, and the ranks (unless one is 0): what lax functions want.
void promote(const char* op, Array& x, Array& y, Loc loc);
void promote_types_of(const char* op, std::span<Array> x, Loc loc);
/// The same, for operands of functions that are not closed over the integers, and over the bools.
void promote_inexact(const char* op, Array& x, Array& y, Loc loc);
void promote_numeric(const char* op, Array& x, Array& y, Loc loc);

/// Real operands as floats of one type; numbers take the type of the arrays.  Shapes stay as they are.
std::vector<Array> real_operands(const char* op, std::initializer_list<const Operand*> x);

/// A number of x's element type, rank 0.
Array number_like(const Array& x, double v, Loc loc);
/// x[..., i, ...] without the axis; x[..., from:to:step, ...].  The axis is in range, i may be
/// negative.
Array at_index(const Array& x, std::int64_t i, std::int64_t axis, Loc loc);
/// a[indices] of a vector, indices within bounds.
Array elements_at(const Array& a, const Array& indices, Loc loc = Loc::current());
/// x without the axes, or with size 1 in their place.
Array keep_axes(const Array& reduced, const Dims& axes, bool keepdims, Loc loc);

}  // namespace jaxpp::internal
