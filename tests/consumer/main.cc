// Uses the library as a stranger would: two translation units, a parameter struct, jit, grad and vmap.
#include <jaxpp/jaxpp.h>
#include <cmath>
#include <cstdio>

double derivative(double at);

struct Line {
  jaxpp::Array slope, offset;
};

int main() {
  using namespace jaxpp;
  auto loss = [](const Line& l, Array x, Array y) {
    Array r = l.slope * x + l.offset - y;
    return mean(r * r);
  };
  auto step = jit([&](Line l, Array x, Array y) {
    Line g = grad(loss)(l, x, y);
    return tree_map([](Array p, Array dp) { return p - 0.1 * dp; }, l, g);
  });
  Array x = {0., 1., 2., 3.}, y = {1., 3., 5., 7.};
  Line line{0.0, 0.0};
  for (int i = 0; i < 500; ++i) line = step(line, x, y);
  Array squares = vmap([](Array v) { return v * v; })(x);
  bool ok = std::abs(derivative(2.0) - (2 * std::cos(2.0) + std::sin(2.0))) < 1e-12 &&
            std::abs(double(line.slope) - 2) < 1e-6 && std::abs(double(line.offset) - 1) < 1e-6 &&
            double(sum(squares)) == 14;
  std::printf("slope %.6f offset %.6f sum of squares %g\n", double(line.slope), double(line.offset),
              double(sum(squares)));
  return ok ? 0 : 1;
}
