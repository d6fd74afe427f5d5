// llvm_headers_test.cc -- our own declarations of LLVM's C interface against its headers, at compile time, where those are
// installed: every signature and constant.
#include <catch2/catch.hpp>

#if __has_include(<llvm-c/Transforms/PassBuilder.h>)
#define JAXPP_HAVE_LLVM_HEADERS 1
#include <llvm-c/Analysis.h>
#include <llvm-c/Core.h>
#include <llvm-c/Error.h>
#include <llvm-c/ErrorHandling.h>
#include <llvm-c/IRReader.h>
#include <llvm-c/Target.h>
#include <llvm-c/TargetMachine.h>
#include <llvm-c/Transforms/PassBuilder.h>

#include <type_traits>

#include "backends/cpu/llvm_api.h"

namespace jaxpp::native::api {
namespace {

// Passed in the same way: pointers to anything are alike, enumerations are integers of their size.
template <class Ours, class Theirs>
constexpr bool alike() {
  if constexpr (std::is_void_v<Ours> || std::is_void_v<Theirs>)
    return std::is_void_v<Ours> && std::is_void_v<Theirs>;
  else if constexpr (std::is_pointer_v<Ours> || std::is_pointer_v<Theirs>)
    return std::is_pointer_v<Ours> && std::is_pointer_v<Theirs>;
  else if constexpr (std::is_enum_v<Theirs>)
    return std::is_integral_v<Ours> && sizeof(Ours) == sizeof(Theirs);
  else
    return std::is_integral_v<Ours> && std::is_integral_v<Theirs> &&
           sizeof(Ours) == sizeof(Theirs) && std::is_signed_v<Ours> == std::is_signed_v<Theirs>;
}
template <class Ours, class Theirs>
struct Same : std::false_type {};
template <class R, class... A, class S, class... B>
requires(sizeof...(A) == sizeof...(B)) struct Same<R (*)(A...), S (*)(B...)>
    : std::bool_constant<alike<R, S>() && (alike<A, B>() && ...)> {
};

#define JAXPP_ROW(RESULT, NAME, ARGUMENTS) \
  static_assert(Same<RESULT(*) ARGUMENTS, decltype(&::NAME)>::value, "the signature of " #NAME);
JAXPP_LLVM_API(JAXPP_ROW)
JAXPP_LLVM_TARGET(JAXPP_ROW)
#undef JAXPP_ROW
#define JAXPP_ROW(NAME, VALUE) static_assert(int(::NAME) == VALUE, #NAME);
JAXPP_LLVM_CONSTANTS(JAXPP_ROW)
#undef JAXPP_ROW
static_assert(Same<LLVMFatalErrorHandler, ::LLVMFatalErrorHandler>::value);
static_assert(Same<LLVMDiagnosticHandler, ::LLVMDiagnosticHandler>::value);

}  // namespace
}  // namespace jaxpp::native::api
#endif

TEST_CASE("our declarations of LLVM's C interface are LLVM's", "[llvm]") {
#ifdef JAXPP_HAVE_LLVM_HEADERS
  SUCCEED("compared while compiling");
#else
  WARN("skipped: llvm-c/Transforms/PassBuilder.h was not found when this was compiled");
#endif
}
