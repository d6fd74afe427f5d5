// llvm_progress.cc -- a thread that writes one line again and again.
#include "backends/cpu/llvm_progress.h"

#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <system_error>

namespace jaxpp::native {

ProgressLine::Options ProgressLine::Options::for_user() {
  const char* v = std::getenv("JAXPP_PROGRESS");
  const std::string_view asked = v ? v : "";
  const bool shown = asked == "0" ? false : asked == "1" || ::isatty(STDERR_FILENO);
  return {.file = shown ? STDERR_FILENO : -1};
}

ProgressLine::ProgressLine(std::string what, Options options)
    : what_(std::move(what)), options_(options) {
  if (options_.file < 0) return;
  try {
    thread_ = std::thread([this] { show(); });
  } catch (const std::system_error&) {  // no thread, no line
  }
}
ProgressLine::~ProgressLine() {
  if (!thread_.joinable()) return;
  {
    std::lock_guard lock(mutex_);
    done_ = true;
  }
  changed_.notify_one();
  thread_.join();
}

void ProgressLine::show() {
  using Seconds = std::chrono::duration<double>;
  const auto start = std::chrono::steady_clock::now();
  bool shown = false;
  std::unique_lock lock(mutex_);
  auto write = [&](const char* begin, const char* end) {
    char seconds[32];
    std::snprintf(seconds, sizeof seconds, "%.1f s",
                  Seconds(std::chrono::steady_clock::now() - start).count());
    const std::string line = begin + ("jaxpp: compiling " + what_) + " ... " + seconds + end;
    if (::write(options_.file, line.data(), line.size()) < 0) return;  // nobody to tell
  };
  changed_.wait_for(lock, Seconds(options_.after), [&] { return done_; });
  while (!done_) {
    write("\r", "");
    shown = true;
    changed_.wait_for(lock, Seconds(options_.interval), [&] { return done_; });
  }
  if (shown) write("\r", "\n");
}

}  // namespace jaxpp::native
