// hessian_newton.cc -- second-order optimization: Newton's method and conjugate gradients on Rosenbrock's function.
#include <jaxpp/jaxpp.h>
#include <cstdio>
#include <iostream>

using namespace jaxpp;

Array rosenbrock(Array x) {
  Array head = x(Slice(None, -1)), tail = x(Slice(1, None));
  return sum(100 * square(tail - head * head) + square(1 - head));
}

int main() {
  std::cout << "Hessian at (1, 1, 1)\n" << hessian(rosenbrock)(ones({3}, f64)) << "\n";

  // Newton: solve H d = -g.
  auto newton =
      jit([](Array x) { return x - linalg::solve(hessian(rosenbrock)(x), grad(rosenbrock)(x)); });
  Array x = {1.2, 1.2, 1.2};
  for (int i = 0; i < 8; ++i) {
    std::printf("step %d  f = %.2e\n", i, double(rosenbrock(x)));
    x = newton(x);
  }
  std::cout << "minimum at " << round(x * 1e6) / 1e6 << "\n";

  // Without the matrix: Hessian-vector products (forward over reverse) inside conjugate gradients.
  Array at = full({100}, 1.1), b = grad(rosenbrock)(at);
  auto product = jit([at](Array v) { return hvp(rosenbrock, at, v); });
  Array d = zeros_like(b), r = b, p = b;
  double rr = double(dot(r, r));
  int steps = 0;
  while (rr > 1e-18 && steps < 500) {
    Array hp = product(p);
    Array alpha = rr / dot(p, hp);
    d = d + alpha * p;
    r = r - alpha * hp;
    const double next = double(dot(r, r));
    p = r + (next / rr) * p;
    rr = next;
    ++steps;
  }
  std::printf("conjugate gradients: residual below 1e-9: %s, %s 200 steps\n",
              rr <= 1e-18 ? "yes" : "no", steps < 200 ? "within" : "not within");
  std::printf("H d = g to 1e-7: %s\n", allclose(product(d), b, 0, 1e-7) ? "yes" : "no");
}
