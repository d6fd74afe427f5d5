// profile.h -- where the time goes: with JAXPP_TRACE=out.json in the environment, every stage of a compilation and every
// run of a compiled program becomes a slice of a timeline that ui.perfetto.dev shows.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace jaxpp::internal::profile {

extern const bool enabled;
std::int64_t now();  // nanoseconds
void record(std::string_view category, std::string_view name, std::int64_t start, std::int64_t end);

/// A slice from here to the end of the scope.
class Slice {
 public:
  Slice(const char* category, std::string_view name)
      : category_(category), start_(enabled ? now() : 0) {
    if (enabled) name_ = name;
  }
  Slice(const Slice&) = delete;
  ~Slice() {
    if (enabled) record(category_, name_, start_, now());
  }

 private:
  const char* category_;
  std::string name_;
  std::int64_t start_;
};

}  // namespace jaxpp::internal::profile
