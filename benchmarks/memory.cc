// memory.cc -- P1 and P2 of workloads.md: what a fresh process takes, in time and in memory.  The programs are those of
// processes/, beside this one in the folder of the build.
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <map>
#include <sstream>
#include <stdexcept>

#include "benchmarks/bench.h"

namespace {

/// A program in the folder of this one.
std::string beside(const char* program) {
  char path[PATH_MAX];
  const ssize_t n = ::readlink("/proc/self/exe", path, sizeof path);
  if (n <= 0) throw std::runtime_error("cannot read /proc/self/exe");
  std::string self(path, std::size_t(n));
  return self.substr(0, self.rfind('/') + 1) + program;
}
/// The figures that a program prints, one "name value" a line.
std::map<std::string, double> figures(const std::string& command) {
  std::FILE* out = ::popen(command.c_str(), "r");
  if (!out) throw std::runtime_error("cannot start " + command);
  std::map<std::string, double> found;
  char name[64];
  double value;
  while (std::fscanf(out, "%63s %lf", name, &value) == 2) found[name] = value;
  if (::pclose(out) != 0) throw std::runtime_error(command + " failed");
  return found;
}

bench::Record cold(const std::string& environment) {
  const std::string command = environment + beside("jaxpp_bench_cold");
  std::vector<double> seconds;
  std::map<std::string, double> last;
  for (int k = 0; k < 7; ++k) {
    const double start = bench::now();
    last = figures(command);
    seconds.push_back(bench::now() - start);
  }
  bench::Record r = bench::median_of(seconds);
  r.checksum = {last["value"], last["value"]}, r.has_checksum = true;
  r.peak_rss_mb = last["peak_rss_mb"];
  std::ostringstream note;
  note << "peak RSS " << r.peak_rss_mb << " MB; wall of a fresh process";
  r.note = note.str();
  return r;
}
/// The disk cache in a folder of its own, which one process has filled.
bench::Record from_disk() {
  char folder[] = "/tmp/jaxpp-bench-XXXXXX";
  if (!::mkdtemp(folder)) throw std::runtime_error("cannot make a folder in /tmp");
  const std::string environment = "JAXPP_CACHE=1 JAXPP_CACHE_DIR=" + std::string(folder) + " ";
  figures(environment + beside("jaxpp_bench_cold"));
  bench::Record r = cold(environment);
  figures("rm -rf " + std::string(folder));
  return r;
}
bench::Record steps(const char* arguments) {
  auto found = figures(beside("jaxpp_bench_steps") + arguments);
  bench::Record r;
  r.median = found["median_s"], r.least = found["min_s"], r.reps = 5;
  r.checksum = {found["value"], std::abs(found["value"])}, r.has_checksum = true;
  r.rss_growth_mb = found["rss_growth_mb"];
  std::ostringstream note;
  note << "peak RSS growth " << r.rss_growth_mb << " MB (compiler included)";
  r.note = note.str();
  return r;
}

}  // namespace

void bench::register_memory() {
  add_record("P1_cold", 0, {}, [] { return cold("JAXPP_CACHE=0 "); });
  add_record("P1_disk", 0, {}, from_disk);
  add_record("P2_plain", 0, {}, [] { return steps(""); });
  add_record("P2_ckpt", 0, {}, [] { return steps(" checkpoint"); });
}
