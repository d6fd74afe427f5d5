// quickstart.cc -- the tour of the README: derivatives, batching and compilation of plain C++ functions.
#include <jaxpp/jaxpp.h>
#include <cstdio>
#include <iostream>

using namespace jaxpp;

int main() {
  // Any function of Arrays can be differentiated, as often as you like.
  auto f = [](auto x) { return sin(x) * x; };
  std::printf("f(2) = %.10f   f'(2) = %.10f   f'''(2) = %.10f\n", double(f(Array(2.0))),
              double(grad(f)(2.0)), double(grad(grad(grad(f)))(2.0)));

  // Several arguments: say which by number; one call gives value and gradients.
  auto g = [](Array x, Array y) { return sum(x * x * y); };
  Array x = {1., 2., 3.}, y = {4., 5., 6.};
  auto [gx, gy] = grad<0, 1>(g)(x, y);
  std::cout << "dg/dx = " << gx << "   dg/dy = " << gy << "\n";

  // vmap writes the loop over examples: one argument mapped over axis 0, the other shared.
  Array rows = {{1., 2., 3.}, {0., 1., 0.}};
  std::cout << "per row: " << vmap(g, {.in_axes = {0, None}})(rows, y) << "\n";

  // jit traces once for every combination of types, and runs the compiled program from then on.
  auto fast = jit(vmap(grad(f)));
  std::cout << "f' at 0, 1, 2: " << fast(Array{0., 1., 2.}) << "\n";

  // What was traced can be read.
  std::cout << make_jaxpr(grad(f))(2.0) << "\n";
}
