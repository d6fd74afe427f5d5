// expect: error
#include "jaxpp/jaxpp.h"
using namespace jaxpp;
auto y = max(Array(1.0), 0.5);
