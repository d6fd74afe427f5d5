// prelude.cc -- the prelude is text that the build embeds: backends/eager's scalar code, the very
// text that eager kernels are compiled from, and prelude.cuh.  Lines "// ---- Name" separate its
// parts.
#include "backends/cuda/prelude.h"
#include <initializer_list>
#include <stdexcept>
#include <string_view>

namespace jaxpp::cuda {

// cmake/embed_text.cmake
extern const char* const scalar_code;
extern const char* const special_code;
extern const char* const incomplete_code;
extern const char* const prelude_code;

namespace {

constexpr int kInlined =
    64;  // calls of elementary functions; 500 inlined sines take NVRTC half a minute

std::string_view part(std::string_view all, std::string_view name) {
  const std::string heading = "// ---- " + std::string(name) + "\n";
  const std::size_t begin = all.find(heading);
  if (begin == all.npos) throw std::logic_error("cuda: the prelude has no part " + heading);
  const std::size_t end = all.find("\n// ---- ", begin);
  return all.substr(begin, end == all.npos ? end : end + 1 - begin);
}

bool mentions(std::string_view text, std::initializer_list<std::string_view> names) {
  for (std::string_view n : names)
    if (text.find(n) != text.npos) return true;
  return false;
}

}  // namespace

std::string prelude(const std::string& kernels, int elementary_calls) {
  const bool complex = mentions(kernels, {"Complex<"});
  const bool reduces = mentions(kernels, {"_reduce<"});
  std::string s = elementary_calls > kInlined
                      ? "#define JAXPP_ELEMENTARY __device__ __noinline__\n"
                      : "#define JAXPP_ELEMENTARY __device__ __forceinline__\n";
  auto add = [&](const char* from, const char* name) { s += part(from, name); };
  add(prelude_code, "Base");
  add(scalar_code, "Types");
  add(scalar_code, "Arithmetic");
  if (complex) {
    add(scalar_code, "Complex numbers");
    add(prelude_code, "Quotient");
  }
  if (mentions(kernels, {"convert<"})) add(scalar_code, "Conversion between stored types");
  if (mentions(kernels, {"total_order(", "bitwise_not(", "population_count(", "clz(", "shift_"}))
    add(scalar_code, "Bits");
  const bool incomplete =
      mentions(kernels, {" igamma(", "(igamma(", "igammac(", "igamma_grad_a(", "random_gamma_grad(",
                         "regularized_incomplete_beta(", "random_gamma(", "random_loggamma("});
  if (incomplete || mentions(kernels, {"threefry2x32("})) add(scalar_code, "Random bits");
  if (incomplete || mentions(kernels, {"erf_inv(", "digamma(", "polygamma(", "zeta(", "bessel_"}))
    s += special_code;
  if (incomplete) s += incomplete_code;
  if (mentions(kernels, {"Pack<", "take<", "put<"})) add(prelude_code, "Memory");
  if (reduces || mentions(kernels, {"::of("})) add(prelude_code, "Combining");
  if (reduces) add(prelude_code, "Reductions");
  return s;
}

}  // namespace jaxpp::cuda
