// special.cc -- see special.h.  Branches are selected, not taken: where a formula does not hold it is evaluated at a number for
// which it does, so that neither values nor derivatives of the other branch are spoilt by NaN.
//
// erfcx: (1 + 2 x) erfcx(x) is nearly constant on x >= 0, a polynomial in (x - 4) / (x + 4) (tools/erfcx_polynomial.py).
// betaln: Stirling's series, less what cancels (Didonato and Morris, ACM TOMS 708).  ndtri: Wichura's AS 241 in the tails.
// Exponential integrals: power series near 0, Lentz's continued fraction and the asymptotic series beyond.
#include "jaxpp/special.h"
#include <cmath>
#include <limits>
#include <numbers>
#include "jaxpp/control.h"
#include "jaxpp/custom.h"
#include "jaxpp/math_internal.h"

namespace jaxpp {

using namespace internal;

namespace {
constexpr double kInf = std::numeric_limits<double>::infinity(),
                 kNan = std::numeric_limits<double>::quiet_NaN(), kPi = std::numbers::pi;

bool single(const Array& x) { return x.dtype() != DType::f64; }

// c[0] + c[1] x + ... + c[N - 1] x^(N - 1)
template <std::size_t N>
Array polynomial(const double (&c)[N], const Array& x) {
  Array y = full_like(x, c[N - 1]);
  for (std::size_t i = N - 1; i-- > 0;) y = y * x + c[i];
  return y;
}
}  // namespace

// ---- The normal distribution, and error functions
namespace {
// x >= 0; 0 at infinity.
Array erfcx_right(const Array& x) {
  static constexpr double c[] = {
      1.2329951186255526,      -0.1396211168405625,     0.015379652102619604,
      0.0680970542546904,      -0.10103906603630056,    0.09373283499843826,
      -0.06633036581218697,    0.03716751553592911,     -0.016197734059799265,
      0.005031969992669933,    -0.0007577732613730956,  -0.0001992567757633648,
      0.0001506214900124047,   -2.4398944545280832e-05, -1.1221287012353486e-05,
      5.709206053072183e-06,   2.919733377963012e-07,   -8.249198427508354e-07,
      7.746992727017941e-08,   1.1009737295274889e-07,  -2.05606492756992e-08,
      -1.4709550868669278e-08, 3.1695881915648173e-09,  1.7903326159489847e-09,
      -2.659599690242689e-10,  -1.374652989001164e-10};
  return polynomial(c, 1 - 8 / (x + 4)) / (1 + 2 * x);
}
// log(ndtr(x)) = log(erfcx(-x / sqrt(2)) / 2) - x^2 / 2 on the left: no cancellation, in derivatives neither.
Array log_ndtr_of(const Array& x) {
  const Array left = x < 0;
  const Array z = where(left, -x, 0) * std::numbers::sqrt2 / 2;
  const Array far = isinf(z);  // log(0) - inf
  const Array tail = log(0.5 * erfcx_right(where(far, 0, z))) - where(far, kInf, z * z);
  const Array most = log1p(-0.5 * erfc(where(left, 0, x) * (std::numbers::sqrt2 / 2)));
  return where(left, tail, most);
}
Array ndtri_of(const Array& p) {
  static constexpr double a[] = {1.42343711074968357734e0,  4.63033784615654529590e0,
                                 5.76949722146069140550e0,  3.64784832476320460504e0,
                                 1.27045825245236838258e0,  2.41780725177450611770e-1,
                                 2.27238449892691845833e-2, 7.74545014278341407640e-4};
  static constexpr double b[] = {1,
                                 2.05319162663775882187e0,
                                 1.67638483018380384940e0,
                                 6.89767334985100004550e-1,
                                 1.48103976427480074590e-1,
                                 1.51986665636164571966e-2,
                                 5.47593808499534494600e-4,
                                 1.05075007164441684324e-9};
  static constexpr double c[] = {6.65790464350110377720e0,  5.46378491116411436990e0,
                                 1.78482653991729133580e0,  2.96560571828504891230e-1,
                                 2.65321895265761230930e-2, 1.24266094738807843860e-3,
                                 2.71155556874348757815e-5, 2.01033439929228813265e-7};
  static constexpr double d[] = {1,
                                 5.99832206555887937690e-1,
                                 1.36929880922735805310e-1,
                                 1.48753612908506148525e-2,
                                 7.86869131145613259100e-4,
                                 1.84631831751005468180e-5,
                                 1.42151175831644588870e-7,
                                 2.04426310338993978564e-15};
  const Array q = p - 0.5;
  const Array central = abs(q) <= 0.425;
  const Array r = sqrt(-log(where(q < 0, p, 1 - p)));
  const Array near = r - 1.6, far = r - 5.;
  const Array tail = where(r <= 5, polynomial(a, near) / polynomial(b, near),
                           polynomial(c, far) / polynomial(d, far));
  const Array end = where(p == 0, -kInf, where(p == 1, kInf, where(q < 0, -tail, tail)));
  return where(central, std::numbers::sqrt2 * erf_inv(2 * q), end);
}
}  // namespace

Array erfcx(const Operand& x0) {
  const Array x = real_operands("erfcx", {&x0})[0];
  UserLine line(x0.loc);
  const Array left = x < 0;
  const Array right = erfcx_right(where(left, -x, x));
  return where(left, 2 * exp(square(where(left, x, 0))) - right, right);
}
Array ndtr(const Operand& x0) {
  const Array x = real_operands("ndtr", {&x0})[0];
  UserLine line(x0.loc);
  return 0.5 * erfc(x * (-std::numbers::sqrt2 / 2));
}
Array log_ndtr(const Operand& x0) {
  const Array x = real_operands("log_ndtr", {&x0})[0];
  UserLine line(x0.loc);
  return log_ndtr_of(x);
}
Array ndtri(const Operand& p0) {
  const Array p = real_operands("ndtri", {&p0})[0];
  UserLine line(p0.loc);
  static const auto f =
      custom_jvp([](Array v) { return ndtri_of(v); },
                 [](Array v, Array dv) {
                   const Array y = ndtri(v);
                   return std::pair(y, dv * (std::sqrt(2 * kPi) * exp(0.5 * square(y))));
                 },
                 "ndtri");
  return f(p);
}

// ---- Gamma and beta functions
namespace {
Array is_whole(const Array& x) { return x == floor(x); }
Array gammasgn_of(const Array& x) {
  const Array below = floor(x);
  const Array odd = below * 0.5 != floor(below * 0.5);
  const Array negative = where(x < 0, odd, logical_and(x == 0, signbit(x)));
  const Array none = logical_or(isnan(x), logical_and(x < 0, is_whole(x)));
  return where(none, kNan, where(negative, -1., ones_like(x)));
}
// lgamma(x) - (x - 1/2) log(x) + x - log(2 pi) / 2 for x >= 10
Array stirling(const Array& x) {
  static constexpr double c[] = {1. / 12,   -1. / 360,      1. / 1260, -1. / 1680,
                                 1. / 1188, -691. / 360360, 1. / 156};
  return polynomial(c, 1 / square(x)) / x;
}
Array betaln_of(const Array& a, const Array& b) {
  const Array p = minimum(a, b), q = maximum(a, b);
  const Array great = logical_and(q >= 10, p > 0), both = p >= 10;
  const Array pg = where(great, p, 10), qg = where(great, q, 10);
  const Array ps = where(both, p, 10);
  const Array share = pg / (pg + qg);
  const Array change = stirling(qg) - stirling(pg + qg);
  const Array one = lgamma(pg) + change + pg - pg * log(pg + qg) + (qg - 0.5) * log1p(-share);
  const Array two = (0.5 * std::log(2 * kPi) - 0.5 * log(qg)) + (stirling(ps) + change) +
                    (ps - 0.5) * log(share) + qg * log1p(-share);
  const Array plain = lgamma(a) + lgamma(b) - lgamma(a + b);
  return where(great, where(both, two, one), plain);
}
}  // namespace

Array gammasgn(const Operand& x0) {
  const Array x = real_operands("gammasgn", {&x0})[0];
  UserLine line(x0.loc);
  return gammasgn_of(x);
}
Array gamma(const Operand& x0) {
  const Array x = real_operands("gamma", {&x0})[0];
  UserLine line(x0.loc);
  return gammasgn_of(x) * exp(lgamma(x));
}
Array loggamma(const Operand& x0) {
  const Array x = real_operands("loggamma", {&x0})[0];
  UserLine line(x0.loc);
  return where(x > 0, lgamma(x), kNan);
}
Array betaln(const Operand& a0, const Operand& b0) {
  const auto v = real_operands("betaln", {&a0, &b0});
  UserLine line(a0.loc);
  return betaln_of(v[0], v[1]);
}
Array beta(const Operand& a0, const Operand& b0) {
  const auto v = real_operands("beta", {&a0, &b0});
  UserLine line(a0.loc);
  const Array &a = v[0], &b = v[1];
  return gammasgn_of(a) * gammasgn_of(b) * gammasgn_of(a + b) * exp(betaln_of(a, b));
}
Array multigammaln(const Operand& a0, std::int64_t d) {
  const Array a = real_operands("multigammaln", {&a0})[0];
  if (d < 1)
    fail("multigammaln: the dimension must be at least 1, not " + std::to_string(d) + ".",
         user_loc(a0.loc), "E140");
  UserLine line(a0.loc);
  Array y = lgamma(a) + 0.25 * double(d) * double(d - 1) * std::log(kPi);
  for (std::int64_t j = 1; j < d; ++j) y = y + lgamma(a - 0.5 * double(j));
  return y;
}
Array factorial(const Operand& n0) {
  const Array n = real_operands("factorial", {&n0})[0];
  UserLine line(n0.loc);
  return where(n < 0, 0, exp(lgamma(where(n < 0, 0, n) + 1)));
}
Array comb(const Operand& n0, const Operand& k0, bool repetition) {
  const auto v = real_operands("comb", {&n0, &k0});
  UserLine line(n0.loc);
  const Array &n = v[0], &k = v[1];
  const Array from = repetition ? n + k - 1 : n;
  const Array some = logical_and(k <= from, logical_and(from >= 0, k >= 0));
  // 1 / ((n + 1) beta(n - k + 1, k + 1)): no difference of great numbers
  const Array ns = where(some, from, 0), ks = where(some, k, 0);
  const Array y = where(some, exp(-log1p(ns) - betaln_of(ns - ks + 1, ks + 1)), 0);
  return repetition ? where(logical_and(k == 0, n >= 0), 1, y) : y;
}
Array poch(const Operand& z0, const Operand& m0) {
  const auto v = real_operands("poch", {&z0, &m0});
  UserLine line(z0.loc);
  const Array &z = v[0], &m = v[1];
  const Array pole = logical_and(z <= 0, is_whole(z));
  const Array zs = where(pole, 1, z), ms = where(logical_and(pole, m == 0), 0, m);
  const Array y = gammasgn_of(zs + ms) * gammasgn_of(zs) * exp(lgamma(zs + ms) - lgamma(zs));
  return where(pole, where(m == 0, ones_like(m), kNan), y);
}

// ---- Entropies and power transforms
namespace {
Array xlogx(const Array& x) {
  static const auto f =
      custom_jvp([](Array v) { return xlogy(v, v); },
                 [](Array v, Array dv) { return std::pair(xlogx(v), dv * (log(v) + 1)); }, "xlogx");
  return f(x);
}
Array boxcox_of(const Array& log_x, const Array& lambda) {
  const Array none = lambda == 0;
  const Array safe = where(none, 1, lambda);
  // near 0 the series: its derivative in lambda is right there
  return where(none, log_x * (1 + 0.5 * lambda * log_x), expm1(safe * log_x) / safe);
}
}  // namespace
Array entr(const Operand& x0) {
  const Array x = real_operands("entr", {&x0})[0];
  UserLine line(x0.loc);
  return where(x < 0, -kInf, -xlogx(where(x < 0, 1, x)));
}
Array rel_entr(const Operand& p0, const Operand& q0) {
  const auto v = real_operands("rel_entr", {&p0, &q0});
  UserLine line(p0.loc);
  const Array &p = v[0], &q = v[1];
  const Array both = logical_and(p > 0, q > 0), none = logical_and(p == 0, q >= 0);
  const Array ps = where(both, p, 1), qs = where(both, q, 1);
  const Array y = where(both, ps * log(ps / qs), where(none, zeros_like(p), kInf));
  return where(logical_or(isnan(p), isnan(q)), kNan, y);
}
Array kl_div(const Operand& p0, const Operand& q0) {
  const auto v = real_operands("kl_div", {&p0, &q0});
  UserLine line(p0.loc);
  return rel_entr(v[0], v[1]) - v[0] + v[1];
}
Array boxcox(const Operand& x0, const Operand& lambda) {
  const auto v = real_operands("boxcox", {&x0, &lambda});
  UserLine line(x0.loc);
  return boxcox_of(log(v[0]), v[1]);
}
Array boxcox1p(const Operand& x0, const Operand& lambda) {
  const auto v = real_operands("boxcox1p", {&x0, &lambda});
  UserLine line(x0.loc);
  return boxcox_of(log1p(v[0]), v[1]);
}

// ---- Exponential integrals, dilogarithm
namespace {
// E_n(x) for 0 < x <= 1: log(x)'s term, and the power series without its term n - 1.
Array expn_series(const Array& n, const Array& x) {
  const int terms = single(x) ? 12 : 20;
  const Array sign = 1 - 2 * remainder(n - 1, 2.);
  Array y = sign * exp((n - 1) * log(x) - lgamma(n)) * (digamma(n) - log(x));
  Array power = ones_like(x);
  for (int m = 0; m < terms; ++m) {
    if (m) power = power * (-x / double(m));
    const Array skip = n == m + 1;
    y = y - where(skip, 0, power / where(skip, 1, double(m + 1) - n));
  }
  return y;
}
// E_n(x) for x > 1: modified Lentz's method.
Array expn_fraction(const Array& n, const Array& x) {
  struct State {
    Array b, c, d, h;
  };
  const Array b = x + n;
  State s{b, full_like(b, single(x) ? 1e30 : 1e300), 1 / b, 1 / b};
  s = fori_loop(
      1, single(x) ? 30 : 100,
      [&](Array i, State t) {
        const Array k = i.astype(x.dtype());
        const Array a = -k * (n - 1 + k);
        t.b = t.b + 2;
        t.d = 1 / (a * t.d + t.b);
        t.c = t.b + a / t.c;
        t.h = t.h * (t.c * t.d);
        return t;
      },
      s);
  return s.h * exp(-x);
}
Array expn_of(const Array& n0, const Array& x0) {
  const auto v = broadcast_arrays({n0, x0});
  const Array &n = v[0], &x = v[1];
  const Array small = x <= 1, zero = x == 0;
  const Array order = maximum(n, 1);
  const Array y = where(small, expn_series(order, where(logical_and(small, x > 0), x, 1)),
                        expn_fraction(order, where(x > 1, minimum(x, single(x) ? 1e4 : 1e6), 2)));
  const Array at_zero = where(n > 1, 1 / where(n > 1, n - 1, 1), kInf);
  const Array positive = where(n == 0, exp(-x) / where(zero, 1, x), y);
  return where(logical_or(n < 0, logical_not(x >= 0)), kNan, where(zero, at_zero, positive));
}
Array expn_custom(const Array& n0, const Array& x0) {
  static const auto f =
      custom_jvp([](Array n, Array x) { return expn_of(n, x); },
                 [](Array n, Array x, Array, Array dx) {
                   const Array lower = expn_custom(maximum(n - 1, 1), x);
                   const Array e0 = exp(-x) / x;
                   return std::pair(expn_custom(n, x),
                                    dx * -where(n > 1, lower, where(n == 1, e0, e0 * (1 + 1 / x))));
                 },
                 "expn");
  return f(n0, x0);
}
// The power series up to 40 (f32: 20), the asymptotic one beyond; x > 0.
Array expi_right(const Array& x) {
  const double bound = single(x) ? 20 : 40;
  const Array near = minimum(x, bound), far = maximum(x, bound);
  struct Sum {
    Array term, sum;
  };
  Sum s{near, near};
  s = fori_loop(
      2, single(x) ? 64 : 130,
      [&](Array i, Sum t) {
        const Array k = i.astype(x.dtype());
        t.term = t.term * (near / k);
        t.sum = t.sum + t.term / k;
        return t;
      },
      s);
  Sum r{ones_like(x), ones_like(x)};
  r = fori_loop(
      1, int(bound),
      [&](Array i, Sum t) {
        t.term = t.term * (i.astype(x.dtype()) / far);
        t.sum = t.sum + t.term;
        return t;
      },
      r);
  return where(x <= bound, (std::numbers::egamma + log(near)) + s.sum, exp(far) / far * r.sum);
}
Array expi_custom(const Array& x0) {
  static const auto f = custom_jvp(
      [](Array x) {
        const Array left = x < 0;
        const Array y =
            where(left, -expn_of(ones_like(x), where(left, -x, 1)), expi_right(where(x > 0, x, 1)));
        return where(isnan(x), kNan, where(x == 0, -kInf, where(x == kInf, kInf, y)));
      },
      [](Array x, Array dx) { return std::pair(expi_custom(x), dx * (exp(x) / x)); }, "expi");
  return f(x0);
}
// B_n; even n >= 2 by zeta(n).
double bernoulli_number(std::int64_t n) {
  if (n == 0) return 1;
  if (n == 1) return -0.5;
  if (n % 2) return 0;
  long double zeta = 1;
  for (int k = 2; k < 60; ++k) zeta += std::pow((long double)k, -(long double)n);
  if (n == 2) return 1. / 6;
  if (n == 4) return -1. / 30;
  if (n == 6) return 1. / 42;
  if (n == 8) return -1. / 30;
  const long double two_pi = 2 * std::numbers::pi_v<long double>;
  long double y = 2 * zeta;
  for (std::int64_t k = 1; k <= n; ++k) y *= (long double)k / two_pi;
  return double(n % 4 ? y : -y);
}
}  // namespace
Array expn(const Operand& n0, const Operand& x0) {
  const auto v = real_operands("expn", {&n0, &x0});
  UserLine line(x0.loc);
  return expn_custom(v[0], v[1]);
}
Array exp1(const Operand& x0) {
  const Array x = real_operands("exp1", {&x0})[0];
  UserLine line(x0.loc);
  return expn_custom(ones_like(x), x);
}
Array expi(const Operand& x0) {
  const Array x = real_operands("expi", {&x0})[0];
  UserLine line(x0.loc);
  return expi_custom(x);
}
// With u = -log(z), Li2(1 - z) is the sum of B_k u^(k + 1) / (k + 1)!; outside of [1/2, 2] Euler's and Landen's relations.
Array spence(const Operand& z0) {
  const Array z = real_operands("spence", {&z0})[0];
  UserLine line(z0.loc);
  const Array great = z > 2, small = z < 0.5, outside = logical_or(great, small);
  const Array y = where(great, 1 / where(great, z, 1), where(outside, z, 0));  // < 1/2
  const Array u = -log(where(outside, 1 - y, z));
  static constexpr double c[] = {1. / 36,
                                 -1. / 3600,
                                 1. / 211680,
                                 -1. / 10886400,
                                 1. / 526901760,
                                 -691. / 16999766784000.,
                                 1. / 1120863744000.,
                                 -3617. / 181400588328960000.,
                                 43867. / 97072790126247936000.};
  const Array u2 = square(u);
  const Array direct = u - 0.25 * u2 + u * u2 * polynomial(c, u2);
  const Array inside = logical_and(outside, y > 0);
  const Array ys = where(inside, y, 0.25);
  const Array reflected = kPi * kPi / 6 - where(inside, log(ys) * log1p(-ys), 0) - direct;
  const Array turned = -0.5 * square(log(where(great, z, 1))) - reflected;
  const Array value = where(great, turned, where(small, reflected, direct));
  return where(z >= 0, value, kNan);
}
Array bernoulli(std::int64_t n, DType d, Loc loc) {
  if (n < 0)
    fail("bernoulli: there is no number of index " + std::to_string(n) + ".", user_loc(loc),
         "E140");
  std::vector<double> v;
  for (std::int64_t k = 0; k <= n; ++k) v.push_back(bernoulli_number(k));
  return Array(v).astype(d, loc);
}

// ---- Logarithms of sums
namespace {
struct ScaledSum {
  Array sum, top;  // sum * exp(top), axes kept
  Dims axes;
};
ScaledSum scaled_sum(const char* op, const Array& x0, const Array& b0, const Axes& axes, Loc loc) {
  Array x = x0, b = b0;
  promote_inexact(op, x, b, loc);
  if (is_complex(x.dtype()))
    fail(std::string(op) + ": not for complex numbers; the operands are " + x.type()->str() + ".",
         user_loc(loc), "E76");
  const auto both = broadcast_arrays({x, b}, loc);
  const Dims reduced = axes_of(axes, both[0], op, loc);
  UserLine line(loc);
  // what is not counted cannot overflow
  const Array counted = where(both[1] == 0, -kInf, both[0]);
  Array top;
  bool empty = false;
  for (auto a : reduced) empty = empty || counted.shape()[std::size_t(a)] == 0;
  if (empty) {
    top = zeros_like(sum(counted, reduced, true));
  } else {
    const Array most = max(counted, reduced, true);
    top = lax::stop_gradient(where(isfinite(most), most, 0));
  }
  return {sum(both[1] * exp(counted - top), reduced, true), top, reduced};
}
}  // namespace
Array logsumexp(const Array& x, const Array& b, const Axes& axes, bool keepdims, Loc loc) {
  const ScaledSum s = scaled_sum("logsumexp", x, b, axes, loc);
  UserLine line(loc);
  const Array y = log(s.sum) + s.top;
  return keepdims ? y : squeeze(y, s.axes);
}
SignedLog signed_logsumexp(const Array& x, const Array& b, const Axes& axes, bool keepdims,
                           Loc loc) {
  const ScaledSum s = scaled_sum("signed_logsumexp", x, b, axes, loc);
  UserLine line(loc);
  const Array y = log(abs(s.sum)) + s.top, sign_of = sign(s.sum);
  if (keepdims) return {y, sign_of};
  return {squeeze(y, s.axes), squeeze(sign_of, s.axes)};
}

}  // namespace jaxpp
