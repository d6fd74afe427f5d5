// derivatives.cc -- J1 to J6 of workloads.md: Jacobians, Hessians, high orders, and two models of ADBench.
#include "benchmarks/bench.h"
using namespace jaxpp;

namespace {

const auto rosenbrock = [](Array x) {
  Array head = x(Slice(None, -1)), tail = x(Slice(1, None));
  return sum(100 * square(tail - square(head)) + square(1 - head));
};
const auto bell = [](Array x) { return sin(x) * exp(-x * x); };

// ---- J5: the log-likelihood of a mixture of Gaussians
struct Mixture {
  Array alphas, means, icf;  // [K], [K, d], [K, d (d + 1) / 2]: logarithms of a diagonal, columns
};
double log_gamma_distribution(double a, int p) {
  double sum = 0.25 * p * (p - 1) * std::log(M_PI);
  for (int j = 1; j <= p; ++j) sum += std::lgamma(a + 0.5 * (1 - j));
  return sum;
}
Array log_likelihood(Mixture m, Array x) {
  const std::int64_t n = x.shape(0), d = x.shape(1), k = m.alphas.shape(0);
  Array log_diagonal = m.icf(All, Slice(None, d)), below = m.icf(All, Slice(d, None));
  Array diagonal = exp(log_diagonal);
  std::vector<int> row, column;
  for (int c = 0; c < d; ++c)
    for (int r = c + 1; r < d; ++r) row.push_back(r), column.push_back(c);
  Array lower = zeros({k, d, d}, x.dtype()).at(All, Array(row), Array(column)).set(below);

  Array centred = x(All, None) - m.means;
  Array q = diagonal * centred + einsum("kij,nkj->nki", lower, centred);
  Array terms = m.alphas + sum(log_diagonal, 1) - 0.5 * sum(square(q), -1);

  const double freedom = double(d) + 1;  // Wishart's prior with gamma = 1, m = 0
  const double constant =
      -0.5 * double(n * d) * std::log(2 * M_PI) -
      double(k) * (freedom * double(d) * std::log(std::sqrt(0.5)) -
                   log_gamma_distribution(0.5 * freedom, int(d)));
  return constant + sum(nn::logsumexp(terms, 1)) - double(n) * nn::logsumexp(m.alphas) +
         0.5 * (sum(square(diagonal)) + sum(square(below)));
}

// ---- J6: the error of a projection, for the adjustment of cameras and points
/// camera: rotation, centre, focal length, principal point, distortion;  point: [3] -> [2]
Array projection_error(Array camera, Array point, Array weight, Array seen) {
  Array r = camera(Slice(0, 3)), centre = camera(Slice(3, 6)), focal = camera(6);
  Array x0 = camera(Slice(7, 9)), k = camera(Slice(9, 11));
  Array v = point - centre, angle = sqrt(sum(r * r)), axis = r / angle, c = cos(angle);
  Array y = v * c + cross(axis, v) * sin(angle) + axis * (dot(axis, v) * (1 - c));
  Array p = y(Slice(None, 2)) / y(2), r2 = sum(p * p);
  p = p * (1 + k(0) * r2 + k(1) * r2 * r2);
  return weight * (focal * p + x0 - seen);
}
/// Its derivatives by camera, point and weight, side by side.   -> [2, 15]
Array projection_jacobian(Array camera, Array point, Array weight, Array seen) {
  auto [dcamera, dpoint, dweight] =
      jacfwd<0, 1, 2>(projection_error)(camera, point, weight, seen);
  return concatenate({dcamera, dpoint, dweight(All, None)}, 1);
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
    const std::int64_t n = 10'000, cameras = 50, points = 2000;
    Array all_cameras = concatenate(
        {affine<double>(105, {cameras, 3}, 0, 0.1), affine<double>(106, {cameras, 3}, 0, 0.5),
         affine<double>(107, {cameras, 1}, 1, 0.1), affine<double>(108, {cameras, 2}, 0, 0.1),
         affine<double>(109, {cameras, 2}, 0, 0.01)},
        1);
    Array all_points = random_array<double>(110, {points, 3}) + Array{0., 0., 4.};
    Array i = arange(n);
    return run(jit(vmap(projection_jacobian)), take(all_cameras, remainder(i, cameras), 0),
               take(all_points, remainder(7 * i, points), 0), affine<double>(111, {n}, 1, 0.1),
               affine<double>(112, {n, 2}, 0, 0.2));
  });
}
