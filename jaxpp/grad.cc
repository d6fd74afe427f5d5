// grad.cc -- the checks of reverse mode that do not depend on the types of trees.
#include "jaxpp/grad.h"

namespace jaxpp::internal {

void check_inexact(Args x, const char* who, int argnum, Loc loc) {
  for (const Array& a : x)
    if (!is_inexact(a.dtype()))
      fail<TypeError>(std::string(who) + ": argument " + std::to_string(argnum) +
                          " is differentiated, but holds " + a.type()->str() + ".",
                      loc, "E14",
                      "Only floating-point and complex arrays have derivatives: convert it (2.0 "
                      "for 2, astype), or make it static.");
}

}  // namespace jaxpp::internal
