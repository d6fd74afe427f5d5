// cores.h -- how many threads of this process the machine runs at a time.
#pragma once

namespace jaxpp::host {

/// Cores of the affinity mask, or fewer where a control group limits the processor time; at least 1.
int usable_cores();

}  // namespace jaxpp::host
