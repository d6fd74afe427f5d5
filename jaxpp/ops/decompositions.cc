// decompositions.cc -- qr, eigh, svd, eig and householder_product, over the last two dimensions.
//
// The factors of A move along tangents of their own kind: Q by Q times a skew matrix, R by an upper triangle, eigenvectors V
// by V times a matrix that vanishes on the diagonal.  So each derivative is a product of the factors with a matrix that is
// read off the projected tangent (Q^H dA R^-1, V^H dA V, U^H dA V), in which differences of eigenvalues (of squared singular
// values) are denominators: there, only distinct ones have a derivative.
#include "jaxpp/ops/linalg.h"
#include "jaxpp/ops/matrices.h"

namespace jaxpp {
namespace {
using namespace internal;
using std::to_string;

Type like(Type t, DType d, std::initializer_list<std::int64_t> last) {
  Shape s = t->shape;
  s.pop_back();
  s.pop_back();
  for (auto n : last) s.push_back(n);
  return make_type(d, s);
}
Array as(const Array& x, DType d) { return lax::convert_element_type(x, d); }
Array number(const Array& like, double v) { return lax::full_like(like, v); }
// v[..., n] times the columns (rows) of x[..., m, n] (x[..., n, m]).
Array scale_columns(const Array& x, const Array& v) {
  Dims dims = batch_dims(x);
  dims.push_back(x.ndim() - 1);
  return lax::mul(x, lax::broadcast_in_dim(v, x.shape(), dims));
}
Array scale_rows(const Array& x, const Array& v) {
  return lax::mul(x, lax::broadcast_in_dim(v, x.shape(), iota_dims(std::size_t(x.ndim() - 1))));
}
// v along the rows and along the columns of n x n matrices.
std::pair<Array, Array> pairs(const Array& v) {
  Shape s = v.shape();
  s.push_back(s.back());
  Dims column = iota_dims(s.size()), row = column;
  column.pop_back();
  row.erase(row.size() - 2);
  return {lax::broadcast_in_dim(v, s, row), lax::broadcast_in_dim(v, s, column)};
}
// v[..., j] - v[..., i] as a matrix [..., i, j].
Array differences(const Array& v) {
  const auto [row, column] = pairs(v);
  return lax::sub(row, column);
}
// Of v^2, as (a + b) (a - b): exactly 0 for a = b, also where a * a - b * b is fused.
Array differences_of_squares(const Array& v) {
  const auto [row, column] = pairs(v);
  return lax::mul(lax::add(row, column), lax::sub(row, column));
}
// 1 / x, and 0 where x is 0.
Array reciprocal(const Array& x) {
  const Array zero = lax::eq(x, lax::zeros_like(x)), one = number(x, 1);
  return lax::select(zero, lax::zeros_like(x), lax::div(one, lax::select(zero, one, x)));
}
Array columns(const Array& x, std::int64_t from, std::int64_t to) {
  return lax::slice_in_dim(x, from, to, x.ndim() - 1);
}

// ---- qr: A = Q R with orthonormal columns of Q and an upper triangle R; with pivoting A P = Q R
std::size_t qr_outputs(Params p) { return p.as<QrParams>().pivoting ? 3 : 2; }
void qr_shape(Types x, Params params, Type* y) {
  auto& p = params.as<QrParams>();
  need_matrix("qr", x[0]);
  const std::int64_t m = rows(x[0]), n = cols(x[0]), k = p.full_matrices ? m : std::min(m, n);
  y[0] = like(x[0], x[0]->dtype, {m, k});
  y[1] = like(x[0], x[0]->dtype, {k, n});
  if (p.pivoting) y[2] = like(x[0], i32, {n});
}
// Of A with at least as many rows as columns: Q^H dA R^-1 = Q^H dQ + dR R^-1, skew plus upper triangular.
void qr_tangents(const Array& q, const Array& r, const Array& da, Array& dq, Array& dr) {
  const Array da_rinv = solve_triangular(r, da, false, false), c = matmul(adjoint(q), da_rinv),
              lower = triangle(c, -1);
  Array skew = lax::sub(lower, adjoint(lower));
  if (is_complex(c.dtype())) {  // R's diagonal stays real
    const Array zero = lax::zeros_like(lax::imag(c)), imaginary = lax::complex(zero, lax::imag(c));
    skew = lax::add(skew, lax::sub(triangle(imaginary, 0), triangle(imaginary, -1)));
  }
  dq = lax::add(matmul(q, lax::sub(skew, c)), da_rinv);
  dr = matmul(lax::sub(c, skew), r);
}
void qr_jvp(JvpRule& r) {
  const auto& p = r.params.as<QrParams>();
  const std::int64_t m = rows(r.x[0].type()), n = cols(r.x[0].type());
  check(!p.full_matrices || m <= n, "qr", [&] {
    return "the columns of Q beyond the rank have no derivative: full_matrices of " +
           r.x[0].type()->str() + ".";
  });
  r.prim.bind(r.x, r.params, r.y, Loc::current());
  Array da = r.dx[0];
  if (p.pivoting) da = swapped(permute_rows(swapped(da), r.y[2]));
  if (m >= n) return qr_tangents(r.y[0], r.y[1], da, r.dy[0], r.dy[1]);
  // Q comes from the first m columns; the others are Q^H A.
  Array dr;
  qr_tangents(r.y[0], columns(r.y[1], 0, m), columns(da, 0, m), r.dy[0], dr);
  const Array rest = columns(r.y[1], m, n);
  const Array drest = matmul(adjoint(r.y[0]), lax::sub(columns(da, m, n), matmul(r.dy[0], rest)));
  const Array parts[] = {dr, drest};
  r.dy[1] = lax::concatenate(parts, da.ndim() - 1);
}

// ---- householder_product: the first columns of H_1 H_2 ..., H_i = I - tau_i v_i v_i^H, v_i below the diagonal of column i
void householder_shape(Types x, Params, Type* y) {
  const char* op = "householder_product";
  need_matrix(op, x[0]);
  need_rank(op, x[1], 1);
  const std::int64_t m = rows(x[0]), n = cols(x[0]), k = x[1]->shape.back();
  check(m >= n && n >= k && x[1]->dtype == x[0]->dtype && x[1] == like(x[0], x[0]->dtype, {k}), op,
        [&] {
          return x[0]->str() + " and taus " + x[1]->str() +
                 " do not fit: taus are at most as many as columns, and these as rows.";
        });
  *y = x[0];
}
void householder_jvp(JvpRule& r) {  // reflector by reflector, from the last: Q := Q - tau v (v^H Q)
  r.prim.bind(r.x, r.params, r.y, Loc::current());
  const Array& a = r.x[0];
  const std::int64_t m = rows(a.type()), n = cols(a.type()), count = r.x[1].shape().back();
  const Array da = instantiate(r.dx[0], a.type()), dtaus = instantiate(r.dx[1], r.x[1].type());
  const Dims last = {a.ndim() - 2, a.ndim() - 1};
  const Array unit = first_rows(eye(a.dtype(), m), m, n);
  Array q = lax::broadcast_in_dim(unit, a.shape(), last), dq = lax::zeros_like(a);
  for (std::int64_t i = count; i-- > 0;) {
    const Array row = lax::iota(i32, {m, 1}, 0), at = lax::full_like(row, double(i));
    auto masked = [&](const Array& x, const Array& mask) {
      return lax::select(lax::broadcast_in_dim(mask, x.shape(), last), x, lax::zeros_like(x));
    };
    auto column = [&](const Array& x) { return masked(columns(x, i, i + 1), lax::gt(row, at)); };
    auto tau = [&](const Array& t) { return lax::expand_dims(columns(t, i, i + 1), {t.ndim()}); };
    const Array below = column(a), dv = column(da),
                v = lax::add(below, masked(number(below, 1), lax::eq(row, at)));
    const Array vhq = matmul(adjoint(v), q),
                dvhq = lax::add(matmul(adjoint(dv), q), matmul(adjoint(v), dq));
    auto outer = [&](const Array& t, const Array& u, const Array& w) {
      return matmul(lax::mul(u, tau(t)), w);
    };
    const Array& t = r.x[1];
    dq = lax::sub(dq,
                  lax::add(outer(dtaus, v, vhq), lax::add(outer(t, dv, vhq), outer(t, v, dvhq))));
    q = lax::sub(q, outer(t, v, vhq));
  }
  *r.dy = dq;
}
void pair_batch(BatchRule& r) {
  const Array a = lax::batch_to_front(r.x[0], r.axis[0], r.size),
              b = lax::batch_to_front(r.x[1], r.axis[1], r.size);
  *r.y = r.prim.apply(r.params, Loc::current(), a, b);
  *r.y_axis = 0;
}

// ---- eigh: v, w with A v = v diag(w) for Hermitian A, of which one triangle is read
std::size_t two(Params) { return 2; }
std::int64_t subset_size(const char* op, const std::optional<Dims>& subset, std::int64_t n) {
  if (!subset) return n;
  const Dims& s = *subset;
  check(s.size() == 2 && 0 <= s[0] && s[0] <= s[1] && s[1] <= n, op, [&] {
    return "subset_by_index must be (first, last) within the " + to_string(n) + " values, not " +
           to_string(s) + ".";
  });
  return s[1] - s[0];
}
void eigh_shape(Types x, Params params, Type* y) {
  auto& p = params.as<EighParams>();
  need_square("eigh", x[0]);
  const std::int64_t n = rows(x[0]), k = subset_size("eigh", p.subset_by_index, n);
  y[0] = like(x[0], x[0]->dtype, {n, k});
  y[1] = like(x[0], real_of(x[0]->dtype), {k});
}
void eigh_jvp(JvpRule& r) {
  const auto& p = r.params.as<EighParams>();
  const std::int64_t n = rows(r.x[0].type());
  check(!p.subset_by_index || subset_size("eigh", p.subset_by_index, n) == n, "eigh", [] {
    return "a subset of the eigenvectors has no derivative here; take the subset of all.";
  });
  r.prim.bind(r.x, r.params, r.y, Loc::current());
  const Array &v = r.y[0], &w = r.y[1];
  const Array c = matmul(adjoint(v), matmul(r.dx[0], v));
  r.dy[0] = matmul(v, lax::mul(as(reciprocal(differences(w)), v.dtype()), c));
  const Array dw = diagonals(c);
  r.dy[1] = is_complex(dw.dtype()) ? lax::real(dw) : dw;
}

// ---- svd: s, u, vt with A = u diag(s) vt
std::size_t svd_outputs(Params p) { return p.as<SvdParams>().compute_uv ? 3 : 1; }
void svd_shape(Types x, Params params, Type* y) {
  auto& p = params.as<SvdParams>();
  need_matrix("svd", x[0]);
  const std::int64_t m = rows(x[0]), n = cols(x[0]),
                     k = subset_size("svd", p.subset_by_index, std::min(m, n));
  check(!p.full_matrices || !p.compute_uv || k == std::min(m, n), "svd",
        [] { return "full_matrices and a subset exclude each other."; });
  y[0] = like(x[0], real_of(x[0]->dtype), {k});
  if (!p.compute_uv) return;
  y[1] = like(x[0], x[0]->dtype, {m, p.full_matrices ? m : k});
  y[2] = like(x[0], x[0]->dtype, {p.full_matrices ? n : k, n});
}
void svd_jvp(JvpRule& r) {
  SvdParams p = r.params.as<SvdParams>();
  const Array& da = r.dx[0];
  const std::int64_t m = rows(da.type()), n = cols(da.type()), k = std::min(m, n);
  check(!p.subset_by_index || subset_size("svd", p.subset_by_index, k) == k, "svd",
        [] { return "a subset of the singular vectors has no derivative here; take it of all."; });
  check(!p.compute_uv || !p.full_matrices || m == n, "svd", [&] {
    return "the vectors beyond the rank have no derivative: full_matrices of " + da.type()->str() +
           ".";
  });
  const bool vectors = p.compute_uv;
  p.compute_uv = true;
  p.full_matrices = false;
  const std::vector<Array> f = lax::svd(r.x[0], p);
  const Array &s = f[0], &u = f[1], &vt = f[2], v = adjoint(vt), ut = adjoint(u);
  const DType d = u.dtype();
  const Array c = matmul(ut, matmul(da, v)), ds = diagonals(c);
  r.y[0] = s;
  r.dy[0] = is_complex(d) ? lax::real(ds) : ds;
  if (!vectors) return;
  r.y[1] = u;
  r.y[2] = vt;
  const Array sd = as(s, d), f_inv = as(reciprocal(differences_of_squares(s)), d),
              cs = scale_columns(c, sd), sc = scale_rows(c, sd), s_inv = reciprocal(sd);
  Array inner = lax::mul(f_inv, lax::add(cs, adjoint(cs)));
  if (is_complex(d)) {  // the phases of pairs (u, v) are free; this keeps those of v
    const Array phase = scale_columns(lax::div(lax::sub(c, adjoint(c)), number(c, 2)), s_inv);
    inner = lax::add(inner, triangle(triangle(phase, 0), 0, true));
  }
  Array du = matmul(u, inner), dv = matmul(v, lax::mul(f_inv, lax::add(sc, adjoint(sc))));
  if (m > n) {
    const Array dav = matmul(da, v);
    du = lax::add(du, scale_columns(lax::sub(dav, matmul(u, matmul(ut, dav))), s_inv));
  }
  if (n > m) {
    const Array dahu = matmul(adjoint(da), u);
    dv = lax::add(dv, scale_columns(lax::sub(dahu, matmul(v, matmul(vt, dahu))), s_inv));
  }
  r.dy[1] = du;
  r.dy[2] = adjoint(dv);
}

// ---- eig: w, and left (vl^H A = w vl^H) and right (A vr = vr w) eigenvectors of any square matrix, complex
std::size_t eig_outputs(Params params) {
  auto& p = params.as<EigParams>();
  return std::size_t(1 + p.compute_left_eigenvectors + p.compute_right_eigenvectors);
}
void eig_shape(Types x, Params params, Type* y) {
  need_square("eig", x[0]);
  const DType d = complex_of(x[0]->dtype);
  const std::int64_t n = rows(x[0]);
  y[0] = like(x[0], d, {n});
  for (std::size_t i = 1; i < eig_outputs(params); ++i) y[i] = like(x[0], d, {n, n});
}
void eig_jvp(JvpRule& r) {  // V^-1 dA V: its diagonal is dw
  const auto& p = r.params.as<EigParams>();
  check(!p.compute_left_eigenvectors && (!p.compute_right_eigenvectors || p.enable_eigvec_derivs),
        "eig", [] {
          return std::string(
              "eigenvectors of a matrix that is not Hermitian have a derivative only with "
              "enable_eigvec_derivs, and right ones only.");
        });
  const std::vector<Array> f = lax::eig(r.x[0], {.compute_left_eigenvectors = false,
                                                 .compute_right_eigenvectors = true,
                                                 .enable_eigvec_derivs = p.enable_eigvec_derivs});
  const Array &w = f[0], &v = f[1];
  const Array c = solve_square(v, matmul(as(r.dx[0], v.dtype()), v));
  r.y[0] = w;
  r.dy[0] = diagonals(c);
  if (!p.compute_right_eigenvectors) return;
  r.y[1] = v;
  // Columns keep the length 1, and the phase in which v^H dv is real.
  const Array dv = matmul(v, lax::mul(reciprocal(differences(w)), c));
  r.dy[1] = lax::sub(dv, scale_columns(v, diagonals(matmul(adjoint(v), dv))));
}
}  // namespace

const Primitive qr_p = {.name = "qr",
                        .operands = {1, 1},
                        .shape = qr_shape,
                        .jvp = qr_jvp,
                        .batch = leading_batch,
                        .num_outputs = qr_outputs,
                        .params = &params_ops<QrParams>};
const Primitive householder_product_p = {.name = "householder_product",
                                         .operands = {2, 2},
                                         .shape = householder_shape,
                                         .jvp = householder_jvp,
                                         .batch = pair_batch};
const Primitive eigh_p = {.name = "eigh",
                          .operands = {1, 1},
                          .shape = eigh_shape,
                          .jvp = eigh_jvp,
                          .batch = leading_batch,
                          .num_outputs = two,
                          .params = &params_ops<EighParams>};
const Primitive svd_p = {.name = "svd",
                         .operands = {1, 1},
                         .shape = svd_shape,
                         .jvp = svd_jvp,
                         .batch = leading_batch,
                         .num_outputs = svd_outputs,
                         .params = &params_ops<SvdParams>};
const Primitive eig_p = {.name = "eig",
                         .operands = {1, 1},
                         .shape = eig_shape,
                         .jvp = eig_jvp,
                         .batch = leading_batch,
                         .num_outputs = eig_outputs,
                         .params = &params_ops<EigParams>};

namespace {
template <class P>
std::vector<Array> bind_all(const Primitive& prim, const Array& x, const P& p, Loc loc) {
  std::vector<Array> y(prim.outputs(p));
  prim.bind(Borrowed(x), p, y.data(), loc);
  return y;
}
}  // namespace
std::vector<Array> lax::qr(const Array& x, const QrParams& p, Loc loc) {
  return bind_all(qr_p, x, p, loc);
}
Array lax::householder_product(const Array& x, const Array& taus, Loc loc) {
  return householder_product_p.apply({}, loc, x, taus);
}
std::pair<Array, Array> lax::eigh(const Array& x, const EighParams& p, Loc loc) {
  std::vector<Array> y = bind_all(eigh_p, x, p, loc);
  return {y[0], y[1]};
}
std::vector<Array> lax::svd(const Array& x, const SvdParams& p, Loc loc) {
  return bind_all(svd_p, x, p, loc);
}
std::vector<Array> lax::eig(const Array& x, const EigParams& p, Loc loc) {
  return bind_all(eig_p, x, p, loc);
}

}  // namespace jaxpp
