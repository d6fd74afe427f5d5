// codegen_scalar.cc -- the code column of elementwise.def, with operands in place of x and y.
//
// The names in it are those of the prelude, which is the text that eager kernels are compiled from.
// Halves are computed in float and rounded after every operation.
#include "backends/cuda/codegen_scalar.h"
#include <charconv>
#include <cmath>
#include <cstring>
#include <stdexcept>
#include <unordered_map>
#include "jaxpp/ops/elementwise.h"
#include "jaxpp/ops/primitives.h"

namespace jaxpp::cuda {
namespace {

using namespace internal;

struct Row {
  const char* code;
  bool stored = false;      // works on the stored format of halves
  bool complex = true;      // has a device form for complex numbers
  bool elementary = false;  // libm's
  bool wraps = false;       // + and - of integers, which must wrap
};
using Rows = std::unordered_map<const Primitive*, Row>;

const Rows& rows() {
  static const Rows& all = *[] {
    auto* r = new Rows{
#define UNARY(id, name, doc, linear, domain, result, tangent, ...) {&id##_p, {#__VA_ARGS__}},
#define BINARY(id, name, doc, linear, domain, tangent_x, tangent_y, ...) {&id##_p, {#__VA_ARGS__}},
#define COMPARE(id, name, doc, domain, ...) {&id##_p, {#__VA_ARGS__}},
#include "jaxpp/ops/elementwise.def"
#undef UNARY
#undef BINARY
#undef COMPARE
    };
    for (auto* p : {&copy_p, &nextafter_p}) r->at(p).stored = true;
    for (auto* p : {&neg_p, &add_p, &sub_p, &add_any_p}) r->at(p).wraps = true;
    for (auto* p :
         {&exp_p,     &exp2_p,      &expm1_p, &log_p,  &log1p_p, &logistic_p, &sin_p,     &cos_p,
          &tan_p,     &asin_p,      &acos_p,  &atan_p, &sinh_p,  &cosh_p,     &tanh_p,    &asinh_p,
          &acosh_p,   &atanh_p,     &atan2_p, &pow_p,  &erf_p,   &erfc_p,     &erf_inv_p, &lgamma_p,
          &digamma_p, &polygamma_p, &zeta_p,  &cbrt_p, &rem_p,   &nextafter_p})
      r->at(p).elementary = true;
    for (auto& [p, row] : *r)
      if (row.elementary || p == &sqrt_p || p == &rsqrt_p) row.complex = false;
    return r;
  }();
  return all;
}

std::string shortest(double v, bool single) {
  char s[64];
  const auto end =
      single ? std::to_chars(s, s + sizeof s, float(v)) : std::to_chars(s, s + sizeof s, v);
  std::string t(s, end.ptr);
  if (t.find_first_of(".e") == t.npos) t += ".0";
  if (single) t += 'f';
  return t;
}
std::string floating(double v, bool single) {
  if (std::isfinite(v)) {
    const std::string s = shortest(v, single);
    return std::signbit(v) ? "(" + s + ")" : s;
  }
  if (std::isinf(v))
    return std::string(v < 0 ? "(-" : "") + "infinity<" + (single ? "float" : "double") + ">()" +
           (v < 0 ? ")" : "");
  return {};  // NaN: by its bits
}
template <class T>
T bits_of(const loops::Element& e, std::size_t at = 0) {
  T v;
  std::memcpy(&v, e.bits.data() + at, sizeof v);
  return v;
}
std::string hex(std::uint64_t v) {
  char s[32];
  const auto end = std::to_chars(s, s + sizeof s, v, 16);
  return "0x" + std::string(s, end.ptr);
}
std::string real_literal(DType d, const loops::Element& e, std::size_t at) {
  if (d == DType::f32) {
    const std::string s = floating(bits_of<float>(e, at), true);
    return s.empty() ? "bitcast<float>(" + hex(bits_of<std::uint32_t>(e, at)) + "u)" : s;
  }
  const std::string s = floating(bits_of<double>(e, at), false);
  return s.empty() ? "bitcast<double>(" + hex(bits_of<std::uint64_t>(e, at)) + "ull)" : s;
}

bool is_half_type(DType d) { return d == DType::f16 || d == DType::bf16; }

// `code` with the operands in place of the words x and y.
std::string substituted(std::string_view code,
                        const std::function<std::string(std::size_t)>& operand) {
  auto word = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; };
  std::string out;
  for (std::size_t i = 0; i < code.size();) {
    if (!word(code[i])) {
      out += code[i++];
      continue;
    }
    std::size_t end = i;
    while (end < code.size() && word(code[end])) ++end;
    const std::string_view w = code.substr(i, end - i);
    if (w == "x" || w == "y")
      out += operand(w == "y");
    else
      out += w;
    i = end;
  }
  return out;
}

}  // namespace

