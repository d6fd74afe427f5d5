// special.cc -- special functions that the C library lacks, to near full double precision.
//
// erf_inv: rational approximations of the normal quantile (Wichura, Algorithm AS 241, 1988,
// PPND16). digamma: recurrence up to x >= 10, then the asymptotic series (Abramowitz and Stegun
// 6.3.18); reflection below 0. zeta: Euler-Maclaurin summation (as in Cephes, Moshier 1989); below
// q = 0 by the sum over all integers.
#include "backends/eager/special.h"

#include <cmath>
#include <limits>

namespace jaxpp::internal::special {
namespace {
constexpr double kPi = 3.14159265358979323846, kNaN = std::numeric_limits<double>::quiet_NaN(),
                 kInf = std::numeric_limits<double>::infinity();

template <int N>
double polynomial(const double (&c)[N], double x) {  // c[0] + c[1] x + ...
  double v = c[N - 1];
  for (int i = N - 2; i >= 0; --i) v = v * x + c[i];
  return v;
}
}  // namespace

double erf_inv(double x) {
  static constexpr double a[] = {3.3871328727963666080e0, 1.3314166789178437745e2,
                                 1.9715909503065514427e3, 1.3731693765509461125e4,
                                 4.5921953931549871457e4, 6.7265770927008700853e4,
                                 3.3430575583588128105e4, 2.5090809287301226727e3};
  static constexpr double b[] = {1,
                                 4.2313330701600911252e1,
                                 6.8718700749205790830e2,
                                 5.3941960214247511077e3,
                                 2.1213794301586595867e4,
                                 3.9307895800092710610e4,
                                 2.8729085735721942674e4,
                                 5.2264952788528545610e3};
  static constexpr double c[] = {1.42343711074968357734e0,  4.63033784615654529590e0,
                                 5.76949722146069140550e0,  3.64784832476320460504e0,
                                 1.27045825245236838258e0,  2.41780725177450611770e-1,
                                 2.27238449892691845833e-2, 7.74545014278341407640e-4};
  static constexpr double d[] = {1,
                                 2.05319162663775882187e0,
                                 1.67638483018380384940e0,
                                 6.89767334985100004550e-1,
                                 1.48103976427480074590e-1,
                                 1.51986665636164571966e-2,
                                 5.47593808499534494600e-4,
                                 1.05075007164441684324e-9};
  static constexpr double e[] = {6.65790464350110377720e0,  5.46378491116411436990e0,
                                 1.78482653991729133580e0,  2.96560571828504891230e-1,
                                 2.65321895265761230930e-2, 1.24266094738807843860e-3,
                                 2.71155556874348757815e-5, 2.01033439929228813265e-7};
  static constexpr double f[] = {1,
                                 5.99832206555887937690e-1,
                                 1.36929880922735805310e-1,
                                 1.48753612908506148525e-2,
                                 7.86869131145613259100e-4,
                                 1.84631831751005468180e-5,
                                 1.42151175831644588870e-7,
                                 2.04426310338993978564e-15};
  constexpr double half_sqrt2 = 0.70710678118654752440;
  const double q = x / 2;
  if (std::fabs(q) <= 0.425) {
    const double r = 0.180625 - q * q;
    return half_sqrt2 * q * (polynomial(a, r) / polynomial(b, r));
  }
  if (!(std::fabs(x) <= 1)) return kNaN;
  if (std::fabs(x) == 1) return x * kInf;
  const double r = std::sqrt(-std::log((1 - std::fabs(x)) / 2));
  const double v = r <= 5 ? polynomial(c, r - 1.6) / polynomial(d, r - 1.6)
                          : polynomial(e, r - 5) / polynomial(f, r - 5);
  return std::copysign(half_sqrt2 * v, x);
}

double digamma(double x) {
  if (x == kInf) return x;
  double reflected = 0;
  if (x <= 0) {
    const double fraction = x - std::nearbyint(x);
    if (!(x > -kInf) || fraction == 0) return kNaN;  // poles, and -inf
    reflected = -kPi / std::tan(kPi * fraction);
    x = 1 - x;
  }
  if (x != x) return x;
  double below = 0;
  for (; x < 10; x += 1) below += 1 / x;
  static constexpr double c[] = {1. / 12,  -1. / 120,     1. / 252, -1. / 240,
                                 1. / 132, -691. / 32760, 1. / 12};
  const double s = 1 / (x * x);
  const double series = x < 1e17 ? s * polynomial(c, s) : 0;
  return std::log(x) - 0.5 / x - series - below + reflected;
}

double zeta(double s, double q) {
  if (s == 1) return kInf;
  if (!(s > 1) || q != q) return kNaN;
  if (q <= 0) {
    if (q == std::floor(q)) return kInf;
    if (s != std::floor(s)) return kNaN;  // powers of negative numbers
    // The terms q + k < 0 are those of 1 - f + k that lie below 1 - q, where f is the fraction of
    // q.
    const double f = q - std::floor(q), sign = std::fmod(s, 2) == 0 ? 1 : -1;
    if (f == 0 || f == 1) return kInf;
    return zeta(s, f) + sign * (zeta(s, 1 - f) - zeta(s, 1 - q));
  }
  if (q > 1e8) return (1 / (s - 1) + 1 / (2 * q)) * std::pow(q, 1 - s);
  double sum = std::pow(q, -s), a = q, power = sum;
  for (int i = 0; i < 9 || a <= 9; ++i) {
    a += 1;
    power = std::pow(a, -s);
    sum += power;
    if (std::fabs(power / sum) < 1e-17) return sum;
  }
  sum += power * a / (s - 1) - power / 2;
  // (2k)! / B2k
  static constexpr double c[] = {12.0,
                                 -720.0,
                                 30240.0,
                                 -1209600.0,
                                 47900160.0,
                                 -1.8924375803183791606e9,
                                 7.47242496e10,
                                 -2.950130727918164224e12,
                                 1.1646782814350067249e14,
                                 -4.5979787224074726105e15,
                                 1.8152105401943546773e17,
                                 -7.1661652561756670113e18};
  double factor = 1, k = 0;
  for (double coefficient : c) {
    factor *= s + k;
    power /= a;
    const double term = factor * power / coefficient;
    sum += term;
    if (std::fabs(term / sum) < 1e-17) break;
    k += 1;
    factor *= s + k;
    power /= a;
    k += 1;
  }
  return sum;
}

double polygamma(double n, double x) {
  if (!(n >= 0) || n != std::floor(n)) return kNaN;
  if (n == 0) return digamma(x);
  const double factorial = std::tgamma(n + 1), sign = std::fmod(n, 2) == 0 ? -1 : 1;
  return sign * factorial * zeta(n + 1, x);
}

}  // namespace jaxpp::internal::special
