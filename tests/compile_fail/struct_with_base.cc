// expect: jaxpp: a parameter struct may not inherit; make the base a member, or give the struct a visit(fn) member.
#include "jaxpp/jaxpp.h"
using namespace jaxpp;
struct Base {
  Array w;
};
struct Layer : Base {
  Array b;
};
auto leaves = tree_leaves(Layer{});
