// half.h -- IEEE half precision as bits: conversions without branches, so that loops over them
// vectorize.
#pragma once
#include <bit>
#include <cstdint>

namespace jaxpp::internal {

inline float half_to_float(std::uint16_t h) {
  const std::uint32_t sign = std::uint32_t(h & 0x8000u) << 16,
                      magnitude = std::uint32_t(h & 0x7fffu) << 13;
  // Exponent and mantissa are in place, 2^112 too small; subnormals come out right as well.
  const std::uint32_t finite =
      std::bit_cast<std::uint32_t>(std::bit_cast<float>(magnitude) * 0x1p112f);
  const std::uint32_t special = magnitude | 0x7f800000u;  // infinity, NaN
  return std::bit_cast<float>(sign | (magnitude >= 0x0f800000u ? special : finite));
}

/// Rounds to nearest even.
inline std::uint16_t float_to_half(float v) {
  const std::uint32_t u = std::bit_cast<std::uint32_t>(v), magnitude = u & 0x7fffffffu;
  // Normal: rebias the exponent, round the mantissa.
  const std::uint32_t normal = (magnitude - (112u << 23) + 0xfffu + (magnitude >> 13 & 1)) >> 13;
  // Subnormal: adding 0.5 aligns the units, and the hardware rounds.
  const std::uint32_t tiny =
      std::bit_cast<std::uint32_t>(std::bit_cast<float>(magnitude) + 0.5f) - 0x3f000000u;
  const std::uint32_t nan = 0x7e00u | (magnitude >> 13 & 0x3ffu);
  const std::uint32_t large =
      magnitude > 0x7f800000u ? nan : 0x7c00u;  // 65520 and above round to infinity
  const std::uint32_t finite = magnitude >= 0x38800000u ? normal : tiny;
  return std::uint16_t((u >> 16 & 0x8000u) | (magnitude >= 0x477ff000u ? large : finite));
}

}  // namespace jaxpp::internal
