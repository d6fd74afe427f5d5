// main.cc -- the entry of jaxpp_tests.  Catch2's own code is compiled here, once.
#define CATCH_CONFIG_MAIN
#include <catch2/catch.hpp>

// What LLVM holds when it gives up is lost, by design (backends/cpu/llvm_codegen.cc); and the atomic variables that it
// makes its static objects with are not seen by ThreadSanitizer, which it is not compiled with.
extern "C" const char* __lsan_default_suppressions() { return "leak:libLLVM\n"; }
extern "C" const char* __tsan_default_suppressions() { return "race:libLLVM\n"; }
