// memory_use.h -- the most memory that this process has had resident so far.
#pragma once
#include <cstdio>

namespace bench {

/// In units of 1024 * 1024 bytes; of this process only, which getrusage(2) does not say after a fork.
inline double peak_rss_mb() {
  double kib = 0;
  if (std::FILE* f = std::fopen("/proc/self/status", "r")) {
    for (char line[256]; std::fgets(line, sizeof line, f);)
      if (std::sscanf(line, "VmHWM: %lf", &kib) == 1) break;
    std::fclose(f);
  }
  return kib / 1024;
}

}  // namespace bench
