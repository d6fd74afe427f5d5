// expect: jaxpp: a tangent (or cotangent) must have the type of the value it belongs to.
#include "jaxpp/jaxpp.h"
using namespace jaxpp;
struct Layer {
  Array w, b;
};
auto y = jvp([](Layer l) { return l.w; }, Layer{1.0, 2.0}, 1.0);
