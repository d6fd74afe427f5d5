// jaxpr_api.cc -- the small members of Jaxpr.
#include "jaxpp/core/jaxpr.h"

namespace jaxpp {
using namespace internal;

std::vector<Type> Jaxpr::in_types() const {
  auto t = body_->in_types();
  t.erase(t.begin(), t.begin() + std::ptrdiff_t(consts_.size()));
  return t;
}
std::vector<Type> Jaxpr::out_types() const { return body_->out_types(); }
std::size_t Jaxpr::size() const { return internal::count_equations(*body_); }

}  // namespace jaxpp
