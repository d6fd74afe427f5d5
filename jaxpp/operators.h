// operators.h -- arithmetic, comparisons and logic on Arrays, with numpy's broadcasting and JAX's
// promotion.
//
// Two arrays meet in promote_types of their dtypes.  A C++ number is weak by kind: next to an array
// of its kind or a higher one (bool < integer < float < complex) it takes the array's type, so that
// x * 2.0 keeps float32; next to an array of a lower kind it keeps its own.
#pragma once
#include "jaxpp/core/array.h"

namespace jaxpp {

Array operator+(const Operand& x, const Operand& y);  ///< bool: or
Array operator-(const Operand& x, const Operand& y);
Array operator*(const Operand& x, const Operand& y);  ///< elementwise; bool: and
Array operator/(const Operand& x, const Operand& y);  ///< true division: integers give floats
Array operator%(const Operand& x, const Operand& y);  ///< the remainder has the sign of y
Array operator-(const Operand& x);
Array operator~(const Operand& x);  ///< every bit flipped
Array operator!(const Array& x);    ///< x == 0 (an Operand would tie with the built-in ! on bool)

Array operator==(const Operand& x, const Operand& y);
Array operator!=(const Operand& x, const Operand& y);
Array operator<(const Operand& x, const Operand& y);
Array operator<=(const Operand& x, const Operand& y);
Array operator>(const Operand& x, const Operand& y);
Array operator>=(const Operand& x, const Operand& y);

Array operator&(const Operand& x, const Operand& y);
Array operator|(const Operand& x, const Operand& y);
Array operator^(const Operand& x, const Operand& y);
Array operator<<(const Operand& x, const Operand& y);
Array operator>>(const Operand& x, const Operand& y);  ///< copies of the sign bit shifted in

namespace internal {
/// The primitive on promoted, broadcast operands.  Without a trace, the buffer of a temporary
/// operand is reused.
Array binary(const Primitive&, const Operand& x, const Operand& y);
/// A rank-0 number next to an array of dtype `other`, made an array by the kind rule.
Array weak_number(const Array& number, DType other);
/// Both operands in their common dtype, numbers made arrays by the kind rule; shapes stay as they
/// are.
std::pair<Array, Array> promote(const Operand& x, const Operand& y);
std::pair<Array, Array> promote(const Array& x, const Array& y, Loc);
/// What `/` computes in: floats and complex numbers stay, the others become f64.
DType to_inexact(DType);
/// numpy's common shape, or a TypeError.
Shape broadcast_shapes(std::span<const Shape> shapes, const char* op, Loc);
/// Ranks made equal by leading axes of size 1, unless one is 0: what primitives take.
std::pair<Array, Array> broadcast_pair(const Array& x, const Array& y, const char* op, Loc);
/// x repeated to exactly that shape.
Array broadcast_to_shape(const Array& x, const Shape&, Loc, const char* op = "broadcast_to");
}  // namespace internal

}  // namespace jaxpp
