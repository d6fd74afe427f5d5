// linalg.h -- jaxpp::linalg: linear algebra on the last two axes; leading axes are batches and broadcast.
//
//   Array x = linalg::solve(a, b);                  // a x = b
//   auto [sign, logdet] = linalg::slogdet(a);
//   Array n = linalg::norm(v);                      // the 2-norm
//
// Everything is differentiable.  The derivative of solve, inv, det and slogdet uses the factorisation of the value again.
#pragma once
#include "jaxpp/math.h"

namespace jaxpp::linalg {

/// The solution of a x = b.   a: [..., n, n];  b: [n], or [..., n, m]
Array solve(const Array& a, const Array& b, Loc = Loc::current());
/// The inverse.   [..., n, n] -> [..., n, n]
Array inv(const Array& a, Loc = Loc::current());
/// The determinant.   [..., n, n] -> [...]
Array det(const Array& a, Loc = Loc::current());
/// The determinant as sign * exp(logdet), which does not overflow.   [..., n, n] -> two of [...]
struct SignAndLogdet {
  Array sign, logdet;
};
SignAndLogdet slogdet(const Array& a, Loc = Loc::current());
/// The lower factor L of the symmetric (Hermitian) positive definite a = L L^H; the upper one, L^H, on demand.
/// NaN where a is not positive definite.  Reads (a + a^H) / 2.
Array cholesky(const Array& a, bool upper = false, Loc = Loc::current());

/// Which norm: a number (INFINITY too), "fro" or nothing for the usual one.
struct Order {
  enum Kind { usual, number, frobenius } kind = usual;
  double p = 2;
  Order() = default;
  Order(NoneType) {}
  template <class T>
  requires(std::is_arithmetic_v<T> && !std::is_same_v<T, bool>) Order(T v)
      : kind(number), p(double(v)) {}
  Order(const char* name, Loc = Loc::current());
};
/// The norm of x over one axis (of vectors), two axes (of matrices), or, with the usual order, of all elements.
///   vectors: (sum |x|^p)^(1/p); INFINITY, -INFINITY: greatest, least |x|; 0: the number of nonzeros.  Usual: 2.
///   matrices: "fro": as of the vector of elements; 1, -1: greatest, least column sum of |x|; INFINITY, -INFINITY: of
///   rows.  Usual: "fro".
Array norm(const Array& x, Order order = {}, const Axes& axes = Axes::every(),
           bool keepdims = false, Loc = Loc::current());
/// The matrix product over leading batch axes, as jaxpp::matmul.
Array matmul(const Array& x, const Array& y, Loc = Loc::current());
/// The sum of a diagonal of the matrices in the last two axes.
Array trace(const Array& x, std::int64_t offset = 0, Loc = Loc::current());

}  // namespace jaxpp::linalg
