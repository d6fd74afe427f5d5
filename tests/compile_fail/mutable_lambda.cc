// expect: jaxpp: the transformed function cannot be called with these arguments
#include "jaxpp/jaxpp.h"
using namespace jaxpp;
auto g = grad([n = 0](Array x) mutable { return x * double(++n); })(1.0);
