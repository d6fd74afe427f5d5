// linalg_internal.h -- what the sources of linalg.h and linalg_factors.h share.  Not for users.
#pragma once
#include "jaxpp/math_internal.h"

namespace jaxpp::linalg {

/// Throws a TypeError [E54]: "linalg::" + what.
[[noreturn]] void linalg_error(const std::string& what, Loc loc, const char* remedy = "");
/// a in a type that can be factored (halves and integers become floats); throws unless it holds matrices, square ones on demand.
Array matrix(const char* op, const Array& a, bool square, Loc loc);
/// The transposes of the matrices, conjugated.
Array adjoint(const Array& a);

}  // namespace jaxpp::linalg
