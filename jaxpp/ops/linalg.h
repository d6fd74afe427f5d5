// linalg.h -- what the rules of factorisations and linalg.cc's functions share.
#pragma once
#include "jaxpp/ops/rules.h"

namespace jaxpp {

// factors.cc
extern const Primitive geqrf_p, schur_p;

namespace internal {

/// Rows of each matrix x[..., m, n] in the order of its permutation[..., m].
Array permute_rows(const Array& x, const Array& permutation);

}  // namespace internal
}  // namespace jaxpp
