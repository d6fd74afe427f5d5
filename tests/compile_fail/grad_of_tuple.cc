// expect: jaxpp: grad needs a function that returns one scalar Array, or std::pair<Array, Aux>.
#include "jaxpp/jaxpp.h"
using namespace jaxpp;
auto g = grad([](Array x) { return std::tuple(x, x, x); })(1.0);
