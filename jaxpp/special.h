// special.h -- more special functions, named as in jax.scipy.special; the common ones are in math.h.
//
//   Array tail = log_ndtr(-40.);                       // -804.6: the tail itself is 0 in f32
//   Array q = ndtri(Array{0.025, 0.975});              // -1.96, 1.96
//   auto [log, sign] = signed_logsumexp(x, weights, 0);
//
// Operands broadcast and are promoted as in math.h; integers become floats, complex numbers are refused.  Everything is a
// composition of its functions: it works under every transform, with derivatives of every order unless said otherwise.
#pragma once
#include "jaxpp/math.h"

namespace jaxpp {

// ---- The normal distribution, and error functions

/// The share of the standard normal distribution below x.  In the left tail the relative error grows as x * x.
Array ndtr(const Operand& x);
/// log(ndtr(x)), to a few ulp for x <= 1; beyond, where it vanishes, as precise as erfc.   log_ndtr(-40.) == -804.608442
Array log_ndtr(const Operand& x);
/// The inverse of ndtr; -inf at 0, inf at 1, NaN outside of [0, 1].
Array ndtri(const Operand& p);
/// exp(x * x) * erfc(x), which neither underflows nor overflows for x >= 0.
Array erfcx(const Operand& x);

// ---- Gamma and beta functions

/// The gamma function; NaN at the negative integers, infinite at 0.
Array gamma(const Operand& x);
/// Its sign: -1 or 1, NaN at the negative integers.
Array gammasgn(const Operand& x);
/// log(gamma(x)); NaN for x <= 0, where lgamma gives log|gamma(x)|.
Array loggamma(const Operand& x);
/// The logarithm of |beta(a, b)|, without cancellation for great a or b; and the beta function gamma(a) gamma(b) / gamma(a + b).
Array betaln(const Operand& a, const Operand& b);
Array beta(const Operand& a, const Operand& b);
/// The logarithm of the multivariate gamma function of dimension d >= 1:
/// d (d - 1) / 4 log(pi) + the sum of lgamma(a - j / 2) over 0 <= j < d.
Array multigammaln(const Operand& a, std::int64_t d);
/// n! = gamma(n + 1); 0 for n < 0.
Array factorial(const Operand& n);
/// The number of ways to choose k of n things, with or without repetition; 0 where there is none.
Array comb(const Operand& n, const Operand& k, bool repetition = false);
/// gamma(z + m) / gamma(z), the rising factorial.
Array poch(const Operand& z, const Operand& m);

// ---- Entropies and power transforms

/// -x log(x); 0 at 0, -inf for x < 0.
Array entr(const Operand& x);
/// p log(p / q); 0 where p = 0 and q >= 0, inf where p or q is out of range.  kl_div: less p, plus q.
Array rel_entr(const Operand& p, const Operand& q);
Array kl_div(const Operand& p, const Operand& q);
/// (x^lambda - 1) / lambda, log(x) for lambda = 0; boxcox1p: of 1 + x.
Array boxcox(const Operand& x, const Operand& lambda);
Array boxcox1p(const Operand& x, const Operand& lambda);

// ---- Exponential integrals, dilogarithm

/// The integral of exp(-x t) / t^n over t >= 1, for integers n >= 0 and x >= 0; differentiable in x.
Array expn(const Operand& n, const Operand& x);
/// expn(1, x).
Array exp1(const Operand& x);
/// The principal value of the integral of exp(t) / t from -inf to x.
Array expi(const Operand& x);
/// The dilogarithm Li2(1 - z) = -(the integral of log(t) / (t - 1) from 1 to z), z >= 0.
Array spence(const Operand& z);
/// The Bernoulli numbers B_0, ..., B_n, with B_1 = -1/2.
Array bernoulli(std::int64_t n, DType = default_dtype(), Loc = Loc::current());

// ---- Logarithms of sums

/// log(sum(b * exp(x))) over axes, which broadcast; NaN where the sum is negative.
Array logsumexp(const Array& x, const Array& b, const Axes& axes, bool keepdims = false,
                Loc = Loc::current());
/// log|sum(b * exp(x))| and the sign of the sum: -1, 0 or 1.
struct SignedLog {
  Array log, sign;
};
SignedLog signed_logsumexp(const Array& x, const Array& b = 1, const Axes& axes = Axes::every(),
                           bool keepdims = false, Loc = Loc::current());

}  // namespace jaxpp
