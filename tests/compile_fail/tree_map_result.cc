// expect: jaxpp: the function given to tree_map must return an Array.
#include "jaxpp/jaxpp.h"
using namespace jaxpp;
auto t = tree_map([](Array) { return std::string("leaf"); }, Array(1.0));
