// programs.cc -- programs that several groups of workloads.md share, or that are compared with hand-written ones (cpp/).
#include "benchmarks/programs.h"
using namespace jaxpp;

namespace bench {

Array cross_entropy(Array logits, Array y) {
  return -mean(take_along_axis(nn::log_softmax(logits), y(All, None), 1));
}
Array mlp_loss(Mlp m, Array x, Array y) {
  Layer last = m.back();
  m.pop_back();
  for (const Layer& l : m) x = nn::relu(matmul(x, l.w) + l.b);
  return cross_entropy(matmul(x, last.w) + last.b, y);
}
Digits mlp_inputs() {
  return {{{dense(51, 784, 512), zeros({512})},
           {dense(52, 512, 512), zeros({512})},
           {dense(53, 512, 10), zeros({10})}},
          random_array(54, {128, 784}),
          labels(128, 10)};
}

Array lstm_loss(Lstm p, Array xs) {
  struct State {
    Array h, c;
  };
  auto cell = [&](State s, Array x) {
    auto gates = split(matmul(x, p.wx) + matmul(s.h, p.wh) + p.b, 4, -1);
    Array i = nn::sigmoid(gates[0]), f = nn::sigmoid(gates[1]), o = nn::sigmoid(gates[3]);
    Array c = f * s.c + i * tanh(gates[2]);
    Array h = o * tanh(c);
    return std::pair(State{h, c}, h);
  };
  Array zero = zeros({xs.shape(1), p.wh.shape(0)});
  return mean(square(scan(cell, State{zero, zero}, xs).second));
}
Sequence lstm_inputs() {
  return {{dense(66, 64, 256), dense(67, 64, 256), zeros({256})}, random_array(68, {100, 32, 64})};
}

Point lorenz(Point start, Lorenz field, std::int64_t steps) {
  const double dt = 1e-3;
  auto moved = [](Point p, double t, Point d) {
    return tree_map([=](Array u, Array du) { return u + t * du; }, p, d);
  };
  auto step = [&](Point p) {
    Point k1 = field(p), k2 = field(moved(p, dt / 2, k1)), k3 = field(moved(p, dt / 2, k2)),
          k4 = field(moved(p, dt, k3));
    auto combined = [=](Array u, Array a, Array b, Array c, Array d) {
      return u + dt / 6 * (a + 2 * b + 2 * c + d);
    };
    return std::pair(tree_map(combined, p, k1, k2, k3, k4), None);
  };
  return scan(step, start, None, {.length = steps}).first;
}

static double log_gamma_distribution(double a, int p) {
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
  const double constant = -0.5 * double(n * d) * std::log(2 * M_PI) -
                          double(k) * (freedom * double(d) * std::log(std::sqrt(0.5)) -
                                       log_gamma_distribution(0.5 * freedom, int(d)));
  return constant + sum(nn::logsumexp(terms, 1)) - double(n) * nn::logsumexp(m.alphas) +
         0.5 * (sum(square(diagonal)) + sum(square(below)));
}

Array projection_error(Array camera, Array point, Array weight, Array seen) {
  Array r = camera(Slice(0, 3)), centre = camera(Slice(3, 6)), focal = camera(6);
  Array x0 = camera(Slice(7, 9)), k = camera(Slice(9, 11));
  Array v = point - centre, angle = sqrt(sum(r * r)), axis = r / angle, c = cos(angle);
  Array y = v * c + cross(axis, v) * sin(angle) + axis * (dot(axis, v) * (1 - c));
  Array p = y(Slice(None, 2)) / y(2), r2 = sum(p * p);
  p = p * (1 + k(0) * r2 + k(1) * r2 * r2);
  return weight * (focal * p + x0 - seen);
}
Array projection_jacobian(Array camera, Array point, Array weight, Array seen) {
  auto [dcamera, dpoint, dweight] = jacfwd<0, 1, 2>(projection_error)(camera, point, weight, seen);
  return concatenate({dcamera, dpoint, dweight(All, None)}, 1);
}

}  // namespace bench
