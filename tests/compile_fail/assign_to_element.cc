// expect: use of deleted function
#include "jaxpp/jaxpp.h"
using namespace jaxpp;
void f(Array x) { x(0) = Array(1.0); }
