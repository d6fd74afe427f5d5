// llvm_machine.cc -- what this machine can execute, from cpuid.
#include <cstdio>
#include <cstdlib>

#include "backends/cpu/llvm.h"
#include "backends/host/cores.h"
#include "jaxpp/core/error.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace jaxpp::native {
namespace {

#if defined(__x86_64__)
struct Registers {
  unsigned a = 0, b = 0, c = 0, d = 0;
};
Registers cpuid(unsigned leaf, unsigned subleaf = 0) {
  Registers r;
  if (!__get_cpuid_count(leaf, subleaf, &r.a, &r.b, &r.c, &r.d)) return {};
  return r;
}

// Read once: in a virtual machine each cpuid takes 10 us and more.
struct Processor {
  const Registers vendor = cpuid(0), one = cpuid(1), seven = cpuid(7), seven_one = cpuid(7, 1),
                  amd = cpuid(0x80000001), xsave = cpuid(0xd, 1);
  const unsigned saved = saved_state();

  // Which registers the operating system saves (XCR0): instructions exist only if it does.
  unsigned saved_state() const {
    if (!(one.c & bit_OSXSAVE)) return 0;
    unsigned low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
  }
  // The levels of the x86-64 psABI above the first that matter here.
  bool has_v3() const {
    constexpr unsigned in_one = bit_SSE3 | bit_SSSE3 | bit_SSE4_1 | bit_SSE4_2 | bit_POPCNT |
                                bit_CMPXCHG16B | bit_FMA | bit_MOVBE | bit_AVX | bit_F16C;
    constexpr unsigned in_seven = bit_AVX2 | bit_BMI | bit_BMI2;
    constexpr unsigned lzcnt = 1u << 5, ymm = 0b110;
    return (one.c & in_one) == in_one && (seven.b & in_seven) == in_seven && (amd.c & lzcnt) &&
           (saved & ymm) == ymm;
  }
  bool has_v4() const {
    constexpr unsigned in_seven =
        bit_AVX512F | bit_AVX512BW | bit_AVX512CD | bit_AVX512DQ | bit_AVX512VL;
    constexpr unsigned zmm = 0b11100110;
    return has_v3() && (seven.b & in_seven) == in_seven && (saved & zmm) == zmm;
  }
  // What LLVM chooses instructions and their costs by.
  std::string identity() const {
    std::string s;
    for (unsigned word :
         {vendor.b, vendor.d, vendor.c, one.a, one.c & ~bit_OSXSAVE, one.d, seven.b, seven.c,
          seven.d, seven_one.a, seven_one.d, amd.c, amd.d, xsave.a, saved}) {
      char hex[12];
      std::snprintf(hex, sizeof hex, "%08x", word);
      s += (s.empty() ? "" : "-") + std::string(hex);
    }
    return s;
  }
};
#endif

Machine find_machine() {
  const char* v = std::getenv("JAXPP_CPU");
  const std::string asked = v ? v : "";
  if (asked != "" && asked != "generic" && asked != "avx2" && asked != "avx512")
    internal::fail<Error>("JAXPP_CPU: \"" + asked + "\" is no kind of processor.", Loc(), "E63",
                          "It is generic, avx2 or avx512; without it code is for this machine.");
  Machine m;
#if defined(__x86_64__)
  const Processor processor;
  const int has = processor.has_v4() ? 4 : processor.has_v3() ? 3 : 1;
  const int wanted = asked == "generic" ? 1 : asked == "avx2" ? 3 : 4;
  m.avx512 = has >= 4 && wanted >= 4;
  m.avx2 = m.fma = m.f16c = has >= 3 && wanted >= 3;
  m.vector_bytes = m.avx512 ? 64 : m.avx2 ? 32 : 16;
  m.cache_bytes = host::cache_bytes();
  if (asked == "" || has < wanted) {
    m.cpu = "native";
    m.features = processor.identity();
  } else {
    m.cpu = wanted == 4 ? "x86-64-v4" : wanted == 3 ? "x86-64-v3" : "x86-64";
  }
#else
  m.cpu = asked == "" ? "native" : "generic";
#endif
  return m;
}

}  // namespace

const Machine& machine() {
  static const auto& m = *new Machine(find_machine());
  return m;
}

}  // namespace jaxpp::native
