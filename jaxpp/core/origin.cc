// origin.cc -- the operation whose rule is running on this thread.
#include "jaxpp/core/origin.h"
#include <algorithm>

namespace jaxpp::internal {

constinit thread_local const OriginScope* OriginScope::current = nullptr;

Origin OriginScope::origin_of(const Primitive& p, Args x) const {
  const auto same = [](const Array& a, const Array& b) { return a.node() == b.node(); };
  const bool value = &p == origin_.prim() && !origin_.backward() && x.size() == x_.size() &&
                     std::equal(x.begin(), x.end(), x_.begin(), same);
  return value ? Origin() : origin_;
}

}  // namespace jaxpp::internal
