// tridiagonal.cc -- tridiagonal_solve: systems with three diagonals, in O(n) operations a right-hand side.
//
// Row i reads dl[i] x[i - 1] + d[i] x[i] + du[i] x[i + 1] = b[i]; dl[0] and du[n - 1] do not count.  Linear in b; with T x = b,
// dx = T^-1 (db - dT x).
#include "jaxpp/ops/matrices.h"

namespace jaxpp {
namespace {
using namespace internal;

void tridiagonal_shape(Types x, Params, Type* y) {
  const char* op = "tridiagonal_solve";
  need_matrix(op, x[3]);
  Shape diagonal = x[3]->shape;
  diagonal.pop_back();
  const Type want = make_type(x[3]->dtype, diagonal);
  for (std::size_t i = 0; i < 3; ++i)
    check(x[i] == want, op, [&] {
      return "the diagonals must be " + want->str() + " for a right-hand side " + x[3]->str() +
             ", not " + x[i]->str() + ".";
    });
  *y = x[3];
}
// x moved by one along its last axis (towards higher indices, or lower ones), zeros where nothing came.
Array shifted_by_one(const Array& x, std::int64_t axis, bool up) {
  std::vector<Dims> padding(std::size_t(x.ndim()), Dims{0, 0, 0});
  padding[std::size_t(axis)] = up ? Dims{1, -1, 0} : Dims{-1, 1, 0};
  return lax::pad(x, lax::full(scalar_type(x.dtype()), 0), padding);
}
Array scaled_rows(const Array& d, const Array& x) {
  return lax::mul(lax::broadcast_in_dim(d, x.shape(), iota_dims(std::size_t(d.ndim()))), x);
}
void tridiagonal_jvp(JvpRule& r) {
  r.prim.bind(r.x, r.params, r.y, Loc::current());
  const Array& x = *r.y;
  const std::int64_t row = x.ndim() - 2;
  Array rhs = r.dx[3];
  auto subtract = [&](const Array& dd, const Array& v) {
    if (dd.defined()) rhs = add_tangents(rhs, lax::neg(scaled_rows(dd, v)));
  };
  subtract(r.dx[0], shifted_by_one(x, row, true));
  subtract(r.dx[1], x);
  subtract(r.dx[2], shifted_by_one(x, row, false));
  *r.dy = r.prim.apply(r.params, Loc::current(), r.x[0], r.x[1], r.x[2], rhs);
}
void tridiagonal_transpose(TransposeRule& r) {
  check(!r.linear(0) && !r.linear(1) && !r.linear(2), "tridiagonal_solve",
        [] { return "not linear in the diagonals."; });
  if (!r.wanted(3)) return;
  const std::int64_t last = r.x[0].ndim() - 1;
  r.add(3, r.prim.apply(r.params, Loc::current(), shifted_by_one(r.x[2], last, true), r.x[1],
                        shifted_by_one(r.x[0], last, false), r.ct[0]));
}
void tridiagonal_batch(BatchRule& r) {
  Results x;
  for (std::size_t i = 0; i < 4; ++i) x.push_back(lax::batch_to_front(r.x[i], r.axis[i], r.size));
  r.prim.bind(args(x), r.params, r.y, Loc::current());
  *r.y_axis = 0;
}
}  // namespace

const Primitive tridiagonal_solve_p = {.name = "tridiagonal_solve",
                                       .operands = {4, 4},
                                       .shape = tridiagonal_shape,
                                       .jvp = tridiagonal_jvp,
                                       .transpose = tridiagonal_transpose,
                                       .batch = tridiagonal_batch,
                                       .params = &params_ops<TridiagonalSolveParams>};

Array lax::tridiagonal_solve(const Array& dl, const Array& d, const Array& du, const Array& b,
                             Loc loc) {
  return tridiagonal_solve_p.apply(TridiagonalSolveParams{}, loc, dl, d, du, b);
}

}  // namespace jaxpp
