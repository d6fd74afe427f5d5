// nested_derivatives.cc -- derivatives of derivatives, through closures and plain C++ control flow.
#include <jaxpp/jaxpp.h>
#include <cstdio>

using namespace jaxpp;

int main() {
  // x * d/dy (x + y) at y = 1 is x, so its derivative is 1: the inner derivative does not disturb the outer one.
  auto closure = [](Array x) { return x * grad([x](Array y) { return x + y; })(1.0); };
  std::printf("d/dx x * d/dy (x + y)     = %g\n", double(grad(closure)(1.0)));

  // While only grad looks at it, a value is there: `if` and `while` just work.
  auto piecewise = [](Array x) {
    if (x < 2) return x * x * x;
    return 3 * x;
  };
  std::printf("piecewise' at 1 and 3     = %g %g\n", double(grad(piecewise)(1.0)),
              double(grad(piecewise)(3.0)));

  auto newton_sqrt = [](Array a) {
    Array x = 1.0;
    while (abs(x * x - a) > 1e-14) x = 0.5 * (x + a / x);
    return x;
  };
  std::printf("sqrt(2), d sqrt(a)/da at 2 = %.12f %.12f\n", double(newton_sqrt(2.0)),
              double(grad(newton_sqrt)(2.0)));

  // Order five, forward over reverse over reverse ...
  auto f = [](Array x) { return exp(sin(x)); };
  auto d3 = grad(grad(grad(f)));
  auto [y3, y4] = jvp(d3, Array(0.5), Array(1.0));
  std::printf("third and fourth derivative of exp(sin(x)) at 0.5 = %.10f %.10f\n", double(y3),
              double(y4));

  // A descent step differentiated with respect to its rate.
  auto after_descent = [](Array rate) {
    auto loss = [](Array x) { return (x - 2) * (x - 2); };
    Array x = 0.0;
    for (int i = 0; i < 5; ++i) x = x - rate * grad(loss)(x);
    return loss(x);
  };
  std::printf("loss after descent, and its derivative by the rate = %.10f %.10f\n",
              double(after_descent(0.1)), double(grad(after_descent)(0.1)));
}
