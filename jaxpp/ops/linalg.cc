// linalg.cc -- factorisations and triangular systems: cholesky, lu, triangular_solve,
// lu_pivots_to_permutation.
//
// All act on the last two dimensions (the last one, for pivots) and batch over the leading ones.
// With A = L U or A = L L^H the derivative of the factors is a triangular part of L^-1 dA U^-1; a
// triangular system is linear in its right-hand side, and d(A^-1 B) = A^-1 (dB - dA A^-1 B).
#include "jaxpp/ops/linalg.h"
#include "jaxpp/ops/indexing.h"
#include "jaxpp/ops/matrices.h"

namespace jaxpp {
namespace internal {
Array permute_rows(const Array& x, const Array& permutation) {
  const std::int64_t b = x.ndim() - 2;
  Shape index = permutation.shape(), sizes(x.ndim(), 1);
  index.push_back(1);
  sizes.back() = x.shape().back();
  for (std::int64_t i = 0; i < b; ++i)
    sizes[std::size_t(i)] = std::min<std::int64_t>(1, x.shape()[std::size_t(i)]);
  return lax::gather(x, lax::reshape(permutation, index),
                     {.dimension_numbers =
                          {{b + 1}, {b}, {b}, iota_dims(std::size_t(b)), iota_dims(std::size_t(b))},
                      .fill_value = {},
                      .indices_are_sorted = false,
                      .mode = IndexMode::PROMISE_IN_BOUNDS,
                      .slice_sizes = sizes,
                      .unique_indices = true});
}
}  // namespace internal

namespace {
using namespace internal;

// Zeros below and to the right, up to an m x n matrix.
Array padded(const Array& x, std::int64_t m, std::int64_t n) {
  std::vector<Dims> config(std::size_t(x.ndim()), Dims{0, 0, 0});
  config[config.size() - 2] = {0, m - rows(x.type()), 0};
  config[config.size() - 1] = {0, n - cols(x.type()), 0};
  return lax::pad(x, lax::full(scalar_type(x.dtype()), 0), config);
}
// ---- cholesky: L with A = L L^H, from the lower triangle of A; above the diagonal A's own elements
void cholesky_shape(Types x, Params, Type* y) {
  need_square("cholesky", x[0]);
  *y = x[0];
}
void cholesky_jvp(
    JvpRule& r) {  // dL = L phi(L^-1 dA L^-H), phi: the lower triangle with half the diagonal
  const Array l = *r.y = lax::cholesky(r.x[0]);  // without those
  const Array inner =
      solve_triangular(l, solve_triangular(l, r.dx[0], false, true, false, true), true, true);
  *r.dy = matmul(l, lax::div(triangle(inner, 0), add_eye(lax::full_like(inner, 1))));
}

// ---- triangular_solve: op(a) x = b, or x op(a) = b
void triangular_solve_shape(Types x, Params params, Type* y) {
  auto& p = params.as<TriangularSolveParams>();
  const char* op = "triangular_solve";
  need_square(op, x[0], true);
  need_matrix(op, x[1], true);
  check(x[0]->dtype == x[1]->dtype, op,
        [&] { return "element types differ: " + x[0]->str() + " and " + x[1]->str(); });
  const std::size_t batch = x[0]->shape.size() - 2;
  check(x[1]->shape.size() == batch + 2 &&
            std::equal(x[0]->shape.begin(), x[0]->shape.begin() + batch, x[1]->shape.begin()),
        op, [&] { return "leading dimensions differ: " + x[0]->str() + " and " + x[1]->str(); });
  check(cols(x[0]) == (p.left_side ? rows(x[1]) : cols(x[1])), op, [&] {
    return x[0]->str() + " does not fit " + x[1]->str() + " from the " +
           (p.left_side ? "left" : "right");
  });
  *y = x[1];
}
void triangular_solve_jvp(JvpRule& r) {
  auto& p = r.params.as<TriangularSolveParams>();
  const Array &a = r.x[0], x = *r.y = lax::triangular_solve(a, r.x[1], p);
  auto solve = [&](const Array& b) { return lax::triangular_solve(a, b, p); };
  if (r.dx[0].defined()) {
    const std::int64_t k = p.unit_diagonal ? 1 : 0;
    Array da = lax::neg(triangle(r.dx[0], p.lower ? -k : k, !p.lower));
    if (p.transpose_a) da = swapped(da);
    if (p.conjugate_a && is_complex(da.dtype())) da = lax::conj(da);
    const std::int64_t m = rows(x.type()), n = cols(x.type());
    // (A^-1 dA) X or A^-1 (dA X), whichever is cheaper.
    if (p.left_side)
      *r.dy = m > n ? solve(matmul(da, x)) : matmul(solve(da), x);
    else
      *r.dy = m < n ? solve(matmul(x, da)) : matmul(x, solve(da));
  }
  if (r.dx[1].defined()) *r.dy = add_tangents(*r.dy, solve(r.dx[1]));
}
void triangular_solve_transpose(TransposeRule& r) {
  check(!r.linear(0), "triangular_solve", [] { return "not linear in the matrix"; });
  TriangularSolveParams p = r.params.as<TriangularSolveParams>();
  p.transpose_a = !p.transpose_a;
  if (r.wanted(1)) r.add(1, lax::triangular_solve(r.x[0], r.ct[0], p));
}
void triangular_solve_batch(BatchRule& r) {
  auto& p = r.params.as<TriangularSolveParams>();
  if (r.axis[0] >= 0) {
    *r.y = lax::triangular_solve(lax::batch_to_front(r.x[0], r.axis[0], r.size),
                                 lax::batch_to_front(r.x[1], r.axis[1], r.size), p);
    *r.y_axis = 0;
    return;
  }
  // One matrix for all: more right-hand sides of it.
  const std::int64_t rank = r.x[1].ndim();
  const std::int64_t axis = p.left_side ? rank - 1 : rank - 2;
  const Array b = lax::move_axis(r.x[1], r.axis[1], axis);
  Shape flat = b.shape();
  flat.erase(std::size_t(axis));
  flat[std::size_t(axis - 1)] *= r.size;
  *r.y = lax::reshape(lax::triangular_solve(r.x[0], lax::reshape(b, flat), p), b.shape());
  *r.y_axis = int(axis);
}

// ---- lu: P A = L U with L unit lower trapezoidal; results lu (both in one), pivots, permutation
void lu_shape(Types x, Params, Type* y) {
  need_matrix("lu", x[0]);
  Shape s = x[0]->shape;
  const std::int64_t m = rows(x[0]), n = cols(x[0]);
  s.pop_back();
  y[0] = x[0];
  y[2] = make_type(i32, s);
  s.back() = std::min(m, n);
  y[1] = make_type(i32, s);
}
void lu_jvp(JvpRule& r) {
  // L^-1 P dA U^-1 = L^-1 dL + dU U^-1: the strictly lower part belongs to dL, the rest to dU.
  r.prim.bind(r.x, r.params, r.y, Loc::current());
  const Array& lu = r.y[0];
  const std::int64_t m = rows(lu.type()), n = cols(lu.type()), k = std::min(m, n);
  const Array l = add_eye(padded(triangle(first_rows(lu, m, k), -1), m, m));
  Array u = padded(triangle(first_rows(lu, k, n), 0, true), n, n);
  if (n > k) {  // ones on the rest of the diagonal: the columns right of the square are free
    const Array ones = lax::convert_element_type(
        lax::ge(lax::iota(i32, {n, n}, 0), lax::full(scalar_type(i32), double(k))), lu.dtype());
    u = lax::add(u, lax::broadcast_in_dim(lax::mul(ones, eye(lu.dtype(), n)), u.shape(),
                                          {u.ndim() - 2, u.ndim() - 1}));
  }
  const Array inner = solve_triangular(
      u, solve_triangular(l, permute_rows(r.dx[0], r.y[2]), true, true, true), false, false);
  r.dy[0] = lax::add(matmul(l, triangle(inner, -1)), matmul(triangle(inner, 0, true), u));
}

// ---- lu_pivots_to_permutation
void permutation_shape(Types x, Params params, Type* y) {
  const char* op = "lu_pivots_to_permutation";
  const std::int64_t n = params.as<PermutationParams>().permutation_size;
  need_rank(op, x[0], 1);
  check(x[0]->dtype == i32, op, [&] { return "pivots must be i32, not " + x[0]->str(); });
  check(n >= x[0]->shape.back(), op, [&] {
    return "a permutation of " + std::to_string(n) + " elements cannot have the pivots " +
           x[0]->str();
  });
  Shape s = x[0]->shape;
  s.back() = n;
  *y = make_type(i32, s);
}
std::size_t three(Params) { return 3; }
}  // namespace

const Primitive cholesky_p = {.name = "cholesky",
                              .operands = {1, 1},
                              .shape = cholesky_shape,
                              .jvp = cholesky_jvp,
                              .batch = leading_batch};
const Primitive triangular_solve_p = {.name = "triangular_solve",
                                      .operands = {2, 2},
                                      .shape = triangular_solve_shape,
                                      .jvp = triangular_solve_jvp,
                                      .transpose = triangular_solve_transpose,
                                      .batch = triangular_solve_batch,
                                      .params = &params_ops<TriangularSolveParams>};
const Primitive lu_p = {.name = "lu",
                        .operands = {1, 1},
                        .shape = lu_shape,
                        .jvp = lu_jvp,
                        .batch = leading_batch,
                        .num_outputs = three};
const Primitive lu_pivots_to_permutation_p = {.name = "lu_pivots_to_permutation",
                                              .operands = {1, 1},
                                              .shape = permutation_shape,
                                              .batch = leading_batch,
                                              .params = &params_ops<PermutationParams>,
                                              .differentiable = false};

Array lax::cholesky(const Array& x, Loc loc) { return triangle(cholesky_p.apply({}, loc, x), 0); }
Array lax::triangular_solve(const Array& a, const Array& b, const TriangularSolveParams& p,
                            Loc loc) {
  return triangular_solve_p.apply(p, loc, a, b);
}
std::vector<Array> lax::lu(const Array& x, Loc loc) {
  std::vector<Array> y(3);
  lu_p.bind(Borrowed(x), {}, y.data(), loc);
  return y;
}
Array lax::lu_pivots_to_permutation(const Array& pivots, std::int64_t permutation_size, Loc loc) {
  return lu_pivots_to_permutation_p.apply(PermutationParams{permutation_size}, loc, pivots);
}

}  // namespace jaxpp
