// measure.cc -- how long a call takes, and how far the figure can be trusted: what other processes did meanwhile, and
// how long our own threads stood in the queue for a core.  The same rules as benchmarks/peers/common.py.
#include <dirent.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <thread>

#include "benchmarks/bench.h"

namespace bench {
namespace {

constexpr double kTotal = 0.5, kCap = 20, kRepetition = 1e-3;  // seconds
constexpr std::size_t kLeastRepetitions = 5;

// Processor time of the whole machine, less idle time.
double machine_seconds() {
  std::ifstream in("/proc/stat");
  std::string cpu;
  double user = 0, nice = 0, system = 0, idle = 0, iowait = 0, irq = 0, softirq = 0, steal = 0;
  in >> cpu >> user >> nice >> system >> idle >> iowait >> irq >> softirq >> steal;
  return (user + nice + system + irq + softirq + steal) / double(::sysconf(_SC_CLK_TCK));
}
double own_seconds() {
  double total = 0;
  for (int who : {RUSAGE_SELF, RUSAGE_CHILDREN}) {
    rusage u;
    ::getrusage(who, &u);
    total += double(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
             1e-6 * double(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
  }
  return total;
}
// How long the threads of this process have waited for a core so far.
double queue_seconds() {
  double total = 0;
  DIR* d = ::opendir("/proc/self/task");
  if (!d) return 0;
  while (const dirent* e = ::readdir(d)) {
    std::ifstream in(std::string("/proc/self/task/") + e->d_name + "/schedstat");
    double running = 0, waiting = 0;
    if (in >> running >> waiting) total += waiting * 1e-9;
  }
  ::closedir(d);
  return total;
}

// BENCH_QUIET: so many seconds a measurement may wait for a quiet machine; none by default.
double patience() {
  const char* s = std::getenv("BENCH_QUIET");
  return s ? std::atof(s) : 0;
}
// Returns when other processes use less than 0.2 cores, or patience is at its end.
void wait_for_quiet(double seconds) {
  using std::chrono::duration;
  const double start = now();
  while (now() - start < seconds) {
    const double m = machine_seconds(), o = own_seconds(), t = now();
    std::this_thread::sleep_for(duration<double>(0.12));
    if (((machine_seconds() - m) - (own_seconds() - o)) / (now() - t) < 0.2) return;
    std::this_thread::sleep_for(duration<double>(0.25));
  }
}

Record measure_once(const std::function<void(std::int64_t)>& repeat) {
  double once = 1e9;
  for (int warm = 0; warm < 2 && !(warm && once > 3); ++warm) {
    const double start = now();
    repeat(1);
    once = std::min(once, now() - start);
  }
  const auto calls = std::max<std::int64_t>(1, std::int64_t(kRepetition / std::max(once, 1e-8)));
  const double machine = machine_seconds(), own = own_seconds(), queue = queue_seconds();
  const double begin = now();
  std::vector<double> seconds;
  for (double total = 0; !(total >= kTotal && seconds.size() >= kLeastRepetitions) &&
                         !(total > kCap && seconds.size() >= 3);) {
    const double start = now();
    repeat(calls);
    const double taken = now() - start;
    total += taken;
    seconds.push_back(taken / double(calls));
  }
  const double wall = now() - begin;
  Record r = median_of(std::move(seconds));
  r.reps *= calls;
  r.foreign_cpu = std::max(0.0, (machine_seconds() - machine) - (own_seconds() - own)) / wall;
  r.wait = std::max(0.0, queue_seconds() - queue) / wall;
  return r;
}

}  // namespace

Record median_of(std::vector<double> seconds) {
  std::sort(seconds.begin(), seconds.end());
  Record r;
  const std::size_t n = seconds.size();
  r.median = n % 2 ? seconds[n / 2] : (seconds[n / 2 - 1] + seconds[n / 2]) / 2;
  r.least = seconds[0];
  r.reps = std::int64_t(n);
  return r;
}

Record measure(const std::function<void(std::int64_t)>& repeat) {
  const double seconds = patience();
  wait_for_quiet(seconds);
  Record best = measure_once(repeat);
  if (seconds > 0 && best.foreign_cpu > 0.2 && best.wait > 0.03) {  // disturbed: once more
    wait_for_quiet(seconds);
    Record again = measure_once(repeat);
    if (again.median < best.median) best = again;
  }
  return best;
}

}  // namespace bench
