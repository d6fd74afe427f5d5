// expect: jaxpp: all branches must return the same type.
#include "jaxpp/jaxpp.h"
using namespace jaxpp;
auto y = cond(
    true, [](Array x) { return x; }, [](Array x) { return std::pair(x, x); }, 1.0);
