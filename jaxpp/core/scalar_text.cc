// scalar_text.cc -- exact text of numbers.  Floats print the fewest digits that read back as the same value, laid out as
// Python does (fixed from 1e-4 up to 1e16).  A NaN that is not the usual one shows its bits.
#include "jaxpp/core/scalar_text.h"
#include <charconv>
#include <cmath>
#include <cstring>
#include <limits>

namespace jaxpp::internal {
namespace {
template <class T>
T load(const void* p) {
  T v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

// digits and exponent of "d.ddde+XX", laid out as Python's repr
std::string lay_out(std::string_view scientific, bool point_zero) {
  std::string sign;
  if (scientific[0] == '-') {
    sign = "-";
    scientific.remove_prefix(1);
  }
  const std::size_t e = scientific.find('e');
  std::string digits(scientific.substr(0, 1));
  if (e > 2) digits += scientific.substr(2, e - 2);
  int exponent = 0;
  const std::string_view x = scientific.substr(e + 1);
  std::from_chars(x.data() + (x[0] == '+'), x.data() + x.size(), exponent);
  const int n = int(digits.size());
  if (exponent < -4 || exponent >= 16) {
    std::string m = digits.substr(0, 1);
    if (n > 1) m += "." + digits.substr(1);
    std::string abs = std::to_string(std::abs(exponent));
    if (abs.size() < 2) abs.insert(0, "0");
    return sign + m + (exponent < 0 ? "e-" : "e+") + abs;
  }
  if (exponent < 0) return sign + "0." + std::string(std::size_t(-exponent - 1), '0') + digits;
  if (n <= exponent + 1)
    return sign + digits + std::string(std::size_t(exponent + 1 - n), '0') +
           (point_zero ? ".0" : "");
  return sign + digits.substr(0, std::size_t(exponent + 1)) + "." +
         digits.substr(std::size_t(exponent + 1));
}
template <class T>
std::string shortest(T v, bool point_zero) {
  if (std::isnan(v)) return "nan";
  if (std::isinf(v)) return v < 0 ? "-inf" : "inf";
  char b[64];
  auto r = std::to_chars(b, b + sizeof b, v, std::chars_format::scientific);
  return lay_out({b, std::size_t(r.ptr - b)}, point_zero);
}
std::string nan_bits(std::uint64_t bits) {
  char b[24];
  auto r = std::to_chars(b, b + sizeof b, bits, 16);
  return "nan(0x" + std::string(b, r.ptr) + ")";
}
template <class T, class Bits>
std::string real_text(const void* p) {
  const T v = load<T>(p);
  if (std::isnan(v)) {
    const Bits bits = load<Bits>(p);
    if (bits != std::bit_cast<Bits>(std::numeric_limits<T>::quiet_NaN())) return nan_bits(bits);
  }
  return shortest(v, true);
}
// Few digits are enough for a half: the first count that reads back.
template <class H>
std::string half_text(const void* p) {
  const H h = load<H>(p);
  const float v = float(h);
  if (std::isnan(v))
    return h.bits == H(std::numeric_limits<float>::quiet_NaN()).bits ? "nan" : nan_bits(h.bits);
  if (std::isinf(v)) return v < 0 ? "-inf" : "inf";
  for (int digits = 0; digits < 9; ++digits) {
    char b[64];
    auto r = std::to_chars(b, b + sizeof b, v, std::chars_format::scientific, digits);
    std::string s = lay_out({b, std::size_t(r.ptr - b)}, true);
    H back;
    if (parse_scalar(s, dtype_of<H>, &back) && back.bits == h.bits) return s;
  }
  return shortest(v, true);
}
std::string element_text(DType d, const void* p) {
  switch (d) {
    case DType::b1: return load<std::uint8_t>(p) ? "True" : "False";
    case DType::i8: return std::to_string(load<std::int8_t>(p));
    case DType::i16: return std::to_string(load<std::int16_t>(p));
    case DType::i32: return std::to_string(load<std::int32_t>(p));
    case DType::i64: return std::to_string(load<std::int64_t>(p));
    case DType::u8: return std::to_string(load<std::uint8_t>(p));
    case DType::u16: return std::to_string(load<std::uint16_t>(p));
    case DType::u32: return std::to_string(load<std::uint32_t>(p));
    case DType::u64: return std::to_string(load<std::uint64_t>(p));
    case DType::f16: return half_text<float16>(p);
    case DType::bf16: return half_text<bfloat16>(p);
    case DType::f32: return real_text<float, std::uint32_t>(p);
    case DType::f64: return real_text<double, std::uint64_t>(p);
    case DType::c64:
    case DType::c128: break;
  }
  const DType part = real_of(d);
  std::string re = element_text(part, p),
              im = element_text(part, static_cast<const char*>(p) + width(part));
  return re + (im[0] == '-' ? "" : "+") + im + "j";
}

bool parse_nan_bits(std::string_view s, std::uint64_t& bits) {
  if (s.size() < 8 || s.substr(0, 6) != "nan(0x" || s.back() != ')') return false;
  auto r = std::from_chars(s.data() + 6, s.data() + s.size() - 1, bits, 16);
  return r.ec == std::errc() && r.ptr == s.data() + s.size() - 1;
}
template <class T>
bool read_whole(std::string_view s, T& v) {
  if (s.empty()) return false;
  auto r = std::from_chars(s.data(), s.data() + s.size(), v);
  return r.ec == std::errc() && r.ptr == s.data() + s.size();
}
template <class T, class Bits>
bool parse_real(std::string_view s, void* out) {
  std::uint64_t bits = 0;
  T v = 0;
  if (parse_nan_bits(s, bits)) {
    v = std::bit_cast<T>(Bits(bits));
    if (bits != Bits(bits) || !std::isnan(v)) return false;
    std::memcpy(out, &bits,
                sizeof(Bits));  // little-endian; a copy through T could quieten a signalling NaN
    return true;
  }
  if (s == "nan")
    v = std::numeric_limits<T>::quiet_NaN();
  else if (s.find("nan") != s.npos || !read_whole(s, v))
    return false;
  std::memcpy(out, &v, sizeof v);
  return true;
}
template <class H>
bool parse_half(std::string_view s, void* out) {
  H h;
  float v = 0;
  std::uint64_t bits = 0;
  if (parse_nan_bits(s, bits)) {
    h.bits = std::uint16_t(bits);
    if (bits != h.bits || !std::isnan(float(h))) return false;
  } else if (parse_real<float, std::uint32_t>(s, &v)) {
    h = H(v);
  } else {
    return false;
  }
  std::memcpy(out, &h, sizeof h);
  return true;
}
template <class T>
bool parse_int(std::string_view s, void* out) {
  T v = 0;
  if (!read_whole(s, v)) return false;
  std::memcpy(out, &v, sizeof v);
  return true;
}
// The sign that starts the imaginary part: the last one that is not an exponent's.
std::size_t imaginary_sign(std::string_view s) {
  for (std::size_t i = s.size(); i-- > 1;)
    if ((s[i] == '+' || s[i] == '-') && s[i - 1] != 'e') return i;
  return 0;
}
}  // namespace

std::string scalar_text(DType d, const void* p) { return element_text(d, p); }
std::string double_text(double v) { return shortest(v, true); }

std::string python_text(DType d, const void* p) {
  if (is_float(d)) {
    const double v = d == DType::f64   ? load<double>(p)
                     : d == DType::f32 ? double(load<float>(p))
                     : d == DType::f16 ? double(float(load<float16>(p)))
                                       : double(float(load<bfloat16>(p)));
    return shortest(v, true);
  }
  if (!is_complex(d)) return element_text(d, p);
  const std::complex<double> z = d == DType::c128
                                     ? load<std::complex<double>>(p)
                                     : std::complex<double>(load<std::complex<float>>(p));
  const std::string im = shortest(z.imag(), false) + "j";
  if (z.real() == 0 && !std::signbit(z.real())) return im;
  return "(" + shortest(z.real(), false) + (im[0] == '-' ? "" : "+") + im + ")";
}

bool parse_scalar(std::string_view s, DType d, void* out) {
  switch (d) {
    case DType::b1: {
      if (s != "True" && s != "False") return false;
      const std::uint8_t v = s == "True";
      std::memcpy(out, &v, 1);
      return true;
    }
    case DType::i8: return parse_int<std::int8_t>(s, out);
    case DType::i16: return parse_int<std::int16_t>(s, out);
    case DType::i32: return parse_int<std::int32_t>(s, out);
    case DType::i64: return parse_int<std::int64_t>(s, out);
    case DType::u8: return parse_int<std::uint8_t>(s, out);
    case DType::u16: return parse_int<std::uint16_t>(s, out);
    case DType::u32: return parse_int<std::uint32_t>(s, out);
    case DType::u64: return parse_int<std::uint64_t>(s, out);
    case DType::f16: return parse_half<float16>(s, out);
    case DType::bf16: return parse_half<bfloat16>(s, out);
    case DType::f32: return parse_real<float, std::uint32_t>(s, out);
    case DType::f64: return parse_real<double, std::uint64_t>(s, out);
    case DType::c64:
    case DType::c128: break;
  }
  const DType part = real_of(d);
  std::string_view re = s, im = "0";
  if (!s.empty() && s.back() == 'j') {
    const std::size_t cut = imaginary_sign(s);
    im = s.substr(cut, s.size() - cut - 1);
    re = cut ? s.substr(0, cut) : "0";
    if (!im.empty() && im[0] == '+') im.remove_prefix(1);
  }
  return parse_scalar(re, part, out) &&
         parse_scalar(im, part, static_cast<char*>(out) + width(part));
}

}  // namespace jaxpp::internal
