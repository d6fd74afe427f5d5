// prelude.h -- what stands before the kernels of a module.
#pragma once
#include <string>

namespace jaxpp::cuda {

/// The parts of the prelude that the text of some kernels uses.  elementary_calls: calls of exp,
/// sin, ... in it; many are not inlined, for the sake of NVRTC's time.
std::string prelude(const std::string& kernels, int elementary_calls);

}  // namespace jaxpp::cuda
