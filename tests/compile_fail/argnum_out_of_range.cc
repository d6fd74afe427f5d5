// expect: jaxpp: an argnum is out of range; the function has fewer arguments.
#include "jaxpp/jaxpp.h"
using namespace jaxpp;
auto g = grad<2>([](Array x, Array y) { return x * y; })(1.0, 2.0);
