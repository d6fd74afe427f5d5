// linalg_functions.cc -- sqrtm, polar, expm_frechet and eigh_tridiagonal.
//
// The derivatives of sqrtm and polar are solutions x of Sylvester's equation s x + x s = f, which exist where those of the
// factors they are computed from do not (equal singular values, eigenvectors that coincide).  So both carry a rule of
// their own: custom_linear_solve with the equation as its product, solved by the factors of the value, which stay constants.
#include "jaxpp/control.h"
#include "jaxpp/core/user_functions.h"
#include "jaxpp/implicit.h"
#include "jaxpp/jvp.h"
#include "jaxpp/lax.h"
#include "jaxpp/linalg_factors.h"
#include "jaxpp/linalg_internal.h"

namespace jaxpp::linalg {
using namespace internal;

namespace {
Array transposed(const Array& a) { return swapaxes(a, -1, -2); }
Array product(const Array& x, const Array& y) { return jaxpp::matmul(x, y); }

// x with s x + x s = f, as `solve` finds it.  With the transpose of s it is solve(f^T)^T.
template <class Solve>
Array sylvester(const Array& s, const Array& f, const Solve& solve) {
  return custom_linear_solve(
      [&](Array x) { return product(s, x) + product(x, s); }, f,
      [&](const auto&, Array rhs) { return solve(rhs); },
      [&](const auto&, Array rhs) { return transposed(solve(transposed(rhs))); });
}

// ---- sqrtm.  With A = Z T Z^H: Z R Z^H, R the triangular root of T, column by column.
// Column j of the triangle X with op(X) = F, given its columns to the left: rows i < j (or all) of
// (R + r_jj) x_j = rhs.  A pivot of 0 belongs to an equation 0 x = c: 0 if c is 0, else there is no solution.
Array solve_column(const Array& r, const Array& shift, const Array& rhs) {
  const std::int64_t n = r.shape(-1);
  const Array pivots = jaxpp::diagonal(r, 0, -2, -1) + shift, zero = pivots == 0;
  const Array divisor = where(zero, ones_like(pivots), pivots);
  const Array unit = eye(n, r.dtype());
  const Array a = where(unit != 0, expand_dims(divisor, -1) * unit, r);
  const Array x = squeeze(lax::triangular_solve(a, expand_dims(rhs, -1), {.left_side = true}), -1);
  return where(zero & (x != 0), x / zeros_like(x), x);
}
Array column(const Array& x, const Array& j) { return take(x, j, -1, "clip"); }
Array with_column(const Array& x, const Array& j, const Array& c) {
  Results at;
  for (int d = 0; d + 1 < x.ndim(); ++d) at.push_back(Array(std::int64_t(0)));
  at.push_back(j);
  return lax::dynamic_update_slice(x, expand_dims(c, -1), args(at));
}
Array root_of_triangle(const Array& t) {
  const std::int64_t n = t.shape(-1);
  const Array roots = sqrt(jaxpp::diagonal(t, 0, -2, -1));
  const Array diagonal = eye(n, t.dtype()) * expand_dims(roots, -1);
  const Array row = lax::iota(i64, {n}, 0);
  return fori_loop(
      0, n,
      [&](Array j, Array r) {
        // In rows i < j: sum over i <= k < j of r_ik r_kj + r_ij r_jj = t_ij.  Columns from j on are still diagonal.
        const Array above = row < j, shift = expand_dims(column(roots, j), -1);
        const Array x = solve_column(r, shift, where(above, column(t, j), zeros_like(roots)));
        return with_column(r, j, where(above, x, column(diagonal, j)));
      },
      diagonal);
}
// Y with R Y + Y R = F for a triangle R: column j is (R + r_jj)^-1 (f_j - Y r_j), r_j without its diagonal.
Array sylvester_of_triangle(const Array& r, const Array& f) {
  const std::int64_t n = r.shape(-1);
  const Array diagonal = jaxpp::diagonal(r, 0, -2, -1), strict = triu(r, 1);
  return fori_loop(
      0, n,
      [&](Array j, Array y) {
        const Array known = squeeze(product(y, expand_dims(column(strict, j), -1)), -1);
        const Array x = solve_column(r, expand_dims(column(diagonal, j), -1), column(f, j) - known);
        return with_column(y, j, x);
      },
      zeros_like(f));
}
const CustomPtr& sqrtm_rule() {
  static const CustomPtr rule = std::make_shared<const CustomRule>(CustomRule{
      .name = "sqrtm",
      .call =
          [](Args x, Results& y) {  // the root, and its triangle and vectors for derivatives
            const auto [t, z] = lax::schur(x[0]);
            const Array r = root_of_triangle(t);
            y.push_back(product(z, product(r, adjoint(z))));
            y.push_back(r);
            y.push_back(z);
          },
      .jvp =
          [](Args x, Args dx, Results& y, Results& dy) {
            internal::custom_call(sqrtm_rule(), x, y);
            const Array root = y[0], r = lax::stop_gradient(y[1]), z = lax::stop_gradient(y[2]);
            dy.push_back(sylvester(root, dx[0], [=](const Array& f) {
              const Array inner = sylvester_of_triangle(r, product(adjoint(z), product(f, z)));
              return product(z, product(inner, adjoint(z)));
            }));
            dy.push_back(Array());
            dy.push_back(Array());
          },
      .fwd = {},
      .bwd = {},
      .dropped = {}});
  return rule;
}

// ---- polar of tall matrices: A = U P.  With P W + W P = U^H dA - dA^H U (W is skew):
// dU = U W + (I - U U^H) dA P^-1,  dP = U^H dA - W P.
const CustomPtr& polar_rule() {
  static const CustomPtr rule = std::make_shared<const CustomRule>(CustomRule{
      .name = "polar",
      .call =
          [](Args x, Results& y) {
            const std::vector<Array> f = lax::svd(x[0], {true, false, {}});  // s, u, vh
            const Array s = expand_dims(f[0].astype(x[0].dtype()), -2), v = adjoint(f[2]);
            y.push_back(product(f[1], f[2]));
            y.push_back(product(v * s, f[2]));
            y.push_back(f[0]);
            y.push_back(v);
          },
      .jvp =
          [](Args x, Args dx, Results& y, Results& dy) {
            internal::custom_call(polar_rule(), x, y);
            const Array u = y[0], p = y[1], s = lax::stop_gradient(y[2]),
                        v = lax::stop_gradient(y[3]);
            const Array inner = product(adjoint(u), dx[0]);
            const Array w = sylvester(p, inner - adjoint(inner), [=](const Array& f) {
              const Array sums = (expand_dims(s, -1) + expand_dims(s, -2)).astype(f.dtype());
              const Array g = product(adjoint(v), product(f, v)) / sums;
              return product(v, product(g, adjoint(v)));
            });
            Array du = product(u, w);
            if (u.shape(-2) > u.shape(-1))  // what of dA leaves the columns of U
              du = du + adjoint(linalg::solve(p, adjoint(dx[0] - product(u, inner))));
            dy.push_back(du);
            dy.push_back(inner - product(w, p));
            dy.push_back(Array());
            dy.push_back(Array());
          },
      .fwd = {},
      .bwd = {},
      .dropped = {}});
  return rule;
}
// Of any shape, without the rule: for the shapes that have no derivative.
Polar polar_by_svd(const Array& a, Side side) {
  const SVD f = svd(a);
  const Array s = expand_dims(f.s.astype(a.dtype()), -2);
  return {product(f.u, f.vh),
          side == Side::right ? product(adjoint(f.vh) * s, f.vh) : product(f.u * s, adjoint(f.u))};
}
Polar polar_of_tall(const Array& a) {
  Results y;
  internal::custom_call(polar_rule(), {&a, 1}, y);
  return {y[0], y[1]};
}
}  // namespace

Array sqrtm(const Array& a, Loc loc) {
  const UserLine line(loc);
  const Array x = matrix("sqrtm", a, true, loc), z = x.astype(complex_of(x.dtype()));
  if (z.size() == 0) return z;
  Results y;
  internal::custom_call(sqrtm_rule(), {&z, 1}, y);
  return y[0];
}
Polar polar(const Array& a, Side side, Loc loc) {
  const UserLine line(loc);
  const Array x = matrix("polar", a, false, loc);
  const std::int64_t m = x.shape(-2), n = x.shape(-1);
  if (side == Side::right && m >= n) return polar_of_tall(x);
  if (side == Side::right || m > n) return polar_by_svd(x, side);
  const Polar of_adjoint = polar_of_tall(adjoint(x));
  return {adjoint(of_adjoint.u), adjoint(of_adjoint.p)};
}
ExpmFrechet expm_frechet(const Array& a, const Array& e, Loc loc) {
  const UserLine line(loc);
  const auto [x, dx] = internal::promote(matrix("expm_frechet", a, true, loc), e, loc);
  if (x.shape() != dx.shape())
    linalg_error("expm_frechet: the matrix " + a.type()->str() + " and the direction " +
                     e.type()->str() + " differ in shape.",
                 loc);
  const auto [y, dy] = jvp([](Array v) { return expm(v); }, std::tuple(x), std::tuple(dx));
  return {y, dy};
}
Eigensystem eigh_tridiagonal(const Array& d0, const Array& e0,
                             std::optional<std::pair<std::int64_t, std::int64_t>> select, Loc loc) {
  const UserLine line(loc);
  const auto [d, e] = internal::promote(inexact(d0, "linalg::eigh_tridiagonal", loc),
                                        inexact(e0, "linalg::eigh_tridiagonal", loc), loc);
  const std::int64_t n = d.ndim() ? d.shape(-1) : 0;
  if (d.ndim() != e.ndim() || d.ndim() < 1 || e.shape(-1) != std::max<std::int64_t>(n - 1, 0))
    linalg_error("eigh_tridiagonal: " + d0.type()->str() + " and " + e0.type()->str() +
                     " do not fit: there is one element less above the diagonal than on it.",
                 loc);
  if (select && !(0 <= select->first && select->first <= select->second && select->second < n))
    linalg_error("eigh_tridiagonal: select must be (first, last) within the " + std::to_string(n) +
                     " values.",
                 loc);
  const Array number =
      expand_dims(lax::iota(i64, {n}, 0), 0) - expand_dims(lax::iota(i64, {n}, 0), 1);
  auto on = [&](std::int64_t k, const Array& v) {  // v[i] in row i of diagonal k
    return where(number == k, expand_dims(v, -1), zeros({}, v.dtype()));
  };
  auto padded = [&](const Array& v, bool front) {
    std::vector<Dims> config(std::size_t(v.ndim()), Dims{0, 0, 0});
    config.back() = front ? Dims{1, 0, 0} : Dims{0, 1, 0};
    return lax::pad(v, zeros({}, v.dtype()), config);
  };
  Array a = on(0, is_complex(d.dtype()) ? lax::complex(real(d), zeros_like(real(d))) : d);
  if (n > 1) {
    const Array below = is_complex(e.dtype()) ? conj(e) : e;
    a = a + on(1, padded(e, false)) + on(-1, padded(below, true));
  }
  const Eigensystem all = eigh(a, loc);
  if (!select) return all;
  const Slice wanted(select->first, select->second + 1);
  return {all.w(Ellipsis, wanted), all.v(Ellipsis, wanted)};
}

}  // namespace jaxpp::linalg
