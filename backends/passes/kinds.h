// kinds.h -- what passes want to know of a primitive at large.
#pragma once
#include "jaxpp/core/primitive.h"

namespace jaxpp::passes {

/// One element of the result from one element of each operand.
bool is_elementwise(const Primitive&);
/// Moves elements, in a way that an index map can express.
bool is_view(const Primitive&);
/// What an element of the result costs, roughly, in additions: 0 for views, kMuch for all that is not elementwise and does
/// more than move elements.
int weight(const Primitive&);
inline constexpr int kMuch = 1000;

}  // namespace jaxpp::passes
