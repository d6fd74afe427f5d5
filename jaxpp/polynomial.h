// polynomial.h -- polynomials by their coefficients, the highest power first; sums by trapezoids and differences of samples; named
// as in jax.numpy.
//
//   Array p = polyfit(x, y, 2);                 // p(0) x^2 + p(1) x + p(2), nearest to the points
//   Array at = polyval(p, 0.5), slope = polyval(polyder(p), 0.5);
//
// A polynomial is a vector.  Leading zeros are kept, so that shapes depend on shapes only.
#pragma once
#include "jaxpp/math.h"

namespace jaxpp {

/// p(0) x^(n-1) + ... + p(n-1), by Horner's scheme.   p: [n];  x: any shape
Array polyval(const Array& p, const Array& x, Loc = Loc::current());
/// The sum, the difference, the product.   [n], [m] -> [max(n, m)], and [n + m - 1]
Array polyadd(const Array& p, const Array& q, Loc = Loc::current());
Array polysub(const Array& p, const Array& q, Loc = Loc::current());
Array polymul(const Array& p, const Array& q, Loc = Loc::current());
/// Quotient and remainder of u by v, whose first coefficient is not zero.   [n], [m] -> [n - m + 1] and [n]; the remainder has
/// leading zeros.  A v longer than u: {0} and u.
std::pair<Array, Array> polydiv(const Array& u, const Array& v, Loc = Loc::current());
/// The derivative of order m.   [n] -> [n - m]
Array polyder(const Array& p, std::int64_t m = 1, Loc = Loc::current());
/// The antiderivative of order m, with zeros as constants of integration.   [n] -> [n + m]
Array polyint(const Array& p, std::int64_t m = 1, Loc = Loc::current());
/// The polynomial with these roots and leading coefficient 1.   [n] -> [n + 1]
Array poly(const Array& roots, Loc = Loc::current());
/// The roots (complex, in no particular order), as eigenvalues of the companion matrix; p(0) is not zero.   [n] -> [n - 1]
Array roots(const Array& p, Loc = Loc::current());
/// The matrix of powers x^(n-1), ..., x, 1 (1, x, ... if increasing) of each element of a vector; n is its size by default.
Array vander(const Array& x, std::optional<std::int64_t> n = {}, bool increasing = false,
             Loc = Loc::current());
/// The polynomial of this degree with the least sum of squares |polyval(p, x) - y|^2.   x: [k];  y: [k] or [k, m];  result:
/// [degree + 1] or [degree + 1, m]
Array polyfit(const Array& x, const Array& y, std::int64_t degree, Loc = Loc::current());

/// The integral along an axis of samples y, by trapezoids: at equal distances dx, or at the places x (a vector, or of y's shape).
Array trapezoid(const Array& y, double dx = 1, int axis = -1, Loc = Loc::current());
Array trapezoid(const Array& y, const Array& x, int axis = -1, Loc = Loc::current());
/// The derivative along an axis of samples at equal distances: central differences, one-sided at both ends.
Array gradient(const Array& y, double dx = 1, int axis = -1, Loc = Loc::current());

}  // namespace jaxpp
