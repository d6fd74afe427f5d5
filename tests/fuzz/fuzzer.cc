// fuzzer.cc -- the entry points of libFuzzer:   JAXPP_FUZZ_TARGET=json jaxpp_fuzz FOLDER...;   --targets lists them.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include "jaxpp/core/error.h"
#include "tests/fuzz/targets.h"

namespace {
const jaxpp::testing::FuzzTarget* target;
}

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv) {
  if (*argc == 2 && std::strcmp((*argv)[1], "--targets") == 0) {
    for (auto& t : jaxpp::testing::fuzz_targets()) std::printf("%s:%s\n", t.name, t.seeds);
    std::exit(0);
  }
  const char* name = std::getenv("JAXPP_FUZZ_TARGET");
  for (auto& t : jaxpp::testing::fuzz_targets())
    if (name && std::strcmp(t.name, name) == 0) target = &t;
  if (target) return 0;
  std::fprintf(stderr, "JAXPP_FUZZ_TARGET is one of:\n");
  for (auto& t : jaxpp::testing::fuzz_targets())
    std::fprintf(stderr, "  %-8s %s\n", t.name, t.reads);
  std::exit(2);
}
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    target->run({reinterpret_cast<const char*>(data), size});
  } catch (const jaxpp::Error&) {  // what bad input may do; anything else ends the run
  }
  return 0;
}
