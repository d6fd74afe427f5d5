// array_print.cc -- arrays as text, like numpy's str(): nested brackets, aligned columns, at most 8
// digits after the point (as many as tell the numbers apart), and only the edges of arrays of more
// than 1,000 elements.
//
// Two passes over the elements that are shown: the first finds the common width, the second writes.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <ostream>
#include "jaxpp/core/trace.h"

namespace jaxpp {

namespace {

constexpr int kPrecision = 8, kLineWidth = 75;
constexpr std::int64_t kThreshold = 1000, kEdge = 3;

// ---- One number
/// A number and the type whose precision says how many digits it needs.
struct Real {
  double value;
  DType type;
};
/// Whether a text read back in the number's own precision is the number.
bool identifies(const char* begin, const char* end, Real x) {
  double v = 0;
  std::from_chars(begin, end, v);
  if (x.type == DType::f16) return float(float16(float(v))) == float(x.value);
  return float(bfloat16(float(v))) == float(x.value);
}
/// The shortest digits that identify |x|, as d.ddde+xx.
std::string shortest(Real x) {
  char s[64];
  const double v = std::abs(x.value);
  if (x.type == DType::f64)
    return {s, std::to_chars(s, s + sizeof s, v, std::chars_format::scientific).ptr};
  if (x.type == DType::f32)
    return {s, std::to_chars(s, s + sizeof s, float(v), std::chars_format::scientific).ptr};
  for (int digits = 0;; ++digits) {
    char* end = std::to_chars(s, s + sizeof s, v, std::chars_format::scientific, digits).ptr;
    if (digits == 5 || identifies(s, end, x)) return {s, end};
  }
}
/// Digits and the exponent of the first: 1.25e+01 is {"125", 1}.
struct Decimal {
  std::string digits;
  int exponent;
};
Decimal decimal(Real x) {
  std::string s = shortest(x);
  const auto e = s.find('e');
  Decimal d{s.substr(0, 1), 0};
  if (e > 1) d.digits += s.substr(2, e - 2);
  std::from_chars(s.data() + e + (s[e + 1] == '+' ? 2 : 1), s.data() + s.size(), d.exponent);
  return d;
}
/// Rounds to n digits (half away from zero: the digits are the shortest, not the exact value).
void round_to(Decimal& d, int n) {
  if (int(d.digits.size()) <= n) return;
  if (n < 0) {
    d = {"0", 0};
    return;
  }
  const bool up = d.digits[std::size_t(n)] >= '5';
  d.digits.resize(std::size_t(n));
  if (up) {
    int i = n - 1;
    while (i >= 0 && d.digits[std::size_t(i)] == '9') d.digits[std::size_t(i--)] = '0';
    if (i >= 0) {
      ++d.digits[std::size_t(i)];
    } else {
      d.digits.insert(d.digits.begin(), '1');
      ++d.exponent;
    }
  }
  if (d.digits.empty()) d = {"0", 0};
}
void trim(std::string& digits) {
  while (!digits.empty() && digits.back() == '0') digits.pop_back();
}
/// A finite number before it is aligned: -12.5 is {"-12", "5", ""}; the exponent is empty, or e+10.
struct Parts {
  std::string whole, fraction, exponent;
};
Parts parts_of(Real x, bool scientific, int precision) {
  Parts p;
  Decimal d = decimal(x);
  if (scientific) {
    round_to(d, precision + 1);
    p.whole = d.digits.substr(0, 1);
    p.fraction = d.digits.substr(1);
    const int e = std::abs(d.exponent);
    p.exponent =
        std::string(d.exponent < 0 ? "e-" : "e+") + (e < 10 ? "0" : "") + std::to_string(e);
  } else {
    round_to(d, d.exponent + 1 + precision);
    const int point = d.exponent + 1;  // digits before it
    if (point <= 0) {
      p.whole = "0";
      p.fraction = std::string(std::size_t(-point), '0') + d.digits;
    } else {
      if (int(d.digits.size()) < point) d.digits.resize(std::size_t(point), '0');
      p.whole = d.digits.substr(0, std::size_t(point));
      p.fraction = d.digits.substr(std::size_t(point));
    }
  }
  trim(p.fraction);
  if (std::signbit(x.value)) p.whole.insert(0, "-");
  return p;
}
std::string special(double v, bool plus) {
  if (std::isnan(v)) return "nan";
  return v < 0 ? "-inf" : plus ? "+inf" : "inf";
}
/// A number on its own: Python's repr, 0.1, 1e+20, 2.0.
std::string alone(Real x, bool point = true) {
  if (!std::isfinite(x.value)) return special(x.value, false);
  const double v = std::abs(x.value);
  Parts p = parts_of(x, v != 0 && (v < 1e-4 || v >= 1e16), 1000);
  if (p.fraction.empty() && p.exponent.empty() && point) p.fraction = "0";
  return p.whole + (p.fraction.empty() ? "" : "." + p.fraction) + p.exponent;
}

// ---- A column of numbers
class FloatFormat {
 public:
  FloatFormat(DType type, bool plus) : type_(type), plus_(plus) {}
  void see(double v) {  // first: decides on the exponent form
    if (!std::isfinite(v)) {
      special_ = std::max(special_, special(v, plus_).size());
      return;
    }
    if (v == 0) return;
    const double a = std::abs(v);
    least_ = std::min(least_, a);
    greatest_ = std::max(greatest_, a);
  }
  void measure(double v) {  // second: the widths
    scientific_ = greatest_ > 0 && (greatest_ >= 1e8 || least_ < 1e-4 || greatest_ / least_ > 1000);
    if (!std::isfinite(v)) return;
    Parts p = parts(v);
    whole_ = std::max(whole_, p.whole.size());
    fraction_ = std::max(fraction_, p.fraction.size());
    exponent_ = std::max(exponent_, p.exponent.size());
  }
  std::string operator()(double v) const {
    const std::size_t right = fraction_ + exponent_ + 1;  // the point, and what follows
    const std::size_t left = std::max(whole_, special_ > right ? special_ - right : 0);
    std::string s;
    if (!std::isfinite(v)) {
      s = special(v, plus_);
      return std::string(left + right - s.size(), ' ') + s;
    }
    Parts p = parts(v);
    if (scientific_) {
      p.fraction.resize(fraction_, '0');
      while (p.exponent.size() < exponent_) p.exponent.insert(2, "0");
    }
    s = std::string(left - p.whole.size(), ' ') + p.whole + "." + p.fraction + p.exponent;
    return s + std::string(left + right - s.size(), ' ');
  }

