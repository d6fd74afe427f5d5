// expect: jaxpp: the body of scan must return std::pair(carry, y).
#include "jaxpp/jaxpp.h"
using namespace jaxpp;
auto y = scan([](Array c, Array x) { return c + x; }, 0.0, Array{1., 2.});
