// expect: jaxpp: a custom_jvp rule takes the function's arguments, then one tangent for each.
#include "jaxpp/jaxpp.h"
using namespace jaxpp;
auto y = custom_jvp([](Array x) { return x; }, [](Array x) { return std::pair(x, x); })(1.0);
