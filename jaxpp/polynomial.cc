// polynomial.cc -- see polynomial.h.
#include "jaxpp/polynomial.h"
#include "jaxpp/control.h"
#include "jaxpp/convolve.h"
#include "jaxpp/linalg.h"
#include "jaxpp/math_internal.h"

namespace jaxpp {

using namespace internal;

namespace {
void need_coefficients(const char* op, const Array& p, Loc loc) {
  need_array(p, op, loc);
  if (p.ndim() != 1)
    fail(std::string(op) + ": needs a vector, not " + p.type()->str() + ".", user_loc(loc), "E86");
}
void need_count(const char* op, std::int64_t n, Loc loc) {
  if (n < 0)
    fail(std::string(op) + ": " + std::to_string(n) + " is negative.", user_loc(loc), "E82");
}
// p with zeros in front, n coefficients in all.
Array padded(const Array& p, std::int64_t n) { return pad(p, {n - p.size(), 0}); }
std::pair<Array, Array> aligned(const char* op, const Array& p, const Array& q, Loc loc) {
  need_coefficients(op, p, loc);
  need_coefficients(op, q, loc);
  const std::int64_t n = std::max(p.size(), q.size());
  return {padded(p, n), padded(q, n)};
}
// n, n - 1, ..., 1 of p's type.
Array powers(const Array& p, std::int64_t n) {
  return lax::rev(lax::add(lax::iota(p.dtype(), {n}, 0), number_like(p, 1, Loc::current())),
                  Dims{0});
}
}  // namespace

Array polyval(const Array& p0, const Array& x0, Loc loc) {
  need_coefficients("polyval", p0, loc);
  Array both[] = {p0, x0};
  promote_types_of("polyval", both, loc);
  UserLine line(loc);
  const Array &p = both[0], &x = both[1];
  Array y = zeros_like(x);
  for (std::int64_t i = 0; i < p.size(); ++i) y = y * x + p(i);
  return y;
}
Array polyadd(const Array& p, const Array& q, Loc loc) {
  UserLine line(loc);
  const auto [a, b] = aligned("polyadd", p, q, loc);
  return a + b;
}
Array polysub(const Array& p, const Array& q, Loc loc) {
  UserLine line(loc);
  const auto [a, b] = aligned("polysub", p, q, loc);
  return a - b;
}
Array polymul(const Array& p, const Array& q, Loc loc) { return convolve(p, q, "full", loc); }
std::pair<Array, Array> polydiv(const Array& u0, const Array& v0, Loc loc) {
  Array both[] = {inexact(u0, "polydiv", loc), inexact(v0, "polydiv", loc)};
  promote_types_of("polydiv", both, loc);
  const auto& [u, v] = both;
  need_coefficients("polydiv", u, loc);
  need_coefficients("polydiv", v, loc);
  if (v.size() == 0) fail("polydiv: by a polynomial without coefficients.", user_loc(loc), "E90");
  UserLine line(loc);
  if (v.size() > u.size()) return {zeros({1}, u.dtype()), u};
  // The coefficient to go is the first one: what is left moves up by one in every step.
  const std::int64_t steps = u.size() - v.size() + 1;
  const Array divisor = pad(v, {0, u.size() - v.size()});
  const auto step = [&](Array rest, Array) {
    const Array q = rest(0) / v(0);
    return std::pair(roll(rest - q * divisor, -1), q);
  };
  const auto [rest, quotient] = scan(step, u, arange(steps));
  return {quotient, roll(rest, steps)};
}
Array polyder(const Array& p, std::int64_t m, Loc loc) {
  need_coefficients("polyder", p, loc);
  need_count("polyder", m, loc);
  UserLine line(loc);
  Array y = p;
  for (; m > 0 && y.size() > 0; --m) {
    const std::int64_t n = y.size() - 1;
    y = y(Slice(0, n)) * powers(y, n);
  }
  return y;
}
Array polyint(const Array& p, std::int64_t m, Loc loc) {
  need_count("polyint", m, loc);
  Array y = inexact(p, "polyint", loc);
  need_coefficients("polyint", y, loc);
  UserLine line(loc);
  for (; m > 0; --m) y = pad(y / powers(y, y.size()), {0, 1});
  return y;
}
Array poly(const Array& roots0, Loc loc) {
  const Array roots = inexact(roots0, "poly", loc);
  need_coefficients("poly", roots, loc);
  UserLine line(loc);
  Array p = ones({1}, roots.dtype());
  for (std::int64_t i = 0; i < roots.size(); ++i)  // x p - r p
    p = pad(p, {0, 1}) - roots(i) * pad(p, {1, 0});
  return p;
}
Array roots(const Array& p0, Loc loc) {
  const Array p = inexact(p0, "roots", loc);
  need_coefficients("roots", p, loc);
  UserLine line(loc);
  const std::int64_t n = p.size() - 1;
  if (n < 1) return zeros({0}, complex_of(p.dtype()));
  const Array first = expand_dims(-p(Slice(1, None)) / p(0), 0);
  return linalg::eigvals(concatenate({first, eye(n - 1, n, 0, p.dtype())}));
}
Array vander(const Array& x, std::optional<std::int64_t> n0, bool increasing, Loc loc) {
  need_coefficients("vander", x, loc);
  const std::int64_t n = n0.value_or(x.size());
  need_count("vander", n, loc);
  UserLine line(loc);
  if (n == 0) return zeros({x.size(), 0}, x.dtype());
  std::vector<Array> columns{ones_like(x)};
  while (std::int64_t(columns.size()) < n) columns.push_back(columns.back() * x);
  const Array v = stack(columns, 1);
  return increasing ? v : flip(v, 1);
}
Array polyfit(const Array& x0, const Array& y0, std::int64_t degree, Loc loc) {
  Array both[] = {inexact(x0, "polyfit", loc), inexact(y0, "polyfit", loc)};
  promote_types_of("polyfit", both, loc);
  need_coefficients("polyfit", both[0], loc);
  need_count("polyfit", degree, loc);
  UserLine line(loc);
  const Array v = vander(both[0], degree + 1);
  // columns of one length: the singular values then say which of them depend on others
  const Array scale = sqrt(sum(square(abs(v)), 0)).astype(v.dtype());
  const double epsilon = v.dtype() == f64 || v.dtype() == c128 ? 0x1p-52 : 0x1p-23;
  const Array c =
      linalg::lstsq(v / scale, both[1], epsilon * double(std::max<std::int64_t>(x0.size(), 1))).x;
  return c / (c.ndim() == 1 ? scale : expand_dims(scale, 1));
}

namespace {
// The sums of neighbours along the last axis, halved.
Array middles(const Array& y) {
  return 0.5 * (y(Ellipsis, Slice(1, None)) + y(Ellipsis, Slice(None, -1)));
}
}  // namespace
Array trapezoid(const Array& y0, double dx, int axis, Loc loc) {
  const Array y = inexact(y0, "trapezoid", loc);
  const auto d = axis_of(axis, y, "trapezoid", loc);
  UserLine line(loc);
  return dx * sum(middles(moveaxis(y, int(d), -1)), -1);
}
Array trapezoid(const Array& y0, const Array& x0, int axis, Loc loc) {
  Array both[] = {inexact(y0, "trapezoid", loc), inexact(x0, "trapezoid", loc)};
  promote_types_of("trapezoid", both, loc);
  const Array &y = both[0], &x = both[1];
  const auto d = axis_of(axis, y, "trapezoid", loc);
  UserLine line(loc);
  const Array places = x.ndim() == y.ndim() ? moveaxis(x, int(d), -1) : x;
  return sum(middles(moveaxis(y, int(d), -1)) * diff(places), -1);
}
Array gradient(const Array& y0, double dx, int axis, Loc loc) {
  const Array y = inexact(y0, "gradient", loc);
  const auto d = axis_of(axis, y, "gradient", loc);
  const std::int64_t n = y.shape()[std::size_t(d)];
  if (n < 2)
    fail("gradient: " + y.type()->str() + " has fewer than two samples along axis " +
             std::to_string(d) + ".",
         user_loc(loc), "E80");
  UserLine line(loc);
  const auto part = [&](std::int64_t from, std::int64_t to) {
    return lax::slice_in_dim(y, from, to, d);
  };
  const Array first = part(1, 2) - part(0, 1), last = part(n - 1, n) - part(n - 2, n - 1);
  return concatenate({first, 0.5 * (part(2, n) - part(0, n - 2)), last}, int(d)) / dx;
}

}  // namespace jaxpp
