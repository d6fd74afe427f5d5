// targets.h -- what is read from outside: texts and files.  A target takes any bytes; it may throw a jaxpp::Error and
// nothing else, and what it accepts it must write and read again the same.
//
// fuzzer.cc feeds them to libFuzzer (./dev fuzz); tests/fuzz_test.cc runs the seeds, and bytes that are nearly these.
#pragma once
#include <span>
#include <string>
#include <string_view>

namespace jaxpp::testing {

struct FuzzTarget {
  const char* name;
  const char* seeds;  // folders of files to start from, under tests/, with blanks between
  const char* reads;
  void (*run)(std::string_view bytes);
};
std::span<const FuzzTarget> fuzz_targets();

}  // namespace jaxpp::testing
