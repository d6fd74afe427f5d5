// expect: jaxpp: a parameter struct may not hold a C array; use std::array<T, N>.
#include "jaxpp/jaxpp.h"
using namespace jaxpp;
struct Layer {
  Array w[3];
  Array b;
};
auto leaves = tree_leaves(Layer{});
