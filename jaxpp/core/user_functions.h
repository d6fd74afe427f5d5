// user_functions.h -- functions of users, type-erased, as the parameters of equations hold them.
//
// Apart from trace.h because <functional> is dear to include: no public header needs it.
#pragma once
#include <functional>
#include "jaxpp/core/trace.h"

namespace jaxpp::internal {

/// A user function with user derivatives.  Never traced unless someone records it, so plain C++ `if` works inside.
/// Tangents and cotangents given to rules are arrays, never symbolic zeros; a rule may return null for a zero.
struct CustomRule {
  std::string name;
  using Fn = std::function<void(Args, Results&)>;
  Fn call;
  std::function<void(Args x, Args dx, Results& y, Results& dy)> jvp;  // or:
  std::function<void(Args x, Results& y, Results& residuals)>
      fwd;  // fwd and bwd together; they give forward
  std::function<void(Args residuals, Args ct, Results& x_ct)>
      bwd;              // mode too: the transpose of the linear bwd
  std::string dropped;  // imported without its derivative: why
};

/// Decides, for an equation of a checkpointed function, whether its results are kept for the backward pass.
struct SavePolicy {
  std::string name;
  std::function<bool(const Primitive&, Types, Params)> save;
};

}  // namespace jaxpp::internal
