// jvp.cc -- the part of forward mode that does not depend on the types of trees.
#include "jaxpp/jvp.h"

namespace jaxpp::internal {

void instantiate_tangents(const Results& y, Results& dy) {
  for (std::size_t i = 0; i < y.size(); ++i)
    if (!dy[i].defined()) dy[i] = zeros_of(y[i].type());
}

}  // namespace jaxpp::internal
