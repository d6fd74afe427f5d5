// profile.cc -- the timeline, in the JSON trace format of Chrome and Perfetto.  Slices are kept in memory and written when
// the program ends.
#include "jaxpp/core/profile.h"
#include <unistd.h>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <mutex>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

namespace jaxpp::internal::profile {
namespace {

const char* path() {
  const char* p = std::getenv("JAXPP_TRACE");
  return p && *p ? p : nullptr;
}
struct Event {
  std::string category, name;
  std::int64_t start, end;
  int thread;
};
constexpr std::size_t kMostEvents = 1'000'000;  // later ones are counted, not kept

class Timeline {
 public:
  void add(Event e) {
    std::lock_guard lock(mutex_);
    if (events_.size() < kMostEvents)
      events_.push_back(std::move(e));
    else
      ++dropped_;
  }
  ~Timeline() {
    std::ofstream out(path());
    out << "{\"displayTimeUnit\": \"ns\", \"otherData\": {\"dropped\": " << dropped_
        << "}, \"traceEvents\": [";
    const char* comma = "\n";
    for (const Event& e : events_) {
      const nlohmann::json j = {{"ph", "X"},
                                {"pid", ::getpid()},
                                {"tid", e.thread},
                                {"cat", e.category},
                                {"name", e.name},
                                {"ts", double(e.start) * 1e-3},
                                {"dur", double(e.end - e.start) * 1e-3}};
      out << std::exchange(comma, ",\n")
          << j.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    }
    out << "\n]}\n";
    if (!out.flush()) std::cerr << "JAXPP_TRACE: cannot write " << path() << "\n";
  }

 private:
  std::mutex mutex_;
  std::vector<Event> events_;
  std::size_t dropped_ = 0;
};

}  // namespace

const bool enabled = path() != nullptr;

std::int64_t now() {
  using namespace std::chrono;
  return duration_cast<nanoseconds>(steady_clock::now().time_since_epoch()).count();
}
void record(std::string_view category, std::string_view name, std::int64_t start,
            std::int64_t end) {
  static Timeline timeline;
  static std::atomic<int> threads{0};
  thread_local const int thread = ++threads;
  timeline.add({std::string(category), std::string(name), start, end, thread});
}

}  // namespace jaxpp::internal::profile