 private:
  Parts parts(double v) const {
    Parts p = parts_of({v, type_}, scientific_, kPrecision);
    if (plus_ && !std::signbit(v)) p.whole.insert(0, "+");
    return p;
  }
  DType type_;
  bool plus_, scientific_ = false;
  double least_ = std::numeric_limits<double>::infinity(), greatest_ = 0;
  std::size_t whole_ = 0, fraction_ = 0, exponent_ = 0, special_ = 0;
};

// ---- Elements of an array
class Elements {
 public:
  explicit Elements(const Array& a)
      : a_(a),
        re_(real_of(a.dtype()), false),
        im_(real_of(a.dtype()), true),
        alone_(a.ndim() == 0) {}
  void see(std::int64_t i) {
    if (is_inexact(a_.dtype())) re_.see(real(i));
    if (is_complex(a_.dtype())) im_.see(imag(i));
  }
  void measure(std::int64_t i) {
    if (is_inexact(a_.dtype()))
      re_.measure(real(i));
    else
      width_ = std::max(width_, integer(i).size());
    if (is_complex(a_.dtype())) im_.measure(imag(i));
  }
  std::string operator()(std::int64_t i) const {
    const DType d = a_.dtype();
    if (is_complex(d)) {
      if (alone_) {
        std::string im = alone({imag(i), real_of(d)}, false),
                    re = alone({real(i), real_of(d)}, false);
        return "(" + re + (im[0] == '-' ? "" : "+") + im + "j)";
      }
      std::string s = im_(imag(i));
      s.insert(s.find_last_not_of(' ') + 1, "j");
      return re_(real(i)) + s;
    }
    if (is_float(d)) return alone_ ? alone({real(i), d}) : re_(real(i));
    std::string s = integer(i);
    return std::string(std::max(width_, s.size()) - s.size(), ' ') + s;
  }

