// expect: jaxpp: one tangent for each argument is needed.
#include "jaxpp/jaxpp.h"
using namespace jaxpp;
auto y = jvp([](Array x, Array z) { return x * z; }, std::tuple(1.0, 2.0), std::tuple(1.0));
