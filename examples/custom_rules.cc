// custom_rules.cc -- derivatives written by hand: custom_jvp, custom_vjp, and recomputation with checkpoint.
#include <jaxpp/jaxpp.h>
#include <cstdio>

using namespace jaxpp;

int main() {
  // log(1 + e^x) overflows, and so does its derivative as a quotient of exponentials.
  auto naive = [](Array x) { return log(1 + exp(x)); };
  auto log1pexp =
      custom_jvp([](Array x) { return log(1 + exp(x)); },
                 [](Array x, Array dx) { return std::pair(log(1 + exp(x)), dx / (1 + exp(-x))); });
  std::printf("derivative at 800: naive %g, with the rule %g\n", double(grad(naive)(800.0)),
              double(grad(log1pexp)(800.0)));
  std::printf("second derivative at 1: %.10f\n", double(grad(grad(log1pexp))(1.0)));

  // A reverse rule: the identity, whose cotangent is clipped.  Forward mode transposes the backward function.
  auto clip_gradient =
      custom_vjp([](Array x) { return x; }, [](Array x) { return std::pair(x, x); },
                 [](Array, Array ct) { return clip(ct, -1.0, 1.0); });
  auto steep = [&](Array x) { return 10 * clip_gradient(x) * x; };
  std::printf("clipped slope at 3: %g\n", double(grad(steep)(3.0)));

  // An implicit function: x with x^3 + x = a.  The rule differentiates the equation, not the iteration.
  auto root = custom_vjp(
      [](Array a) {
        Array x = 0.0;
        for (int i = 0; i < 50; ++i) x = x - (x * x * x + x - a) / (3 * x * x + 1);
        return x;
      },
      [](Array a) {
        Array x = 0.0;
        for (int i = 0; i < 50; ++i) x = x - (x * x * x + x - a) / (3 * x * x + 1);
        return std::pair(x, x);
      },
      [](Array x, Array ct) { return ct / (3 * x * x + 1); });
  std::printf("root(10) = %.10f, d root / d a = %.10f\n", double(root(10.0)),
              double(grad(root)(10.0)));

  // checkpoint: the backward pass computes the block again instead of keeping its intermediate values.
  auto block = checkpoint([](Array x) { return tanh(sin(x) * x); });
  auto deep = [&](Array x) {
    for (int i = 0; i < 4; ++i) x = block(x);
    return x;
  };
  std::printf("gradient through four checkpointed blocks: %.10f\n", double(grad(deep)(0.7)));
}
