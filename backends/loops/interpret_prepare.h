// interpret_prepare.h -- from the tree to instructions.
#pragma once
#include "backends/loops/interpret_code.h"

namespace jaxpp::loops::interpret {

/// poison: locals are filled with ones before every use.  The program must outlive the result.
Prepared prepare(const Program&, bool poison);

}  // namespace jaxpp::loops::interpret
