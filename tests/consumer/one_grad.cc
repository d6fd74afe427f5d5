// What a user's file costs to compile: the umbrella header and one gradient.
#include <jaxpp/jaxpp.h>

double derivative(double at) {
  auto f = [](jaxpp::Array x) { return sin(x) * x; };
  return double(jaxpp::grad(f)(at));
}
