// expect: jaxpp: the transformed function cannot be called with these arguments; compare their number and types with its parameters
#include "jaxpp/jaxpp.h"
using namespace jaxpp;
struct Layer {
  Array w;
};
auto g = jit([](Layer l) { return l.w; })(1.0);
