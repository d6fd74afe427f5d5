// llvm_progress.h -- a line on the terminal while a compilation takes longer than one expects.
//
//   jaxpp: compiling step (120,000 operations) ... 3.4 s
#pragma once
#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>

namespace jaxpp::native {

/// From its construction to its destruction.  Nothing is shown in the first second.
class ProgressLine {
 public:
  struct Options {
    int file = -1;          // descriptor; -1: nothing is shown
    double after = 1;       // seconds
    double interval = 0.1;  // between two figures
    static Options
    for_user();  // standard error, if it is a terminal; JAXPP_PROGRESS=0: nothing, =1: also elsewhere
  };
  explicit ProgressLine(std::string what, Options = Options::for_user());
  ProgressLine(const ProgressLine&) = delete;
  ~ProgressLine();

 private:
  void show();

  const std::string what_;
  const Options options_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool done_ = false;
  std::thread thread_;
};

}  // namespace jaxpp::native
