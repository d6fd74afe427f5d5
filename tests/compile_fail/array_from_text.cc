// expect: error
#include "jaxpp/jaxpp.h"
using namespace jaxpp;
Array x = "abc";
