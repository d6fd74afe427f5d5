// expect: jaxpp: a static value in an argument needs operator==, to be part of the cache key.
#include "jaxpp/jaxpp.h"
using namespace jaxpp;
class Handle {
 public:
  explicit Handle(int n) : n_(n) {}
  int n_;
};
auto y = jit([](Array x, Handle) { return x; })(1.0, Handle(1));
