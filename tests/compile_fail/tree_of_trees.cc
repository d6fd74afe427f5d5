// expect: jaxpp: the Jacobian of a struct by a struct is a tree of trees; ravel() the argument or the result.
#include "jaxpp/jaxpp.h"
using namespace jaxpp;
struct Layer {
  Array w, b;
};
auto j = jacfwd([](Layer l) { return l; })(Layer{1.0, 2.0});
