// compare.cc -- types, integers and bools exactly; inexact numbers within the case's tolerance; NaN and infinities in
// place.  A complex number is compared by modulus, part by part where it is not finite.
#include "compare.h"
#include <cmath>
#include <complex>

namespace conformance {
using namespace jaxpp;
namespace {
template <class T>
std::complex<double> load(const void* p, std::int64_t i) {
  const T v = static_cast<const T*>(p)[i];
  if constexpr (is_complex_type<T>)
    return {double(v.real()), double(v.imag())};
  else if constexpr (is_half<T>)
    return double(float(v));
  else
    return double(v);
}
std::complex<double> element(const Array& a, std::int64_t i) {
  const void* p = a.data<char>();
  switch (a.dtype()) {
    case DType::f16: return load<float16>(p, i);
    case DType::bf16: return load<bfloat16>(p, i);
    case DType::f32: return load<float>(p, i);
    case DType::f64: return load<double>(p, i);
    case DType::c64: return load<std::complex<float>>(p, i);
    default: return load<std::complex<double>>(p, i);
  }
}
double smallest_normal(DType d) { return real_of(d) == DType::f64 ? 2.3e-308 : 1.2e-38; }
bool part_close(double a, double e, double tol) {
  if (std::isnan(e)) return std::isnan(a);
  if (std::isinf(e)) return a == e;
  return std::abs(a - e) <= tol;
}
std::string show(std::complex<double> z, bool complex) {
  char b[80];
  if (complex)
    std::snprintf(b, sizeof b, "%.17g%+.17gi", z.real(), z.imag());
  else
    std::snprintf(b, sizeof b, "%.17g", z.real());
  return b;
}
}  // namespace

std::string difference(const Array& got, const Array& want, const Tolerance& t) {
  if (!got.defined()) return "there is no result";
  if (got.type() != want.type())
    return "the type is " + got.type()->str() + ", not " + want.type()->str();
  const std::int64_t n = want.size();
  if (!is_inexact(want.dtype())) {
    const std::size_t w = width(want.dtype());
    for (std::int64_t i = 0; i < n; ++i)
      if (std::memcmp(got.data<char>() + std::size_t(i) * w, want.data<char>() + std::size_t(i) * w,
                      w))
        return "element " + std::to_string(i) + " of " + want.type()->str() +
               " differs: " + std::to_string(got.to_vector<std::int64_t>()[std::size_t(i)]) +
               ", not " + std::to_string(want.to_vector<std::int64_t>()[std::size_t(i)]);
    return "";
  }
  double scale = 0;
  for (std::int64_t i = 0; i < n; ++i)
    if (double m = std::abs(element(want, i)); std::isfinite(m)) scale = std::max(scale, m);
  std::string worst;
  double worst_ratio = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    const auto a = element(got, i), e = element(want, i);
    const bool finite = std::isfinite(e.real()) && std::isfinite(e.imag());
    const double size = t.normwise ? scale : finite ? std::abs(e) : 0;
    const double tol = t.atol + t.rtol * size + (t.subnormal ? smallest_normal(want.dtype()) : 0);
    const bool ok =
        finite ? std::abs(a - e) <= tol
               : part_close(a.real(), e.real(), tol) && part_close(a.imag(), e.imag(), tol);
    if (ok) continue;
    double ratio = std::abs(a - e) / tol;
    if (!(ratio < 1e300)) ratio = 1e300;
    if (ratio <= worst_ratio) continue;
    worst_ratio = ratio;
    const bool complex = is_complex(want.dtype());
    char r[32];
    std::snprintf(r, sizeof r, "%.3g", ratio);
    worst = "element " + std::to_string(i) + " of " + want.type()->str() + ": " + show(a, complex) +
            ", not " + show(e, complex) +
            (ratio < 1e300 ? std::string(" (") + r + " times the tolerance)" : "");
  }
  return worst;
}

}  // namespace conformance
