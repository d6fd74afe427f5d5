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
/// A finite number before it is aligned: -12.5 is {"-12", "5", ""}; the exponent is empty, or e+10.
struct Parts {
  std::string whole, fraction, exponent;
};
Parts split(std::string_view text) {
  const auto e = std::min(text.find('e'), text.size()), point = std::min(text.find('.'), e);
  Parts p{std::string(text.substr(0, point)), "", std::string(text.substr(e))};
  if (point < e) p.fraction = text.substr(point + 1, e - point - 1);
  return p;
}
/// |v| with so many digits after the point, rounded from the exact value.
Parts rounded(double v, std::chars_format format, int digits) {
  char s[400];
  return split({s, std::to_chars(s, s + sizeof s, std::abs(v), format, digits).ptr});
}
/// |x| with just the digits that identify it in its own precision.
Parts shortest(Real x, std::chars_format format) {
  char s[400];
  const double v = std::abs(x.value);
  if (x.type == DType::f64) return split({s, std::to_chars(s, s + sizeof s, v, format).ptr});
  if (x.type == DType::f32) return split({s, std::to_chars(s, s + sizeof s, float(v), format).ptr});
  for (int digits = 0;; ++digits) {
    char* end = std::to_chars(s, s + sizeof s, v, format, digits).ptr;
    double back = 0;
    std::from_chars(s, end, back);
    const float half =
        x.type == DType::f16 ? float(float16(float(back))) : float(bfloat16(float(back)));
    if (half == float(v)) return split({s, end});
  }
}
Parts parts_of(Real x, bool scientific, int precision) {
  const auto format = scientific ? std::chars_format::scientific : std::chars_format::fixed;
  Parts p = shortest(x, format);
  if (int(p.fraction.size()) > precision) p = rounded(x.value, format, precision);
  while (!p.fraction.empty() && p.fraction.back() == '0') p.fraction.pop_back();
  return p;
}
Parts with_sign(Parts p, double v, bool plus) {
  if (std::signbit(v))
    p.whole.insert(0, "-");
  else if (plus)
    p.whole.insert(0, "+");
  return p;
}
/// From here on the exponent form is used: what the type's digits tell apart, at most `most`.
double exponent_limit(DType d, double most) {
  return d == DType::f64 ? most : d == DType::f32 ? 1e6 : 1e3;
}
std::string special(double v, bool plus) {
  if (std::isnan(v)) return plus ? "+nan" : "nan";
  return v < 0 ? "-inf" : plus ? "+inf" : "inf";
}
/// A number on its own: Python's repr, 0.1, 1e+20, 2.0.
std::string alone(Real x, bool point = true) {
  if (!std::isfinite(x.value)) return special(x.value, false);
  const double v = std::abs(x.value);
  Parts p = parts_of(x, v != 0 && (v < 1e-4 || v >= exponent_limit(x.type, 1e16)), 1000);
  p = with_sign(std::move(p), x.value, false);
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
    scientific_ = greatest_ > 0 && (greatest_ >= exponent_limit(type_, 1e8) || least_ < 1e-4 ||
                                    greatest_ / least_ > 1000);
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
      if (p.fraction.size() < fraction_) p = exact(v);
      while (p.exponent.size() < exponent_) p.exponent.insert(2, "0");
    }
    s = std::string(left - p.whole.size(), ' ') + p.whole + "." + p.fraction + p.exponent;
    return s + std::string(left + right - s.size(), ' ');
  }

 private:
  /// Digits beyond the shortest are those of the exact value, not zeros.
  Parts exact(double v) const {
    return with_sign(rounded(v, std::chars_format::scientific, int(fraction_)), v, plus_);
  }
  Parts parts(double v) const {
    return with_sign(parts_of({v, type_}, scientific_, kPrecision), v, plus_);
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
        if (real(i) == 0 && !std::signbit(real(i))) return im + "j";
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
      case DType::b1: return at<bool>(i) ? alone_ ? "True" : " True" : "False";
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
