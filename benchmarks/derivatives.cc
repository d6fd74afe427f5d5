// derivatives.cc -- J1 to J8 of workloads.md: Jacobians, Hessians, high orders, two models of ADBench, sparse derivatives.
#include "benchmarks/bench.h"
#include "benchmarks/programs.h"
#include "jaxpp/sparse.h"
using namespace jaxpp;

namespace {

const auto rosenbrock = [](Array x) {
  Array head = x(Slice(None, -1)), tail = x(Slice(1, None));
  return sum(100 * square(tail - square(head)) + square(1 - head));
};
const auto bell = [](Array x) { return sin(x) * exp(-x * x); };

struct Observations {
  Array camera, point;    // of each observation
  Array cameras, points;  // [50, 11], [2000, 3]
  Array weights, seen;
};
Observations observations(std::int64_t n) {
  using namespace bench;
  const std::int64_t cameras = 50, points = 2000;
  const Array i = arange(n);
  return {remainder(i, cameras),
          remainder(7 * i, points),
          concatenate(
              {affine<double>(105, {cameras, 3}, 0, 0.1), affine<double>(106, {cameras, 3}, 0, 0.5),
               affine<double>(107, {cameras, 1}, 1, 0.1), affine<double>(108, {cameras, 2}, 0, 0.1),
               affine<double>(109, {cameras, 2}, 0, 0.01)},
              1),
          random_array<double>(110, {points, 3}) + Array{0., 0., 4.},
          affine<double>(111, {n}, 1, 0.1),
          affine<double>(112, {n, 2}, 0, 0.2)};
}
}  // namespace

void bench::register_derivatives() {
  for (std::int64_t n : {100, 1000}) {
    const auto layer = [n] {
      Array w = affine(91, {n, n}, 0, 1 / std::sqrt(double(n)));
      return [w](Array x) { return sin(matmul(w, x)) * x; };
    };
    add("J1_jacfwd", n, {}, [=] { return run(jit(jacfwd(layer())), random_array(92, {n})); });
    add("J1_jacrev", n, {}, [=] { return run(jit(jacrev(layer())), random_array(92, {n})); });
  }
  for (std::int64_t n : {100, 1000})
    add("J2", n, {}, [n] { return run(jit(hessian(rosenbrock)), random_array<double>(93, {n})); });
  add("J3", 1'000'000, {.gb = 12e-3}, [] {
    auto product = [](Array x, Array v) { return hvp(rosenbrock, x, v); };
    return run(jit(product), random_array(93, {1'000'000}), random_array(94, {1'000'000}));
  });
  const auto third = grad(grad(grad(bell)));
  add("J4_jit", 0, {}, [=] { return run(jit(third), Array(0.5f)); });
  add("J4_eager", 0, {}, [=] { return run(third, Array(0.5f)); });
  add("J5", 0, {}, [] {
    const std::int64_t n = 1000, d = 10, k = 25;
    Mixture m = {random_array<double>(101, {k}), random_array<double>(102, {k, d}),
                 random_array<double>(103, {k, d * (d + 1) / 2})};
    return run(jit(value_and_grad(log_likelihood)), m, random_array<double>(104, {n, d}));
  });
  add("J6", 10'000, {}, [] {
    const Observations o = observations(10'000);
    return run(jit(vmap(projection_jacobian)), take(o.cameras, o.camera, 0),
               take(o.points, o.point, 0), o.weights, o.seen);
  });
  for (std::int64_t n : {100, 10'000})
    add("J7", n, {}, [n] {
      const Array x = random_array<double>(93, {n});
      return run([h = sparse_hessian(rosenbrock, x)](Array v) { return h.values(v); }, x);
    });
  add("J8", 10'000, {}, [] {
    const Observations o = observations(10'000);
    const auto residuals = [o](Array cameras, Array points) {
      return vmap(projection_error)(take(cameras, o.camera, 0), take(points, o.point, 0), o.weights,
                                    o.seen);
    };
    const auto j = sparse_jacobian<0, 1>(residuals, std::tuple(o.cameras, o.points));
    return run([j](Array c, Array p) { return j.values(c, p); }, o.cameras, o.points);
  });
}
