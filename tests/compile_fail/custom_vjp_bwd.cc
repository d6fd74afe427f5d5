// expect: jaxpp: bwd of custom_vjp must return one cotangent, in a tuple, for each argument (that holds Arrays).
#include "jaxpp/jaxpp.h"
using namespace jaxpp;
auto y = custom_vjp([](Array x, Array z) { return x * z; },
                    [](Array x, Array z) { return std::pair(x * z, None); },
                    [](NoneType, Array ct) { return std::tuple(ct, ct, ct); })(1.0, 2.0);
