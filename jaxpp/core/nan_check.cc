// nan_check.cc -- which threads check, and the look at an array.
//
// An array is bad if a sum of x - x over it is not 0: one pass that vectorises, and only then the search for the element.
#include "jaxpp/core/nan_check.h"
#include <cmath>
#include <cstdlib>
#include <cstring>
#include "jaxpp/core/half.h"

namespace jaxpp {
namespace internal {
namespace {

bool is_set(const char* variable) {
  const char* v = std::getenv(variable);
  return v && *v && std::strcmp(v, "0") != 0;
}
unsigned environment() {
  static const unsigned checks =
      unsigned(is_set("JAXPP_DEBUG_NANS") * kCheckNans + is_set("JAXPP_DEBUG_INFS") * kCheckInfs);
  return checks;
}
constinit thread_local int here = -1;  // bits, or -1: as the environment says
constinit thread_local const NanTrail* nan_trail = nullptr;

const bool kCounted = [] {
  if (environment()) nan_check_scopes.fetch_add(1, std::memory_order_relaxed);
  return true;
}();

template <class T>
std::int64_t find(const T* x, std::int64_t n, unsigned checks) {
  for (std::int64_t i = 0; i < n; ++i) {
    double v;
    if constexpr (is_half<T>)
      v = static_cast<float>(x[i]);
    else
      v = x[i];
    if (((checks & kCheckNans) && std::isnan(v)) || ((checks & kCheckInfs) && std::isinf(v)))
      return i;
  }
  return -1;
}
template <class T>
std::int64_t find_fast(const T* x, std::int64_t n, unsigned checks) {
  constexpr std::int64_t kBlock = 1024;
  for (std::int64_t at = 0; at < n; at += kBlock) {
    const std::int64_t m = std::min(kBlock, n - at);
    int bad = 0;
    for (std::int64_t i = 0; i < m; ++i) bad |= !(x[at + i] - x[at + i] == T(0));
    if (!bad) continue;
    if (const std::int64_t k = find(x + at, m, checks); k >= 0) return at + k;
  }
  return -1;
}

}  // namespace

constinit std::atomic<int> nan_check_scopes{0};
unsigned nan_checks_here() { return here < 0 ? environment() : unsigned(here); }

std::int64_t first_bad(const Array& a, unsigned checks) {
  const std::int64_t n = a.size();
  if (!is_inexact(a.dtype()) || !n) return -1;
  switch (a.dtype()) {
    case DType::f16: return find(a.data<float16>(), n, checks);
    case DType::bf16: return find(a.data<bfloat16>(), n, checks);
    case DType::f32: return find_fast(a.data<float>(), n, checks);
    case DType::f64: return find_fast(a.data<double>(), n, checks);
    case DType::c64:
    case DType::c128: {
      const std::int64_t k =
          a.dtype() == DType::c64
              ? find_fast(reinterpret_cast<const float*>(a.data<char>()), 2 * n, checks)
              : find_fast(reinterpret_cast<const double*>(a.data<char>()), 2 * n, checks);
      return k < 0 ? -1 : k / 2;
    }
    default: return -1;
  }
}

NanTrail::NanTrail(std::string w) : what(std::move(w)), outer(nan_trail) { nan_trail = this; }
NanTrail::~NanTrail() { nan_trail = outer; }
std::string NanTrail::text() {
  std::string s;
  for (const NanTrail* t = nan_trail; t; t = t->outer) s += (s.empty() ? "in " : ", in ") + t->what;
  return s;
}

}  // namespace internal

using namespace internal;

NanCheckScope::NanCheckScope(unsigned checks) : saved_(here) {
  nan_check_scopes.fetch_add(1, std::memory_order_relaxed);
  here = int(checks);
}
NanCheckScope::~NanCheckScope() {
  here = saved_;
  nan_check_scopes.fetch_sub(1, std::memory_order_relaxed);
}
namespace {
unsigned with(unsigned bit, bool on) {
  return on ? nan_checks_here() | bit : nan_checks_here() & ~bit;
}
}  // namespace
NanCheckScope debug_nans(bool on) { return NanCheckScope(with(kCheckNans, on)); }
NanCheckScope debug_infs(bool on) { return NanCheckScope(with(kCheckInfs, on)); }

}  // namespace jaxpp
