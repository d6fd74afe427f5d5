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

/// n new keys, as a batch.  Neither they nor anything drawn from them depend on each other or on draws from `key`.
Key split(const Key& key, std::int64_t n, Loc = Loc::current());
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
/// The same with a result of `shape`, which ends in the shape of logits without the axis (or broadcasts from it).
Array categorical(const Key& key, const Array& logits, int axis, const Shape& shape,
                  Loc = Loc::current());
/// 0, ..., n - 1 (i32) in random order.
Array permutation(const Key& key, std::int64_t n, Loc = Loc::current());
/// x in random order along its first axis.
Array permutation(const Key& key, const Array& x, Loc = Loc::current());
/// Elements of 0, ..., n - 1, or of x along its first axis: `shape` of them, with or without repetition, with equal
/// probabilities or those in p (which need not sum to 1).
Array choice(const Key& key, std::int64_t n, const Shape& shape = {}, bool replace = true,
             const Array& p = {}, Loc = Loc::current());
Array choice(const Key& key, const Array& x, const Shape& shape = {}, bool replace = true,
             const Array& p = {}, Loc = Loc::current());

}  // namespace jaxpp::random
