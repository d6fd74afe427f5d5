// cuda_headers_test.cc -- our own declarations of CUDA's interfaces against NVIDIA's headers, at compile time, where
// those are installed: every signature, symbol version, constant and struct.
#include <catch2/catch.hpp>

#if __has_include(<cuda.h>) && __has_include(<nvrtc.h>) && __has_include(<cublasLt.h>)
#define JAXPP_HAVE_CUDA_HEADERS 1
#include <cublasLt.h>
#include <cuda.h>
#include <nvrtc.h>

#include <cstddef>
#include <string_view>
#include <type_traits>

// After NVIDIA's headers: their macros turn our names, too, into the symbols that programs link to.
#include "backends/cuda/driver_api.h"

namespace jaxpp::cuda::api {
namespace {

// Passed in the same way: pointers to anything are alike, enumerations are integers of their size.
template <class Ours, class Theirs>
constexpr bool alike() {
  if constexpr (std::is_pointer_v<Ours> || std::is_pointer_v<Theirs>)
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

#define JAXPP_TEXT_(x) #x
#define JAXPP_TEXT(x) JAXPP_TEXT_(x)
#define JAXPP_ROW(RESULT, NAME, SYMBOL, ARGUMENTS)                                                \
  static_assert(Same<RESULT(*) ARGUMENTS, decltype(&::NAME)>::value, "the signature of " SYMBOL); \
  static_assert(std::string_view(JAXPP_TEXT(NAME)) == SYMBOL, "the version of " SYMBOL);
JAXPP_CUDA_DRIVER(JAXPP_ROW)
JAXPP_NVRTC(JAXPP_ROW)
JAXPP_CUBLASLT(JAXPP_ROW)
#undef JAXPP_ROW
#define JAXPP_ROW(NAME, VALUE) static_assert(int(NAME) == VALUE, #NAME);
JAXPP_CUDA_CONSTANTS(JAXPP_ROW)
#undef JAXPP_ROW

static_assert(sizeof(cublasLtMatmulAlgo_t) == sizeof(::cublasLtMatmulAlgo_t));
using Ours = cublasLtMatmulHeuristicResult_t;
using Theirs = ::cublasLtMatmulHeuristicResult_t;
static_assert(sizeof(Ours) == sizeof(Theirs) && alignof(Ours) == alignof(Theirs));
static_assert(offsetof(Ours, algo) == offsetof(Theirs, algo));
static_assert(offsetof(Ours, workspaceSize) == offsetof(Theirs, workspaceSize));
static_assert(offsetof(Ours, state) == offsetof(Theirs, state));
static_assert(offsetof(Ours, wavesCount) == offsetof(Theirs, wavesCount));
static_assert(sizeof(Ours::reserved) == sizeof(Theirs::reserved));
static_assert(sizeof(CUdeviceptr) == sizeof(::CUdeviceptr));
static_assert(alike<int, ::CUdevice>());

}  // namespace
}  // namespace jaxpp::cuda::api
#endif

TEST_CASE("our declarations of CUDA are NVIDIA's") {
#ifdef JAXPP_HAVE_CUDA_HEADERS
  SUCCEED("compared while compiling");
#else
  WARN("skipped: cuda.h, nvrtc.h or cublasLt.h was not found when this was compiled");
#endif
}
