// dct.cc -- cosine transforms of types 2 and 3 on the Fourier transform of the same length.
//
// Type 2 of x is the real part of exp(-pi i k / 2 n) fft(v)[k], twice, where v holds the elements of x at even places and then those
// at odd places backwards (Makhoul: A fast cosine transform in one and two dimensions, 1980).  Type 3 goes the other way.
#include <cmath>
#include "jaxpp/fft.h"
#include "jaxpp/math_internal.h"
#include "jaxpp/ops/rules.h"

namespace jaxpp::fft {
namespace {
using namespace internal;

[[noreturn]] void dct_error(const char* op, const std::string& what, Loc loc) {
  internal::fail<TypeError>(std::string("fft::") + op + ": " + what, loc, "E111");
}
// exp(sign pi i k / 2 n) for k < n.
Array quarter_turns(std::int64_t n, double sign, DType d) {
  std::vector<std::complex<double>> v;
  for (std::int64_t k = 0; k < n; ++k)
    v.push_back(std::polar(1., sign * M_PI * double(k) / (2 * double(n))));
  return Array(std::span<const std::complex<double>>(v)).astype(complex_of(d));
}
// All along the last axis.  First of type 2, with no factor: 2 sum over j of x[j] cos(pi k (2 j + 1) / 2 n).
Array type2(const Array& x) {
  const std::int64_t n = x.shape(-1);
  const Array v =
      concatenate({x(Ellipsis, Slice(0, None, 2)), flip(x(Ellipsis, Slice(1, None, 2)), -1)}, -1);
  return 2. * real(fft(v) * quarter_turns(n, -1, x.dtype()));
}
// x[0] + 2 sum over j > 0 of x[j] cos(pi j (2 k + 1) / 2 n).
Array type3(const Array& x) {
  const std::int64_t n = x.shape(-1), half = (n + 1) / 2;
  const Array twice = where(lax::iota(i64, {n}, 0) == 0, x, 2. * x);
  const Array v = real(ifft(twice * quarter_turns(n, 1, x.dtype()), {}, -1, Norm::forward));
  const Array odd = flip(v(Ellipsis, Slice(half, None)), -1);
  auto spread = [&](const Array& part, std::int64_t at) {  // to every other place
    std::vector<Dims> config(std::size_t(x.ndim()), Dims{0, 0, 0});
    const std::int64_t m = part.shape(-1);
    config.back() = {at, n - at - (2 * m - 1), 1};
    return lax::pad(part, zeros({}, part.dtype()), config);
  };
  const Array even = spread(v(Ellipsis, Slice(0, half)), 0);
  return n == 1 ? even : even + spread(odd, 1);
}
Array transform(const char* op, const Array& x0, int type, std::optional<std::int64_t> n0, int axis,
                Norm norm, bool inverse, Loc loc) {
  if (type != 2 && type != 3)
    dct_error(op, "there are types 2 and 3, not " + std::to_string(type) + ".", loc);
  Array x = inexact(x0, op, loc);
  if (width(real_of(x.dtype())) == 2) x = x.astype(f32);  // halves are computed in f32
  if (is_complex(x.dtype()))
    return lax::complex(transform(op, real(x), type, n0, axis, norm, inverse, loc),
                        transform(op, imag(x), type, n0, axis, norm, inverse, loc));
  const int at = int(axis_of(axis, x, op, loc));
  x = moveaxis(x, at, -1);
  const std::int64_t n = n0.value_or(x.shape(-1));
  if (n < 1)
    dct_error(op,
              "a length of " + std::to_string(n) + " along axis " + std::to_string(axis) + " of " +
                  x0.type()->str() + ".",
              loc);
  if (n != x.shape(-1)) {  // cropped, or filled with zeros
    std::vector<Dims> config(std::size_t(x.ndim()), Dims{0, 0, 0});
    config.back()[1] = n - x.shape(-1);
    x = lax::pad(x, zeros({}, x.dtype()), config);
  }
  // The inverse of type 2 is type 3 by 2 n, and the other way round.  Ortho makes both unitary: element 0 counts less.
  const bool two = (type == 2) != inverse,
             scaled = norm == (inverse ? Norm::backward : Norm::forward);
  const double factor = norm == Norm::ortho ? 1 / std::sqrt(2 * double(n))
                        : scaled            ? 1 / (2 * double(n))
                                            : 1;
  const Array first = lax::iota(i64, {n}, 0) == 0;
  const bool ortho = norm == Norm::ortho;
  if (ortho && !two) x = where(first, x * M_SQRT2, x);
  Array y = two ? type2(x) : type3(x);
  if (ortho && two) y = where(first, y * M_SQRT1_2, y);
  if (factor != 1) y = y * factor;
  return moveaxis(y, -1, at);
}
Array over_axes(const char* op, const Array& x, int type, const std::optional<Dims>& sizes,
                const Axes& axes, Norm norm, bool inverse, Loc loc) {
  need_array(x, op, loc);
  Dims which;
  if (!axes.all()) {
    which = axes_of(axes, x, op, loc);
  } else {
    const std::int64_t count = sizes ? std::int64_t(sizes->size()) : x.ndim();
    if (count > x.ndim())
      dct_error(op, "more sizes, " + to_string(*sizes) + ", than " + x.type()->str() + " has axes.",
                loc);
    for (std::int64_t i = x.ndim() - count; i < x.ndim(); ++i) which.push_back(i);
  }
  if (sizes && sizes->size() != which.size())
    dct_error(op, "sizes " + to_string(*sizes) + " for axes " + to_string(which) + ".", loc);
  if (which.empty()) dct_error(op, "there is no axis to transform.", loc);
  Array y = x;
  for (std::size_t i = 0; i < which.size(); ++i)
    y = transform(op, y, type, sizes ? std::optional<std::int64_t>((*sizes)[i]) : std::nullopt,
                  int(which[i]), norm, inverse, loc);
  return y;
}
}  // namespace

Array dct(const Array& x, int type, std::optional<std::int64_t> n, int axis, Norm norm, Loc loc) {
  const UserLine line(loc);
  return transform("dct", x, type, n, axis, norm, false, loc);
}
Array idct(const Array& x, int type, std::optional<std::int64_t> n, int axis, Norm norm, Loc loc) {
  const UserLine line(loc);
  return transform("idct", x, type, n, axis, norm, true, loc);
}
Array dctn(const Array& x, int type, const std::optional<Dims>& sizes, const Axes& axes, Norm norm,
           Loc loc) {
  const UserLine line(loc);
  return over_axes("dctn", x, type, sizes, axes, norm, false, loc);
}
Array idctn(const Array& x, int type, const std::optional<Dims>& sizes, const Axes& axes, Norm norm,
            Loc loc) {
  const UserLine line(loc);
  return over_axes("idctn", x, type, sizes, axes, norm, true, loc);
}

}  // namespace jaxpp::fft