 private:
  template <class T>
  T at(std::int64_t i) const {
    return a_.data<T>()[i];
  }
  double real(std::int64_t i) const {
    switch (a_.dtype()) {
      case DType::f16: return double(float(at<float16>(i)));
      case DType::bf16: return double(float(at<bfloat16>(i)));
      case DType::f32: return double(at<float>(i));
      case DType::c64: return double(at<std::complex<float>>(i).real());
      case DType::c128: return at<std::complex<double>>(i).real();
      default: return at<double>(i);
    }
  }
  double imag(std::int64_t i) const {
    return a_.dtype() == DType::c64 ? double(at<std::complex<float>>(i).imag())
                                    : at<std::complex<double>>(i).imag();
  }
  std::string integer(std::int64_t i) const {
    switch (a_.dtype()) {
      case DType::b1: return at<bool>(i) ? "True" : "False";
      case DType::i8: return std::to_string(at<std::int8_t>(i));
      case DType::i16: return std::to_string(at<std::int16_t>(i));
      case DType::i32: return std::to_string(at<std::int32_t>(i));
      case DType::u8: return std::to_string(at<std::uint8_t>(i));
      case DType::u16: return std::to_string(at<std::uint16_t>(i));
      case DType::u32: return std::to_string(at<std::uint32_t>(i));
      case DType::u64: return std::to_string(at<std::uint64_t>(i));
      default: return std::to_string(at<std::int64_t>(i));
    }
  }
  const Array& a_;
  FloatFormat re_, im_;
  bool alone_;
  std::size_t width_ = 0;
};

// ---- Brackets and lines
class Layout {
 public:
  Layout(const Array& a, Elements& elements)
      : shape_(a.shape()), elements_(elements), summarize_(a.size() > kThreshold) {}
  /// Calls f with the offset of every element that is shown.
  template <class F>
  void visit(F f, std::size_t axis = 0, std::int64_t offset = 0) const {
    if (axis == shape_.size()) return f(offset);
    rows(axis, [&](std::int64_t i) {
      if (i >= 0) visit(f, axis + 1, offset * shape_[axis] + i);
    });
  }
  std::string text(std::size_t axis = 0, std::int64_t offset = 0) const {
    const std::size_t left = shape_.size() - axis;
    if (left == 0) return elements_(offset);
    const std::string indent(axis + 1, ' ');
    std::string done, line = indent;
    bool first = true;
    rows(axis, [&](std::int64_t i) {
      const std::string word = i < 0 ? "..." : text(axis + 1, offset * shape_[axis] + i);
      if (left == 1) {
        if (!first) line += ' ';
        if (int(line.size() + word.size()) > kLineWidth - int(axis) - 1 &&
            line.size() > indent.size()) {
          line.erase(line.find_last_not_of(' ') + 1);
          done += line + '\n';
          line = indent;
        }
        line += word;
      } else {
        if (!first) line += std::string(left - 1, '\n') + indent;
        line += word;
      }
      first = false;
    });
    done += line;
    return "[" + done.substr(indent.size()) + "]";
  }

 private:
  /// f(i) for every index shown along an axis; f(-1) for the gap.
  template <class F>
  void rows(std::size_t axis, F f) const {
    const std::int64_t n = shape_[axis];
    const bool gap = summarize_ && n > 2 * kEdge;
    for (std::int64_t i = 0; i < n; ++i) {
      if (gap && i == kEdge) {
        f(-1);
        i = n - kEdge;
      }
      f(i);
    }
  }
  const Shape& shape_;
  Elements& elements_;
  bool summarize_;
};

}  // namespace

std::string to_string(const Array& a) {
  if (!a.defined()) return "null";
  if (!a.concrete()) return "Traced<" + a.type()->str() + ">";
  if (a.size() == 0) return "[]";
  Elements elements(a);
  Layout layout(a, elements);
  layout.visit([&](std::int64_t i) { elements.see(i); });
  layout.visit([&](std::int64_t i) { elements.measure(i); });
  return layout.text();
}
std::ostream& operator<<(std::ostream& out, const Array& a) { return out << to_string(a); }

}  // namespace jaxpp
