// factors.cc -- geqrf and schur: factorisations that other functions are made of, without derivatives of their own.
//
// geqrf leaves Q of A = Q R as reflectors (LAPACK's form), which householder_product multiplies out.  schur finds the unitary
// Z and the upper triangle T (real: with 2 x 2 blocks on its diagonal, for pairs of complex eigenvalues) of A = Z T Z^H.
#include "jaxpp/ops/linalg.h"
#include "jaxpp/ops/matrices.h"

namespace jaxpp {
namespace {
using namespace internal;

std::size_t two(Params) { return 2; }
void geqrf_shape(Types x, Params, Type* y) {
  need_matrix("geqrf", x[0]);
  Shape taus = x[0]->shape;
  taus.pop_back();
  taus.back() = std::min(rows(x[0]), cols(x[0]));
  y[0] = x[0];
  y[1] = make_type(x[0]->dtype, taus);
}
void schur_shape(Types x, Params, Type* y) {
  need_square("schur", x[0]);
  y[0] = y[1] = x[0];
}
void no_derivative(JvpRule& r) {
  check(false, r.prim.name,
        [] { return "has no derivative here, as in JAX; qr and linalg::sqrtm have one."; });
}
}  // namespace

const Primitive geqrf_p = {.name = "geqrf",
                           .operands = {1, 1},
                           .shape = geqrf_shape,
                           .jvp = no_derivative,
                           .batch = leading_batch,
                           .num_outputs = two};
const Primitive schur_p = {.name = "schur",
                           .operands = {1, 1},
                           .shape = schur_shape,
                           .jvp = no_derivative,
                           .batch = leading_batch,
                           .num_outputs = two};

namespace lax {  // declared in jaxpp/linalg_factors.h
std::pair<Array, Array> geqrf(const Array& x, Loc loc) {
  Array y[2];
  geqrf_p.bind(Borrowed(x), {}, y, loc);
  return {y[0], y[1]};
}
std::pair<Array, Array> schur(const Array& x, Loc loc) {
  Array y[2];
  schur_p.bind(Borrowed(x), {}, y, loc);
  return {y[0], y[1]};
}
}  // namespace lax

}  // namespace jaxpp
