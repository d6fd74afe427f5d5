// matrices.cc -- small steps on batches of matrices that the rules of linear algebra share.
#include "jaxpp/ops/matrices.h"
#include "jaxpp/ops/linalg.h"

namespace jaxpp::internal {

Array matmul(const Array& x, const Array& y) {
  const std::int64_t r = x.ndim();
  return lax::dot_general(x, y, {{r - 1}, {r - 2}, batch_dims(x), batch_dims(y)});
}
Array swapped(const Array& x) {
  Dims p = iota_dims(std::size_t(x.ndim()));
  std::swap(p[p.size() - 1], p[p.size() - 2]);
  return lax::transpose(x, p);
}
Array diagonal_number(std::int64_t m, std::int64_t n) {
  return lax::sub(lax::iota(i32, {m, n}, 1), lax::iota(i32, {m, n}, 0));
}
Array triangle(const Array& x, std::int64_t k, bool upper) {
  const Array number = diagonal_number(rows(x.type()), cols(x.type())),
              limit = lax::full(scalar_type(i32), double(k));
  const Array mask = upper ? lax::ge(number, limit) : lax::le(number, limit);
  const Dims last = {x.ndim() - 2, x.ndim() - 1};
  return lax::select(lax::broadcast_in_dim(mask, x.shape(), last), x, lax::zeros_like(x));
}
Array adjoint(const Array& x) {
  const Array t = swapped(x);
  return is_complex(x.dtype()) ? lax::conj(t) : t;
}
Array diagonals(const Array& x) {
  const Array mask = eye(DType::b1, cols(x.type()));
  const Array only = lax::select(
      lax::broadcast_in_dim(mask, x.shape(), {x.ndim() - 2, x.ndim() - 1}), x, lax::zeros_like(x));
  return lax::reduce_sum(only, {x.ndim() - 1});
}
Array solve_square(const Array& a, const Array& b) {
  const std::vector<Array> f = lax::lu(a);
  return solve_triangular(f[0], solve_triangular(f[0], permute_rows(b, f[2]), true, true, true),
                          true, false);
}
Array eye(DType d, std::int64_t n) {
  return lax::convert_element_type(lax::eq(diagonal_number(n, n), lax::full(scalar_type(i32), 0)),
                                   d);
}
Array add_eye(const Array& x) {
  const Dims last = {x.ndim() - 2, x.ndim() - 1};
  return lax::add(x, lax::broadcast_in_dim(eye(x.dtype(), cols(x.type())), x.shape(), last));
}
Array first_rows(const Array& x, std::int64_t m, std::int64_t n) {
  Dims limit = x.shape();
  limit[limit.size() - 2] = m;
  limit[limit.size() - 1] = n;
  return lax::slice(x, Dims(limit.size(), 0), limit);
}
Array solve_triangular(const Array& a, const Array& b, bool left, bool lower, bool unit,
                       bool adjoint) {
  return lax::triangular_solve(a, b,
                               {.conjugate_a = adjoint,
                                .left_side = left,
                                .lower = lower,
                                .transpose_a = adjoint,
                                .unit_diagonal = unit});
}

void need_rank(const char* op, Type x, std::size_t rank) {
  check(x->shape.size() >= rank, op, [&] {
    return "needs an array of at least " + std::to_string(rank) + " dimensions, not " + x->str();
  });
}
void need_matrix(const char* op, Type x, bool halves) {
  need_rank(op, x, 2);
  check(is_inexact(x->dtype) && (halves || width(real_of(x->dtype)) >= 4), op, [&] {
    return std::string("needs elements of ") +
           (halves ? "a float or complex type" : "f32, f64, c64 or c128") + ", not " + x->str();
  });
}
void need_square(const char* op, Type x, bool halves) {
  need_matrix(op, x, halves);
  check(rows(x) == cols(x), op, [&] { return "needs square matrices, not " + x->str(); });
}
void leading_batch(BatchRule& r) {
  r.prim.bind(Borrowed(lax::move_axis(r.x[0], r.axis[0], 0)), r.params, r.y, Loc::current());
  for (std::size_t i = 0; i < r.prim.outputs(r.params); ++i) r.y_axis[i] = 0;
}

}  // namespace jaxpp::internal