const char* type_name(DType d) {
  static constexpr const char* n[] = {"bool",
                                      "signed char",
                                      "short",
                                      "int",
                                      "long long",
                                      "unsigned char",
                                      "unsigned short",
                                      "unsigned int",
                                      "unsigned long long",
                                      "float16",
                                      "bfloat16",
                                      "float",
                                      "double",
                                      "Complex<float>",
                                      "Complex<double>"};
  return n[int(d)];
}

std::string literal(const loops::Element& e, bool computed) {
  switch (e.dtype) {
    case DType::b1: return bits_of<std::uint8_t>(e) ? "true" : "false";
    case DType::i8:
    case DType::i16:
    case DType::i32:
    case DType::i64: {
      const std::int64_t v = e.dtype == DType::i8    ? bits_of<std::int8_t>(e)
                             : e.dtype == DType::i16 ? bits_of<std::int16_t>(e)
                             : e.dtype == DType::i32 ? bits_of<std::int32_t>(e)
                                                     : bits_of<std::int64_t>(e);
      const std::string type = type_name(e.dtype);
      std::string s = e.dtype == DType::i64 && v == INT64_MIN ? "(-9223372036854775807ll - 1)"
                      : e.dtype == DType::i32 && v == INT32_MIN
                          ? "(-2147483647 - 1)"
                          : std::to_string(v) + (e.dtype == DType::i64 ? "ll" : "");
      if (e.dtype == DType::i8) return "(signed char)(" + s + ")";
      if (e.dtype == DType::i16) return "short(" + s + ")";
      return v < 0 && s[0] != '(' ? "(" + s + ")" : s;
    }
    case DType::u8: return "(unsigned char)(" + std::to_string(bits_of<std::uint8_t>(e)) + ")";
    case DType::u16: return "(unsigned short)(" + std::to_string(bits_of<std::uint16_t>(e)) + ")";
    case DType::u32: return std::to_string(bits_of<std::uint32_t>(e)) + "u";
    case DType::u64: return std::to_string(bits_of<std::uint64_t>(e)) + "ull";
    case DType::f16:
    case DType::bf16: {
      const auto bits = bits_of<std::uint16_t>(e);
      float16 h;
      h.bits = bits;
      bfloat16 b;
      b.bits = bits;
      const float v = e.dtype == DType::f16 ? float(h) : float(b);
      const std::string type = type_name(e.dtype), value = floating(v, true);
      if (value.empty()) {
        const std::string nan = "bitcast<" + type + ">((unsigned short)(" + hex(bits) + "))";
        return computed ? "compute(" + nan + ")" : nan;
      }
      return computed ? value : "store<" + type + ">(" + value + ")";
    }
    case DType::f32:
    case DType::f64: return real_literal(e.dtype, e, 0);
    case DType::c64:
    case DType::c128: {
      const DType r = real_of(e.dtype);
      return std::string(type_name(e.dtype)) + "{" + real_literal(r, e, 0) + ", " +
             real_literal(r, e, width(r)) + "}";
    }
  }
  return {};
}

const char* combiner_name(loops::Combine c) {
  static constexpr const char* n[] = {"", "Add", "Mul", "Max", "Min", "And", "Or", "Xor"};
  return n[int(c)];
}

bool is_elementary(const Primitive& p) {
  auto it = rows().find(&p);
  return it != rows().end() && it->second.elementary;
}

