// expect: error
#include "jaxpp/jaxpp.h"
using namespace jaxpp;
double f(Array x) { return x; }
