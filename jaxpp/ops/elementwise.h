// elementwise.h -- the vocabulary of elementwise.def, and the rules that elementwise operations
// share.
#pragma once
#include "jaxpp/core/primitive.h"

namespace jaxpp::internal {

/// The element types an operation is defined for.
enum class Domain {
  Any,
  Ordered,  // all but complex
  Numeric,  // all but bool
  Real,     // integers and floats
  Inexact,  // floats and complex
  Float,
  Bits,  // bool and integers
  Integer
};
constexpr bool in_domain(Domain domain, DType d) {
  switch (domain) {
    case Domain::Any: return true;
    case Domain::Ordered: return !is_complex(d);
    case Domain::Numeric: return !is_bool(d);
    case Domain::Real: return is_integer(d) || is_float(d);
    case Domain::Inexact: return is_inexact(d);
    case Domain::Float: return is_float(d);
    case Domain::Bits: return is_bool(d) || is_integer(d);
    case Domain::Integer: return is_integer(d);
  }
  return false;
}

/// The operands in which an operation is linear.  XorY: bilinear, linear in either while the other
/// is known.
enum class Linear { None, X, XandY, XorY };

/// The element type of the result: that of the operands, of their real parts, or bool.
enum class Result { Same, RealPart, Bool };
constexpr DType result_dtype(Result r, DType d) {
  return r == Result::Same ? d : r == Result::RealPart ? real_of(d) : DType::b1;
}

Type checked_type(const char* op, Domain, Types x);      // one operand, or an error
Type broadcasted_type(const char* op, Domain, Types x);  // two
/// One operand's type, checked.
inline Type unary_type(const char* op, Domain domain, Types x) {
  if (x.size() == 1 && in_domain(domain, x[0]->dtype)) [[likely]]
    return x[0];
  return checked_type(op, domain, x);
}
/// The type of two broadcast operands.  They have equal dtypes, and shapes that are equal, or of
/// rank 0, or of equal rank with sizes equal or 1.
inline Type broadcast_type(const char* op, Domain domain, Types x) {
  if (x.size() == 2 && x[0] == x[1] && in_domain(domain, x[0]->dtype)) [[likely]]
    return x[0];
  return broadcasted_type(op, domain, x);
}
/// A tangent that missed the broadcast of its operation.
Array fit(const Array& tangent, Type to);
/// The transpose of that broadcast: a cotangent summed over what was repeated.
Array unbroadcast(const Array& ct, Type to);
/// One operand, any shape: the batch axis stays where it is.
void unary_batch(BatchRule&);
/// Operands that broadcast: rank 0 and sizes 1 stay unmaterialized.
void broadcast_batch(BatchRule&);

}  // namespace jaxpp::internal
