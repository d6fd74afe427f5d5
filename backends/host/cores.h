// cores.h -- how many threads of this process the machine runs at a time, and the cache that they share.
#pragma once
#include <cstddef>

namespace jaxpp::host {

/// Cores of the affinity mask, or fewer where a control group limits the processor time; at least 1.
int usable_cores();

/// Bytes of the largest cache that the first core can use; 0 if the system does not say.
std::size_t cache_bytes();

}  // namespace jaxpp::host
