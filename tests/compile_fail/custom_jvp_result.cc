// expect: jaxpp: a custom_jvp rule must return std::pair(value, tangent), both of the function's result type.
#include "jaxpp/jaxpp.h"
using namespace jaxpp;
auto y = custom_jvp([](Array x) { return x; }, [](Array x, Array) { return x; })(1.0);
