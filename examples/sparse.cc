// sparse.cc -- sparse derivatives: a pattern, a chain of 10,000 unknowns by Newton's method, and a partial differential equation.
#include <jaxpp/jaxpp.h>
#include <jaxpp/sparse_eigen.h>
#include <Eigen/SparseCholesky>
#include <Eigen/SparseLU>
#include <cstdio>
#include <iostream>

using namespace jaxpp;
using Matrix = Eigen::SparseMatrix<double>;

// f64 arrays and Eigen's vectors.
Eigen::VectorXd to_vector(const Array& x) {
  const auto v = x.span<double>();
  return Eigen::Map<const Eigen::VectorXd>(v.data(), Eigen::Index(v.size()));
}
Array to_array(const Eigen::VectorXd& v, const Shape& shape) {
  return Array(std::span<const double>(v.data(), std::size_t(v.size())), shape);
}

Array rosenbrock(Array x) {
  Array head = x(Slice(None, -1)), tail = x(Slice(1, None));
  return sum(100 * square(tail - square(head)) + square(1 - head));
}

// Bratu's equation -- d2u/dx2 + d2u/dy2 + 5 exp(u) = 0 in the unit square, u = 0 on its border -- at n x n inner points.
Array bratu(Array u) {
  const double n = double(u.shape()[0]);
  Array v = pad(u, 1);
  const Slice low(None, -2), middle(1, -1), high(2, None);
  Array neighbours = v(low, middle) + v(high, middle) + v(middle, low) + v(middle, high);
  return (neighbours - 4 * u) * ((n + 1) * (n + 1)) + 5 * exp(u);
}

int main() {
  // Which entries can differ from 0?  The program of the function says it, without a point.
  auto differences = [](Array x) { return x(Slice(1, None)) - square(x(Slice(None, -1))); };
  std::cout << sparsity(differences)(ones({4}, f64)).to_dense().astype(i32) << "\n";

  // Newton's method: the structure of the Hessian is found, and analyzed by the solver, once.
  Array x = full({10'000}, 1.1, f64);
  auto gradient = jit(grad(rosenbrock));
  auto hessian = sparse_hessian(rosenbrock, x);
  std::printf("Hessian: %d entries, from %d products\n", int(hessian.nnz()), int(hessian.colors()));
  Matrix h = to_eigen(hessian(x));
  Eigen::SimplicialLDLT<Matrix> cholesky;
  cholesky.analyzePattern(h);
  for (int step = 0; step < 8; ++step) {
    refill(h, hessian(x));
    cholesky.factorize(h);
    x = x - to_array(cholesky.solve(to_vector(gradient(x))), x.shape());
  }
  std::printf("at the minimum: %s\n", allclose(x, ones_like(x)) ? "yes" : "no");

  // A system of 2,500 nonlinear equations: each knows its neighbours in the plane.
  Array u = zeros({50, 50}, f64);
  auto residual = jit(bratu);
  auto jacobian = sparse_jacobian(bratu, u);
  std::printf("Jacobian: %d entries, from %d products\n", int(jacobian.nnz()),
              int(jacobian.colors()));
  Matrix j = to_eigen(jacobian(u));
  Eigen::SparseLU<Matrix> lu;
  lu.analyzePattern(j);
  for (int step = 0; step < 6; ++step) {
    refill(j, jacobian(u));
    lu.factorize(j);
    u = u - to_array(lu.solve(to_vector(ravel(residual(u)))), u.shape());
  }
  std::printf("residual below 1e-8: %s, largest u = %.4f\n",
              bool(max(abs(residual(u))) < 1e-8) ? "yes" : "no", double(max(u)));
}