bool has_device_form(const loops::Let& l, const std::vector<DType>& operands) {
  const bool complex = is_complex(l.dtype) || (!operands.empty() && is_complex(operands[0]));
  if (auto it = rows().find(l.op); it != rows().end()) return it->second.complex || !complex;
  for (auto* p : {&select_n_p, &convert_element_type_p, &integer_pow_p, &bitcast_convert_type_p,
                  &stop_gradient_p, &complex_p, &real_p, &imag_p, &conj_p})
    if (l.op == p) return true;
  for (auto* p : {&clamp_p, &regularized_incomplete_beta_p, &random_gamma_p, &round_p,
                  &reduce_precision_p, &threefry2x32_p})
    if (l.op == p) return !complex;
  return false;
}

std::string expression(const loops::Let& l, const std::vector<DType>& types,
                       const Operand& operand) {
  const std::string to = type_name(l.dtype);
  // Computed in float, and rounded if the result is a half.
  auto rounded = [&](const std::string& e) {
    return is_half_type(l.dtype) ? "store<" + to + ">(" + e + ")" : e;
  };
  if (auto it = rows().find(l.op); it != rows().end()) {
    const Row& r = it->second;
    auto text = [&](std::size_t i) {
      std::string s = operand(i, !r.stored);
      if (r.wraps &&
          (types[i] == DType::i32 || types[i] == DType::i64))  // narrower types are added as int
        s = std::string(types[i] == DType::i32 ? "unsigned(" : "Unsigned<long long>(") + s + ")";
      return s;
    };
    std::string_view code = r.code;
    if (is_float(types[0])) {  // the same, easier to read
      if (l.op == &mul_p) code = "x * y";
      if (l.op == &square_p) code = "x * x";
      if (l.op == &div_p) code = "x / y";
    }
    const std::string e = substituted(code, text);
    return r.stored ? e : rounded(e);
  }
  auto call = [&](const std::string& f, bool computed, const std::string& more = "") {
    return f + "(" + operand(0, computed) + more + ")";
  };
  if (l.op == &select_n_p) {
    const std::size_t cases = l.args.size() - 1;
    if (types[0] == DType::b1)
      return cases == 1 ? operand(1, false)
                        : operand(0, false) + " ? " + operand(2, false) + " : " + operand(1, false);
    std::string s;
    for (std::size_t i = 0; i + 1 < cases; ++i)
      s += operand(0, false) + " <= " + std::to_string(i) + " ? " + operand(i + 1, false) + " : ";
    return s + operand(cases, false);
  }
  if (l.op == &convert_element_type_p) return call("convert<" + to + ">", false);
  if (l.op == &bitcast_convert_type_p) return call("bitcast<" + to + ">", false);
  if (l.op == &stop_gradient_p) return operand(0, false);
  if (l.op == &integer_pow_p) {
    const std::int64_t n = l.view().as<PowParams>().y;
    if (n == 2) return rounded("multiply(" + operand(0, true) + ", " + operand(0, true) + ")");
    return rounded(call("integer_pow", true, ", " + std::to_string(n) + "ll"));
  }
  if (l.op == &round_p)
    return rounded(
        call(l.view().as<RoundParams>().rounding_method == RoundingMethod::TO_NEAREST_EVEN
                 ? "round_even"
                 : "round_away",
             true));
  if (l.op == &reduce_precision_p) {
    const auto& p = l.view().as<PrecisionParams>();
    return call("reduce_precision", false,
                ", " + std::to_string(p.exponent_bits) + ", " + std::to_string(p.mantissa_bits));
  }
  if (l.op == &clamp_p)
    return rounded("clamp(" + operand(0, true) + ", " + operand(1, true) + ", " + operand(2, true) +
                   ")");
  if (l.op == &regularized_incomplete_beta_p)
    return rounded("regularized_incomplete_beta(" + operand(0, true) + ", " + operand(1, true) +
                   ", " + operand(2, true) + ")");
  if (l.op == &random_gamma_p)
    return rounded(
        (l.view().as<RandomGammaParams>().log_space ? "random_loggamma(" : "random_gamma(") +
        operand(0, false) + ", " + operand(1, false) + ", " + operand(2, true) + ")");
  if (l.op == &complex_p) return "complex(" + operand(0, false) + ", " + operand(1, false) + ")";
  if (l.op == &real_p) return call("real", false);
  if (l.op == &imag_p) return call("imag", false);
  if (l.op == &conj_p) return call("conj", false);
  throw std::logic_error("cuda: no text for " + std::string(l.op->name));
}

}  // namespace jaxpp::cuda
