// expect: jaxpp: the body of scan must return a carry of the type of the initial one.
#include "jaxpp/jaxpp.h"
using namespace jaxpp;
struct State {
  Array x;
};
auto y = scan([](State s, Array x) { return std::pair(std::tuple(s.x, x), x); }, State{0.0},
              Array{1., 2.});
