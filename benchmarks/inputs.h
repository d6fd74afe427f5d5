// inputs.h -- inputs and checksums of workloads.md: exact functions of an index, the same bits in every language.
#pragma once
#include <cmath>
#include <cstdint>
#include <span>
#include <vector>
#include "jaxpp/jaxpp.h"

namespace bench {

constexpr std::uint64_t mix(std::uint64_t z) {
  z += 0x9E3779B97F4A7C15;
  z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9;
  z = (z ^ z >> 27) * 0x94D049BB133111EB;
  return z ^ z >> 31;
}
/// U(seed, i) in [0, 1): exact in f32 and f64.
constexpr double unit(std::uint64_t seed, std::uint64_t i) {
  return double(mix((seed << 32) + i) >> 40) * 0x1p-24;
}
constexpr double random(std::uint64_t seed, std::uint64_t i) { return 2 * unit(seed, i) - 1; }

/// fn(i) for every flat index, evaluated in double and rounded once to T.
template <class T, class F>
jaxpp::Array fill(const jaxpp::Shape& shape, F fn) {
  std::int64_t n = 1;
  for (std::int64_t d : shape) n *= d;
  std::vector<T> v(static_cast<std::size_t>(n));
  for (std::size_t i = 0; i < v.size(); ++i) v[i] = T(fn(i));
  return jaxpp::Array(std::span<const T>(v), shape);
}
/// low + scale * R(seed, shape).   affine(21, {n}, 100, 20)
template <class T = float>
jaxpp::Array affine(std::uint64_t seed, const jaxpp::Shape& shape, double low, double scale) {
  return fill<T>(shape, [=](std::size_t i) { return low + scale * random(seed, i); });
}
/// R(seed, shape).
template <class T = float>
jaxpp::Array random_array(std::uint64_t seed, const jaxpp::Shape& shape) {
  return affine<T>(seed, shape, 0, 1);
}
/// The weights of a layer: R(seed, (in, out)) / sqrt(in).
inline jaxpp::Array dense(std::uint64_t seed, std::int64_t in, std::int64_t out) {
  return affine(seed, {in, out}, 0, std::pow(double(in), -0.5));
}
/// floor(limit * U(seed, i)): indices below limit.
inline jaxpp::Array random_indices(std::uint64_t seed, std::int64_t n, std::int64_t limit) {
  return fill<std::int32_t>({n}, [=](std::size_t i) { return std::floor(unit(seed, i) * limit); });
}
/// i mod classes.
inline jaxpp::Array labels(std::int64_t n, std::int64_t classes) {
  return fill<std::int32_t>({n}, [=](std::size_t i) { return double(i % std::size_t(classes)); });
}

struct Checksum {
  double sum = 0, scale = 0;
};
Checksum checksum(const std::vector<jaxpp::Array>& outputs);

}  // namespace bench
