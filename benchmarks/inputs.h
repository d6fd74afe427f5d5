// inputs.h -- inputs and checksums of workloads.md: exact functions of an index, the same bits in every language.
#pragma once
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
/// R(seed, shape) in f32.
inline jaxpp::Array random_array(std::uint64_t seed, const jaxpp::Shape& shape) {
  return fill<float>(shape, [=](std::size_t i) { return random(seed, i); });
}

struct Checksum {
  double sum = 0, scale = 0;
};
Checksum checksum(const std::vector<jaxpp::Array>& outputs);

}  // namespace bench
