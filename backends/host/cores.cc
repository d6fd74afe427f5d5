// cores.cc -- the affinity mask, the quota of control groups (versions 1 and 2), and the sizes of caches.
#include "backends/host/cores.h"
#include <sched.h>
#include <algorithm>
#include <cmath>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

namespace jaxpp::host {
namespace {

int cores_of_mask() {
  // The kernel refuses a mask that is smaller than its own.
  for (std::size_t words = 16; words <= 4096; words *= 4) {
    std::vector<unsigned long> mask(words);
    const std::size_t bytes = words * sizeof(unsigned long);
    if (sched_getaffinity(0, bytes, reinterpret_cast<cpu_set_t*>(mask.data())) == 0)
      return std::max(1, CPU_COUNT_S(bytes, reinterpret_cast<cpu_set_t*>(mask.data())));
  }
  return int(std::max(1u, std::thread::hardware_concurrency()));
}

// Processors' worth of time of the groups from `path` up to the root; infinity if nothing is said.
double quota(const std::string& root, std::string path) {
  double least = INFINITY;
  const auto limit = [&](double time, double period) {
    if (time > 0 && period > 0) least = std::min(least, time / period);
  };
  for (;;) {
    const std::string at = root + path + "/";
    std::string time;
    double period = 0;
    if (std::ifstream(at + "cpu.max") >> time >> period && time != "max")
      limit(std::strtod(time.c_str(), nullptr), period);
    if (std::ifstream(at + "cpu.cfs_quota_us") >> time &&
        std::ifstream(at + "cpu.cfs_period_us") >> period)
      limit(std::strtod(time.c_str(), nullptr), period);  // -1: none
    if (path.empty()) return least;
    path.resize(path.rfind('/'));
  }
}
double quota_of_groups() {
  double least = INFINITY;
  std::ifstream groups("/proc/self/cgroup");  // number:controllers:/path
  for (std::string line; std::getline(groups, line);) {
    const std::size_t a = line.find(':'), b = line.find(':', a + 1);
    if (b == std::string::npos) continue;
    const std::string controllers = "," + line.substr(a + 1, b - a - 1) + ",";
    std::string path = line.substr(b + 1);
    if (path.empty() || path[0] != '/' || path == "/") path.clear();
    if (controllers == ",,")
      least = std::min(least, quota("/sys/fs/cgroup", path));
    else if (controllers.find(",cpu,") != std::string::npos)
      least = std::min(least, quota("/sys/fs/cgroup/cpu", path));
  }
  return least;
}

}  // namespace

int usable_cores() {
  const int cores = cores_of_mask();
  const double limit = std::ceil(quota_of_groups());
  return limit < cores ? std::max(1, int(limit)) : cores;
}

// sysconf() would tell the caches of all groups of cores together, as some machines report them to the processor.
std::size_t cache_bytes() {
  std::size_t most = 0;
  for (int level = 0;; ++level) {
    std::ifstream file("/sys/devices/system/cpu/cpu0/cache/index" + std::to_string(level) +
                       "/size");
    std::size_t size = 0;
    if (!(file >> size)) return most;
    const int unit = file.get();
    most = std::max(most, unit == 'K' ? size << 10 : unit == 'M' ? size << 20 : size);
  }
}

}  // namespace jaxpp::host
