// origin.h -- whose derivative an equation belongs to.
//
// Equations of a derivative carry the user's line of the operation they come from.  The origin adds which operation that
// was, and whether its jvp rule or its transpose made the equation; debug_nans tells the user.
#pragma once
#include "jaxpp/core/primitive.h"

namespace jaxpp::internal {

/// Nothing, or a primitive and a direction.  One tagged word.
class Origin {
 public:
  Origin() = default;
  Origin(const Primitive* p, bool backward)
      : bits_(reinterpret_cast<std::uintptr_t>(p) | std::uintptr_t(backward)) {}
  explicit operator bool() const { return bits_ != 0; }
  const Primitive* prim() const {
    return reinterpret_cast<const Primitive*>(bits_ & ~std::uintptr_t(1));
  }
  bool backward() const { return bits_ & 1; }
  Origin reversed() const { return Origin(prim(), true); }

 private:
  std::uintptr_t bits_ = 0;
};

/// While a rule runs.  x: the operands of the operation whose derivative is taken, so that its own value can be told from
/// the tangent, which may be the same primitive (mul).
class OriginScope {
 public:
  explicit OriginScope(Origin origin, Args x = {}) : origin_(origin), x_(x), outer_(current) {
    current = this;
  }
  OriginScope(const OriginScope&) = delete;
  ~OriginScope() { current = outer_; }
  /// The origin of an operation that is bound now.
  static Origin of(const Primitive& p, Args x) {
    return current ? current->origin_of(p, x) : Origin();
  }

 private:
  static constinit thread_local const OriginScope* current;
  Origin origin_;
  Args x_;
  const OriginScope* outer_;
  Origin origin_of(const Primitive& p, Args x) const;
};

}  // namespace jaxpp::internal
