// linalg_decompositions.cc -- numpy.linalg on qr, eigh, eig and svd, and functions of them.
//
// The pseudo-inverse P of A has a derivative wherever the rank is constant, equal singular values included:
//   dP = -P dA P + P P^H dA^H (I - A P) + (I - P A) dA^H P^H P
// so it carries this rule instead of that of svd.
#include <cmath>
#include <limits>
#include "jaxpp/core/trace.h"
#include "jaxpp/core/user_functions.h"
#include "jaxpp/lax.h"
#include "jaxpp/linalg.h"
#include "jaxpp/linalg_factors.h"
#include "jaxpp/linalg_internal.h"
#include "jaxpp/ops/rules.h"

namespace jaxpp::linalg {
using namespace internal;
namespace {
Array hermitian(const char* op, const Array& a, Loc loc) {
  const Array x = matrix(op, a, true, loc);
  return (x + adjoint(x)) / 2;
}
double epsilon(DType d) {
  return real_of(d) == f64 ? std::numeric_limits<double>::epsilon()
                           : double(std::numeric_limits<float>::epsilon());
}
double rounding_of(const Array& a) {
  return double(std::max(a.shape(-1), a.shape(-2))) * epsilon(a.dtype());
}
// Which singular values count: s[..., k] > rcond max(s).
Array significant(const Array& s, double rcond) {
  return s.shape(-1) == 0 ? s > 0. : s > max(s, -1, true) * rcond;
}
// By eigh: the singular values are the moduli of the eigenvalues.
SVD hermitian_svd(const Array& a) {
  const auto [v, w] = lax::eigh(a, {});
  const Array order = argsort(abs(w), -1, true);
  const Array u = take_along_axis(v, expand_dims(order, -2), -1),
              values = take_along_axis(w, order, -1);
  const Array sign = where(values < 0, -ones_like(values), ones_like(values));
  return {u, abs(values), adjoint(u * expand_dims(sign, -2).astype(u.dtype()))};
}
Array pseudo_inverse(const Array& a, std::optional<double> rcond, bool hermitian) {
  if (a.shape(-1) == 0 || a.shape(-2) == 0) return swapaxes(a, -1, -2);
  SVD f;
  if (hermitian) {
    f = hermitian_svd(a);
  } else {
    const std::vector<Array> of = lax::svd(a, {true, false, {}});
    f = {of[1], of[0], of[2]};
  }
  const Array kept = significant(f.s, rcond.value_or(10 * rounding_of(a))), one = ones_like(f.s),
              inverse = where(kept, one / where(kept, f.s, one), zeros_like(one));
  return jaxpp::matmul(adjoint(f.vh) * expand_dims(inverse, -2).astype(a.dtype()), adjoint(f.u));
}
CustomPtr pinv_rule(std::optional<double> rcond, bool hermitian) {
  return std::make_shared<const CustomRule>(CustomRule{
      .name = "pinv",
      .call = [=](Args x, Results& y) { y.push_back(pseudo_inverse(x[0], rcond, hermitian)); },
      .jvp =
          [=](Args x, Args dx, Results& y, Results& dy) {
            Results value;
            internal::custom_call(pinv_rule(rcond, hermitian), x.first(1), value);
            const Array &a = x[0], &da = dx[0], p = value[0], dah = adjoint(da), ph = adjoint(p);
            const Array left = eye(a.shape(-2), a.dtype()) - jaxpp::matmul(a, p),
                        right = eye(a.shape(-1), a.dtype()) - jaxpp::matmul(p, a);
            y.push_back(p);
            dy.push_back(-jaxpp::matmul(p, jaxpp::matmul(da, p)) +
                         jaxpp::matmul(jaxpp::matmul(p, ph), jaxpp::matmul(dah, left)) +
                         jaxpp::matmul(jaxpp::matmul(right, dah), jaxpp::matmul(ph, p)));
          },
      .fwd = {},
      .bwd = {},
      .dropped = {}});
}
}  // namespace

QR qr(const Array& a, bool full_matrices, Loc loc) {
  const UserLine line(loc);
  const std::vector<Array> f = lax::qr(matrix("qr", a, false, loc), {full_matrices, false}, loc);
  return {f[0], f[1]};
}
Eigensystem eigh(const Array& a, Loc loc) {
  const UserLine line(loc);
  const auto [v, w] = lax::eigh(hermitian("eigh", a, loc), {}, loc);
  return {w, v};
}
Array eigvalsh(const Array& a, Loc loc) { return eigh(a, loc).w; }
QR qr(const Array& a, const char* mode, Loc loc) {
  const std::string_view which = mode;
  if (which == "reduced") return qr(a, false, loc);
  if (which == "complete") return qr(a, true, loc);
  if (which == "r") return {Array(), qr(a, false, loc).r};
  if (which != "raw")
    linalg_error("qr: no mode \"" + std::string(which) + "\".", loc,
                 "It is \"reduced\", \"complete\", \"r\" or \"raw\".");
  const UserLine line(loc);
  const auto [reflectors, taus] = lax::geqrf(matrix("qr", a, false, loc), loc);
  return {swapaxes(reflectors, -1, -2), taus};
}
Eigensystem eig(const Array& a, bool eigvec_derivs, Loc loc) {
  const UserLine line(loc);
  const std::vector<Array> f =
      lax::eig(matrix("eig", a, true, loc), {false, true, eigvec_derivs}, loc);
  return {f[0], f[1]};
}
Array eigvals(const Array& a, Loc loc) {
  const UserLine line(loc);
  return lax::eig(matrix("eigvals", a, true, loc), {false, false, false}, loc)[0];
}
SVD svd(const Array& a, bool full_matrices, bool hermitian, Loc loc) {
  const UserLine line(loc);
  if (hermitian) return hermitian_svd(linalg::hermitian("svd", a, loc));
  const std::vector<Array> f =
      lax::svd(matrix("svd", a, false, loc), {true, full_matrices, {}}, loc);
  return {f[1], f[0], f[2]};
}
Array svdvals(const Array& a, bool hermitian, Loc loc) {
  const UserLine line(loc);
  if (hermitian) return hermitian_svd(linalg::hermitian("svdvals", a, loc)).s;
  return lax::svd(matrix("svdvals", a, false, loc), {false, false, {}}, loc)[0];
}

Array pinv(const Array& a, std::optional<double> rcond, bool hermitian, Loc loc) {
  const UserLine line(loc);
  const Array x = hermitian ? linalg::hermitian("pinv", a, loc) : matrix("pinv", a, false, loc);
  Results y;
  internal::custom_call(pinv_rule(rcond, hermitian), {&x, 1}, y);
  return y[0];
}
LeastSquares lstsq(const Array& a, const Array& b, std::optional<double> rcond, Loc loc) {
  const UserLine line(loc);
  const Array square = matrix("lstsq", a, false, loc);
  const bool vector = b.defined() && b.ndim() == 1;
  if (a.ndim() != 2 || !b.defined() || b.ndim() < 1 || b.ndim() > 2 || b.shape(0) != a.shape(0))
    linalg_error("lstsq: " + a.type()->str() + " and the right-hand side" +
                     (b.defined() ? " " + b.type()->str() : std::string()) + " do not fit.",
                 loc, "They are a matrix [m, n] and a vector [m] or a matrix [m, k].");
  const auto [x, y] = internal::promote(square, b, loc);
  const Array rhs = vector ? expand_dims(y, -1) : y;
  const double least = rcond.value_or(rounding_of(x));
  const Array solution = jaxpp::matmul(pinv(x, least, false, loc), rhs);
  const Array error = abs(jaxpp::matmul(x, solution) - rhs), s = svdvals(x, false, loc);
  const Array rank = sum(significant(s, least), -1).astype(i32);
  return {vector ? squeeze(solution, -1) : solution, sum(error * error, 0), rank, s};
}
Array matrix_rank(const Array& a, std::optional<double> rcond, bool hermitian, Loc loc) {
  const UserLine line(loc);
  const Array x = matrix("matrix_rank", a, false, loc);
  return sum(significant(svdvals(x, hermitian, loc), rcond.value_or(rounding_of(x))), -1)
      .astype(i32);
}
Array cond(const Array& a, Order order, Loc loc) {
  const UserLine line(loc);
  const bool spectral =
      order.kind == Order::usual || (order.kind == Order::number && std::abs(order.p) == 2);
  const Array x = matrix("cond", a, !spectral, loc);
  if (x.shape(-1) == 0 || x.shape(-2) == 0)
    linalg_error("cond: " + a.type()->str() + " has no elements in its matrices.", loc);
  if (spectral) {
    const Array s = svdvals(x, false, loc), greatest = max(s, -1), least = min(s, -1);
    if (order.kind != Order::number || order.p > 0) return greatest / least;
    return where(greatest == 0, INFINITY, least / greatest);
  }
  const Array y =
      norm(x, order, {-2, -1}, false, loc) * norm(inv(x, loc), order, {-2, -1}, false, loc);
  return where(isnan(y) & !any(isnan(x), {-2, -1}), INFINITY, y);
}
Array matrix_power(const Array& a, std::int64_t n, Loc loc) {
  const UserLine line(loc);
  if (!a.defined() || a.ndim() < 2 || a.shape(-1) != a.shape(-2))
    matrix("matrix_power", a, true, loc);
  if (n == 0) return broadcast_to(eye(a.shape(-1), a.dtype()), a.shape());
  Array base = n < 0 ? inv(a, loc) : a, y;
  for (std::uint64_t rest = n < 0 ? -std::uint64_t(n) : std::uint64_t(n); rest; rest >>= 1) {
    if (rest & 1) y = y.defined() ? jaxpp::matmul(y, base) : base;
    if (rest > 1) base = jaxpp::matmul(base, base);
  }
  return y;
}
Array expm(const Array& a, bool upper_triangular, int max_squarings, Loc loc) {
  const UserLine line(loc);
  const Array x = matrix("expm", a, true, loc);
  if (x.size() == 0) return x;
  // Pade coefficients of degree 13 (7), and the greatest 1-norm for which they are exact to rounding (Higham 2005).
  static constexpr double c13[] = {64764752532480000.,
                                   32382376266240000.,
                                   7771770303897600.,
                                   1187353796428800.,
                                   129060195264000.,
                                   10559470521600.,
                                   670442572800.,
                                   33522128640.,
                                   1323241920.,
                                   40840800.,
                                   960960.,
                                   16380.,
                                   182.,
                                   1.};
  static constexpr double c7[] = {17297280., 8648640., 1995840., 277200., 25200., 1512., 56., 1.};
  const bool wide = real_of(x.dtype()) == f64;
  const std::span<const double> c =
      wide ? std::span<const double>(c13) : std::span<const double>(c7);
  const double limit = wide ? 5.371920351148152 : 3.925724783138660;
  const int most = max_squarings;
  const Array size = lax::stop_gradient(max(sum(abs(x), -2), -1));
  const Array squarings = clip(ceil(log2(maximum(size / limit, 1.))), 0., double(most)),
              scale = expand_dims(exp2(-squarings), {-1, -2}).astype(x.dtype());
  const Array b = x * scale, b2 = jaxpp::matmul(b, b), unit = eye(x.shape(-1), x.dtype());
  Array power = broadcast_to(unit, x.shape()), even = zeros_like(x), odd = zeros_like(x);
  for (std::size_t k = 0; k < c.size(); k += 2) {  // even and odd powers
    even = even + power * c[k];
    odd = odd + power * c[k + 1];
    if (k + 2 < c.size()) power = jaxpp::matmul(power, b2);
  }
  odd = jaxpp::matmul(b, odd);
  Array y = upper_triangular
                ? lax::triangular_solve(even - odd, even + odd, {.left_side = true}, loc)
                : solve(even - odd, even + odd, loc);
  for (int k = 0; k < most; ++k)
    y = where(expand_dims(squarings, {-1, -2}) > double(k), jaxpp::matmul(y, y), y);
  // Beyond that many squarings the result is out of range.
  return where(expand_dims(size, {-1, -2}) <= limit * std::exp2(most), y,
               full_like(y, std::numeric_limits<double>::quiet_NaN()));
}
Array tensorinv(const Array& a, int ind, Loc loc) {
  const UserLine line(loc);
  need_array(a, "linalg::tensorinv", loc);
  if (ind < 1 || ind > a.ndim())
    linalg_error("tensorinv: ind must be an axis of " + a.type()->str() + ", counted from 1, not " +
                     std::to_string(ind) + ".",
                 loc);
  const Shape before(a.shape().begin(), a.shape().begin() + ind),
      after(a.shape().begin() + ind, a.shape().end());
  const std::int64_t n = make_type(a.dtype(), before)->size;
  if (n != make_type(a.dtype(), after)->size)
    linalg_error("tensorinv: the first " + std::to_string(ind) + " axes of " + a.type()->str() +
                     " have not as many elements as the others.",
                 loc);
  Shape result = after;
  result.append(before.begin(), before.end());
  return inv(a.reshape({n, n}), loc).reshape(result);
}
Array tensorsolve(const Array& a0, const Array& b, const Dims& axes, Loc loc) {
  const UserLine line(loc);
  need_array(a0, "linalg::tensorsolve", loc);
  need_array(b, "linalg::tensorsolve", loc);
  Dims moved;
  for (auto axis : axes) moved.push_back(axis_of(axis, a0, "linalg::tensorsolve", loc));
  Dims order = without(std::size_t(a0.ndim()), moved);
  order.append(moved.begin(), moved.end());
  const Array a = jaxpp::transpose(a0, order, loc);
  const auto split = a.shape().begin() + std::min(a.ndim(), b.ndim());
  const Shape rows(a.shape().begin(), split), result(split, a.shape().end());
  if (rows != b.shape() || make_type(a.dtype(), result)->size != b.size())
    linalg_error("tensorsolve: " + a.type()->str() + " (after the axes were moved) does not fit " +
                     b.type()->str() + ".",
                 loc, "It has the axes of b first, then others with as many elements.");
  return solve(a.reshape({b.size(), b.size()}), ravel(b), loc).reshape(result);
}
namespace {
// Which product of x[i..j] comes last, for every i <= j, by dynamic programming.
struct ProductOrder {
  std::vector<std::vector<std::size_t>> split;
  explicit ProductOrder(const std::vector<double>& sizes) {
    const std::size_t n = sizes.size() - 1;
    std::vector<std::vector<double>> cost(n, std::vector<double>(n, 0));
    split.assign(n, std::vector<std::size_t>(n, 0));
    for (std::size_t length = 1; length < n; ++length)
      for (std::size_t i = 0; i + length < n; ++i) {
        const std::size_t j = i + length;
        cost[i][j] = INFINITY;
        for (std::size_t k = i; k < j; ++k) {
          const double all = cost[i][k] + cost[k + 1][j] + sizes[i] * sizes[k + 1] * sizes[j + 1];
          if (all < cost[i][j]) {
            cost[i][j] = all;
            split[i][j] = k;
          }
        }
      }
  }
  Array product(const std::vector<Array>& x, std::size_t i, std::size_t j) const {
    if (i == j) return x[i];
    return jaxpp::matmul(product(x, i, split[i][j]), product(x, split[i][j] + 1, j));
  }
};
}  // namespace
Array multi_dot(const std::vector<Array>& x, Loc loc) {
  const UserLine line(loc);
  if (x.empty()) linalg_error("multi_dot: needs at least one array.", loc);
  std::vector<double> sizes;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const bool end = i == 0 || i + 1 == x.size();
    const int rank = x[i].defined() ? x[i].ndim() : -1;
    if (rank != 2 && !(rank == 1 && end))
      linalg_error("multi_dot: operand " + std::to_string(i) + " must be a matrix" +
                       (end ? " or a vector" : "") +
                       (rank < 0 ? std::string() : ", not " + x[i].type()->str()) + ".",
                   loc);
    if (i == 0) sizes.push_back(rank == 1 ? 1 : double(x[i].shape(0)));
    sizes.push_back(rank == 1 && i > 0 ? 1 : double(x[i].shape(-1)));
  }
  return ProductOrder(sizes).product(x, 0, x.size() - 1);
}

}  // namespace jaxpp::linalg
