// dtype.cc -- names of element types, and JAX's promotion lattice (64-bit types on, strong types
// only).
#include "jaxpp/core/dtype.h"

#include <algorithm>

#include "jaxpp/core/half.h"

namespace jaxpp {

const char* name(DType d) {
  static constexpr const char* n[] = {"bool", "i8",  "i16",  "i32", "i64", "u8",  "u16", "u32",
                                      "u64",  "f16", "bf16", "f32", "f64", "c64", "c128"};
  return n[int(d)];
}
const char* numpy_name(DType d) {
  static constexpr const char* n[] = {"bool",     "int8",    "int16",   "int32",     "int64",
                                      "uint8",    "uint16",  "uint32",  "uint64",    "float16",
                                      "bfloat16", "float32", "float64", "complex64", "complex128"};
  return n[int(d)];
}

namespace {
// Signed and unsigned meet in the smallest signed type that holds both; beyond 64 bits that is a
// float.
DType promote_integers(DType a, DType b) {
  if (is_signed(a) == is_signed(b)) return std::max(a, b);
  const DType s = is_signed(a) ? a : b, u = is_signed(a) ? b : a;
  if (width(s) > width(u)) return s;
  switch (u) {
    case DType::u8: return DType::i16;
    case DType::u16: return DType::i32;
    case DType::u32: return DType::i64;
    default: return DType::f64;
  }
}
DType promote_floats(DType a, DType b) {  // f16 and bf16 hold different numbers: both fit into f32
  if (width(a) == 2 && width(b) == 2 && a != b) return DType::f32;
  return std::max(a, b);
}
}  // namespace

DType promote_types(DType a, DType b) {
  if (a == b) return a;
  if (is_bool(a)) return b;
  if (is_bool(b)) return a;
  if (is_integer(a) && is_integer(b)) return promote_integers(a, b);
  if (is_integer(a)) return b;  // however wide: JAX promotes i64 and bf16 to bf16
  if (is_integer(b)) return a;
  const DType real = promote_floats(real_of(a), real_of(b));
  return is_complex(a) || is_complex(b) ? complex_of(real) : real;
}

float16::float16(float v) : bits(internal::float_to_half(v)) {}
float16::operator float() const { return internal::half_to_float(bits); }

}  // namespace jaxpp
