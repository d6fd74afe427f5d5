// optimize_test.cc -- optimize.h: known solutions, derivatives of solutions, batches, and problems that have none.
#include <catch2/catch.hpp>
#include <limits>
#include "jaxpp/jaxpp.h"

using namespace jaxpp;
using optimize::Bounds;
using optimize::Status;

namespace {

[[maybe_unused]] Array rosenbrock(Array x) {
  const Array head = x(Slice(None, -1)), tail = x(Slice(1, None));
  return sum(100 * square(tail - head * head) + square(1 - head));
}
Array rosenbrock_residuals(Array x) {
  const Array head = x(Slice(None, -1)), tail = x(Slice(1, None));
  return concatenate({10 * (tail - head * head), 1 - head});
}
bool near(const Array& a, const Array& b, double tolerance = 1e-7) {
  INFO(a << " and " << b);
  return bool(allclose(a, b, tolerance, tolerance));
}
template <class R>
Status status_of(const R& r) {
  return Status(r.status.template item<int>());
}

}  // namespace

TEST_CASE("optimize: least squares of Rosenbrock's function") {
  for (const char* method : {"lm", "gauss_newton"})
    for (const char* solver : {"cholesky", "qr", "cg"}) {
      INFO(method << " " << solver);
      const auto r = optimize::least_squares(rosenbrock_residuals, Array{-1.2, 1.},
                                             {.method = method, .solver = solver});
      INFO(r.summary());
      CHECK(r.success());
      CHECK(near(r.x, Array{1., 1.}));
    }
}
