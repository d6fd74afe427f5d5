// random.h -- jaxpp::random: random numbers as pure functions of a key.
//
//   random::Key key = random::key(0);
//   auto [k1, k2] = random::split(key);            // use each key once
//   Array x = random::normal(k1, {3, 4});          // the same key gives the same numbers, always and everywhere
//   auto rows = vmap([](random::Key k) { return random::uniform(k, {5}); })(random::split(k2, 100));
//
// The generator is threefry2x32 in counter mode, with the counters of jax.random: keys, splits, bits, uniform numbers and
// integers agree bit for bit with JAX, what is computed from them up to rounding.  All of it traces.
#pragma once
#include "jaxpp/math.h"

namespace jaxpp::random {

/// A key: u32[2].  A batch of keys (from split(key, n)) has leading axes, which vmap takes off.
struct Key {
  Array data;
  /// One of a batch of keys.
  Key operator[](std::int64_t i) const { return {data(i)}; }
};

/// The key of a seed.  A seed array must be an integer scalar, and may be traced.
Key key(std::uint64_t seed, Loc = Loc::current());
Key key(const Array& seed, Loc = Loc::current());

/// key(seed), by JAX's older name.
Key PRNGKey(std::uint64_t seed, Loc = Loc::current());

/// The numbers of a key, or of a batch of keys, u32[..., 2]; and a key of such numbers.
Array key_data(const Key& key);
Key wrap_key_data(const Array& data, Loc = Loc::current());
/// The same key: to say that it is used again on purpose.
Key clone(const Key& key);

/// n new keys, as a batch.  Neither they nor anything drawn from them depend on each other or on draws from `key`.
Key split(const Key& key, std::int64_t n, Loc = Loc::current());
/// A batch of any shape.   split(key, {2, 3}) is u32[2, 3, 2]
Key split(const Key& key, const Shape& shape, Loc = Loc::current());
/// N new keys:   auto [k1, k2] = split(key);   auto [a, b, c] = split<3>(key);
template <std::size_t N = 2>
std::array<Key, N> split(const Key& key, Loc loc = Loc::current()) {
  const Key batch = split(key, std::int64_t(N), loc);
  std::array<Key, N> keys;
  for (std::size_t i = 0; i < N; ++i) keys[i] = batch[std::int64_t(i)];
  return keys;
}
/// A new key from a key and an integer (scalar, may be traced): keys for the steps of a loop.
Key fold_in(const Key& key, const Array& data, Loc = Loc::current());

/// Random bits: u8, u16, u32 or u64.
Array bits(const Key& key, const Shape& shape = {}, DType dtype = u32, Loc = Loc::current());
/// Uniform in [minval, maxval), which broadcast to `shape`.
Array uniform(const Key& key, const Shape& shape = {}, DType dtype = default_dtype(),
              const Array& minval = 0, const Array& maxval = 1, Loc = Loc::current());
/// Integers, uniform in [minval, maxval), which broadcast to `shape`.   randint(key, {10}, 0, 6)
Array randint(const Key& key, const Shape& shape, const Array& minval, const Array& maxval,
              DType dtype = i32, Loc = Loc::current());
/// The standard normal distribution; complex numbers have variance 1 in all.
Array normal(const Key& key, const Shape& shape = {}, DType dtype = default_dtype(),
             Loc = Loc::current());
/// The standard normal distribution restricted to (lower, upper), which broadcast to `shape`.
Array truncated_normal(const Key& key, const Array& lower, const Array& upper,
                       const Shape& shape = {}, DType dtype = default_dtype(),
                       Loc = Loc::current());
/// True with probability p.
Array bernoulli(const Key& key, double p = 0.5, const Shape& shape = {}, Loc = Loc::current());
/// True with the probabilities p, which broadcast to `shape`; without one, the shape is p's.
Array bernoulli(const Key& key, const Array& p, Loc = Loc::current());
Array bernoulli(const Key& key, const Array& p, const Shape& shape, Loc = Loc::current());
/// The exponential distribution of rate 1.
Array exponential(const Key& key, const Shape& shape = {}, DType dtype = default_dtype(),
                  Loc = Loc::current());
/// The Gumbel distribution: the maximum of logits + gumbel is at k with probability softmax(logits)[k].
Array gumbel(const Key& key, const Shape& shape = {}, DType dtype = default_dtype(),
             Loc = Loc::current());
/// The Laplace distribution of scale 1.
Array laplace(const Key& key, const Shape& shape = {}, DType dtype = default_dtype(),
              Loc = Loc::current());
/// The logistic distribution.
Array logistic(const Key& key, const Shape& shape = {}, DType dtype = default_dtype(),
               Loc = Loc::current());
/// The Cauchy distribution.
Array cauchy(const Key& key, const Shape& shape = {}, DType dtype = default_dtype(),
             Loc = Loc::current());
/// -1 or 1.
Array rademacher(const Key& key, const Shape& shape = {}, DType dtype = i32, Loc = Loc::current());

/// Indices (i32) drawn with probabilities softmax(logits) along an axis, which the result lacks.
Array categorical(const Key& key, const Array& logits, int axis = -1, Loc = Loc::current());
/// The same with a result of `shape`, which ends in the shape of logits without the axis (or broadcasts from it).  Without
/// replacement, the draws along the leading axes of `shape` differ from each other.
Array categorical(const Key& key, const Array& logits, int axis, const Shape& shape,
                  bool replace = true, Loc = Loc::current());
/// 0, ..., n - 1 (i32) in random order.
Array permutation(const Key& key, std::int64_t n, Loc = Loc::current());
/// x in random order along an axis: as a whole, or every row along it by itself.
Array permutation(const Key& key, const Array& x, int axis = 0, bool independent = false,
                  Loc = Loc::current());
/// Elements of 0, ..., n - 1, or of x along an axis, in whose place `shape` comes: with or without repetition, with equal
/// probabilities or those in p (which need not sum to 1).
Array choice(const Key& key, std::int64_t n, const Shape& shape = {}, bool replace = true,
             const Array& p = {}, Loc = Loc::current());
Array choice(const Key& key, const Array& x, const Shape& shape = {}, bool replace = true,
             const Array& p = {}, int axis = 0, Loc = Loc::current());

// ---- Distributions with parameters
//
// Parameters broadcast, and are converted to `dtype`.  Samples are differentiable in the parameters, if they are continuous:
// where no formula leads from uniform numbers to the sample (gamma and what is made of it) by implicit differentiation,
// once.

/// The shape of samples; none is that of the parameters.   {}, {3, 4}
struct SampleShape {
  std::optional<Shape> shape;
  SampleShape() = default;
  SampleShape(const Shape& s) : shape(s) {}
  SampleShape(std::initializer_list<std::int64_t> s) : shape(Shape(s)) {}
};

/// The gamma distribution of shape a and scale 1: density x^(a - 1) exp(-x) / gamma(a).  loggamma: the logarithm, precise
/// where small a make the sample underflow.
Array gamma(const Key& key, const Array& a, const SampleShape& shape = {},
            DType dtype = default_dtype(), Loc = Loc::current());
Array loggamma(const Key& key, const Array& a, const SampleShape& shape = {},
               DType dtype = default_dtype(), Loc = Loc::current());
/// The beta distribution: density proportional to x^(a - 1) (1 - x)^(b - 1).
Array beta(const Key& key, const Array& a, const Array& b, const SampleShape& shape = {},
           DType dtype = default_dtype(), Loc = Loc::current());
/// The sum of the squares of df normal numbers; and a quotient of two such means.
Array chisquare(const Key& key, const Array& df, const SampleShape& shape = {},
                DType dtype = default_dtype(), Loc = Loc::current());
Array f(const Key& key, const Array& dfnum, const Array& dfden, const SampleShape& shape = {},
        DType dtype = default_dtype(), Loc = Loc::current());
/// Student's t distribution of df degrees of freedom.
Array t(const Key& key, const Array& df, const SampleShape& shape = {},
        DType dtype = default_dtype(), Loc = Loc::current());
/// Points of the simplex: alpha[..., k] gives [..., k], `shape` being without the last axis.
Array dirichlet(const Key& key, const Array& alpha, const SampleShape& shape = {},
                DType dtype = default_dtype(), Loc = Loc::current());
/// exp(sigma * normal).
Array lognormal(const Key& key, const Array& sigma = 1, const SampleShape& shape = {},
                DType dtype = default_dtype(), Loc = Loc::current());
/// The Pareto distribution on [1, inf): density b / x^(b + 1).
Array pareto(const Key& key, const Array& b, const SampleShape& shape = {},
             DType dtype = default_dtype(), Loc = Loc::current());
/// The length of a vector of two (rayleigh) or three (maxwell) normal numbers; the latter with a random sign.
Array rayleigh(const Key& key, const Array& scale, const SampleShape& shape = {},
               DType dtype = default_dtype(), Loc = Loc::current());
Array maxwell(const Key& key, const Shape& shape = {}, DType dtype = default_dtype(),
              Loc = Loc::current());
Array double_sided_maxwell(const Key& key, const Array& mean, const Array& scale,
                           const SampleShape& shape = {}, DType dtype = default_dtype(),
                           Loc = Loc::current());
/// The inverse Gaussian distribution of scale 1.
Array wald(const Key& key, const Array& mean, const SampleShape& shape = {},
           DType dtype = default_dtype(), Loc = Loc::current());
/// scale * exponential^(1 / concentration).
Array weibull_min(const Key& key, const Array& scale, const Array& concentration,
                  const SampleShape& shape = {}, DType dtype = default_dtype(),
                  Loc = Loc::current());
/// Density rising linearly from left to mode and falling to right.
Array triangular(const Key& key, const Array& left, const Array& mode, const Array& right,
                 const SampleShape& shape = {}, DType dtype = default_dtype(),
                 Loc = Loc::current());
/// Density proportional to exp(-|x|^p).
Array generalized_normal(const Key& key, const Array& p, const SampleShape& shape = {},
                         DType dtype = default_dtype(), Loc = Loc::current());
/// Uniform in the unit ball of dimension d in the norm of index p.   -> [shape..., d]
Array ball(const Key& key, std::int64_t d, double p = 2, const Shape& shape = {},
           DType dtype = default_dtype(), Loc = Loc::current());
/// Matrices with orthonormal columns (or rows), uniform among all, n x m (m < 0: n x n).   -> [shape..., n, m]
Array orthogonal(const Key& key, std::int64_t n, const Shape& shape = {},
                 DType dtype = default_dtype(), std::int64_t m = -1, Loc = Loc::current());
/// The normal distribution of a mean [..., n] and a covariance [..., n, n], whose square root is found by "cholesky", "eigh"
/// or "svd" (the latter two also for singular ones).   -> [shape..., n]
Array multivariate_normal(const Key& key, const Array& mean, const Array& cov,
                          const SampleShape& shape = {}, DType dtype = default_dtype(),
                          std::string_view method = "cholesky", Loc = Loc::current());

/// The Poisson distribution; -1 where lam is NaN or infinite.
Array poisson(const Key& key, const Array& lam, const SampleShape& shape = {}, DType dtype = i32,
              Loc = Loc::current());
/// The number of the first success, 1, 2, ..., of trials that succeed with probability p.
Array geometric(const Key& key, const Array& p, const SampleShape& shape = {}, DType dtype = i32,
                Loc = Loc::current());
/// The number of successes among n trials, as a float; NaN where n or p is invalid.
Array binomial(const Key& key, const Array& n, const Array& p, const SampleShape& shape = {},
               DType dtype = default_dtype(), Loc = Loc::current());
/// How n trials fall into k classes of probabilities p[..., k], as floats.   -> [..., k]
Array multinomial(const Key& key, const Array& n, const Array& p, const SampleShape& shape = {},
                  DType dtype = default_dtype(), Loc = Loc::current());

}  // namespace jaxpp::random
