// expect: jaxpp: a parameter struct may have at most 32 fields; group some into an inner struct.
#include "jaxpp/jaxpp.h"
using namespace jaxpp;
struct Wide {
  Array f0, f1, f2, f3, f4, f5, f6, f7, f8, f9, f10, f11, f12, f13, f14, f15, f16, f17, f18, f19,
      f20, f21, f22, f23, f24, f25, f26, f27, f28, f29, f30, f31, f32;
};
auto leaves = tree_leaves(Wide{});
