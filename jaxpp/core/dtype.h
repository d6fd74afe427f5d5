// dtype.h -- element types: the enumeration, its constants (f32, i64, ...), and the C++ types behind them.
//
// Half precision has no arithmetic of its own: float16 and bfloat16 are storage formats, computed in float.
#pragma once
#include <bit>
#include <complex>
#include <cstdint>
#include <type_traits>

namespace jaxpp {

enum class DType : std::uint8_t {
  b1,
  i8,
  i16,
  i32,
  i64,
  u8,
  u16,
  u32,
  u64,
  f16,
  bf16,
  f32,
  f64,
  c64,
  c128
};
inline constexpr int kNumDTypes = 15;
inline constexpr DType b1 = DType::b1, i8 = DType::i8, i16 = DType::i16, i32 = DType::i32,
                       i64 = DType::i64, u8 = DType::u8, u16 = DType::u16, u32 = DType::u32,
                       u64 = DType::u64, f16 = DType::f16, bf16 = DType::bf16, f32 = DType::f32,
                       f64 = DType::f64, c64 = DType::c64, c128 = DType::c128;

constexpr std::size_t width(DType d) {  // bytes of one element
  constexpr std::uint8_t w[] = {1, 1, 2, 4, 8, 1, 2, 4, 8, 2, 2, 4, 8, 8, 16};
  return w[int(d)];
}
constexpr bool is_bool(DType d) { return d == DType::b1; }
constexpr bool is_signed(DType d) { return d >= DType::i8 && d <= DType::i64; }
constexpr bool is_unsigned(DType d) { return d >= DType::u8 && d <= DType::u64; }
constexpr bool is_integer(DType d) { return d >= DType::i8 && d <= DType::u64; }
constexpr bool is_float(DType d) { return d >= DType::f16 && d <= DType::f64; }
constexpr bool is_complex(DType d) { return d >= DType::c64; }
constexpr bool is_inexact(DType d) { return d >= DType::f16; }  // what can carry a tangent
constexpr DType real_of(DType d) {
  return d == DType::c64 ? DType::f32 : d == DType::c128 ? DType::f64 : d;
}
constexpr DType complex_of(DType d) {
  return d == DType::f64 || d == DType::c128 ? DType::c128 : DType::c64;
}
const char* name(DType);        // "f32", as in a printed jaxpr
const char* numpy_name(DType);  // "float32", as in a printed parameter
/// The common type of two strong types: JAX's promotion lattice with 64-bit types on.
DType promote_types(DType, DType);

/// IEEE half precision and bfloat16, as storage.
struct float16 {
  std::uint16_t bits = 0;
  float16() = default;
  explicit float16(float v);
  explicit operator float() const;
};
struct bfloat16 {
  std::uint16_t bits = 0;
  bfloat16() = default;
  explicit bfloat16(float v) {
    std::uint32_t u = std::bit_cast<std::uint32_t>(v);
    bits = (u & 0x7fffffffu) > 0x7f800000u ? std::uint16_t(u >> 16 | 0x40)  // a NaN stays one
                                           : std::uint16_t((u + 0x7fffu + (u >> 16 & 1)) >> 16);
  }
  explicit operator float() const { return std::bit_cast<float>(std::uint32_t(bits) << 16); }
};

template <class T>
inline constexpr bool is_complex_type = false;
template <class T>
inline constexpr bool is_complex_type<std::complex<T>> = true;
template <class T>
inline constexpr bool is_half = std::is_same_v<T, float16> || std::is_same_v<T, bfloat16>;

/// C++ numbers that may stand where an Array is expected.
namespace internal {
template <class T>
concept Scalar =
    std::is_arithmetic_v<T> || std::is_same_v<T, float16> || std::is_same_v<T, bfloat16> ||
    std::is_same_v<T, std::complex<float>> || std::is_same_v<T, std::complex<double>>;
}  // namespace internal

/// The element type of a C++ type: int is i32, long i64, double f64.
template <internal::Scalar T>
inline constexpr DType dtype_of = [] {
  if constexpr (std::is_same_v<T, bool>)
    return DType::b1;
  else if constexpr (std::is_integral_v<T>) {
    constexpr int k = sizeof(T) == 1 ? 0 : sizeof(T) == 2 ? 1 : sizeof(T) == 4 ? 2 : 3;
    return DType((std::is_signed_v<T> ? int(DType::i8) : int(DType::u8)) + k);
  } else if constexpr (std::is_same_v<T, float16>)
    return DType::f16;
  else if constexpr (std::is_same_v<T, bfloat16>)
    return DType::bf16;
  else if constexpr (std::is_same_v<T, float>)
    return DType::f32;
  else if constexpr (std::is_same_v<T, std::complex<float>>)
    return DType::c64;
  else if constexpr (std::is_same_v<T, std::complex<double>>)
    return DType::c128;
  else
    return DType::f64;
}();

}  // namespace jaxpp
