// expect: jaxpp: the transformed function cannot be called with these arguments; compare their number and types with its parameters
#include "jaxpp/jaxpp.h"
using namespace jaxpp;
auto g = grad([](Array x, Array y) { return x * y; })(1.0);
