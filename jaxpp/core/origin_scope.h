// origin_scope.h -- an OriginScope while debug_nans is on, which alone asks for origins; otherwise one test.
#pragma once
#include <optional>
#include "jaxpp/core/nan_check.h"
#include "jaxpp/core/origin.h"

namespace jaxpp::internal {

class DebugOrigin {
 public:
  /// make(): the origin of what is bound from here on.
  template <class Make>
  explicit DebugOrigin(Make make, Args x = {}) {
    if (checking_nans()) [[unlikely]]
      scope_.emplace(make(), x);
  }

 private:
  std::optional<OriginScope> scope_;
};
/// The origin of an operation that is bound now.
inline Origin origin_of(const Primitive& p, Args x) {
  return checking_nans() ? OriginScope::of(p, x) : Origin();
}

}  // namespace jaxpp::internal
