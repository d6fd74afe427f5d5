// pytrees.cc -- parameters are plain structs: no base class, no macro, no registration.
#include <jaxpp/jaxpp.h>
#include <cstdio>
#include <map>
#include <string>
#include <vector>

using namespace jaxpp;

struct Layer {
  Array w, b;
};
enum class Activation { tanh, relu };
struct Model {
  std::vector<Layer> layers;
  std::map<std::string, Array> scales;
  Activation activation =
      Activation::tanh;  // not an Array: static, part of the key of a compiled program
};

Array forward(const Model& m, Array x) {
  for (const Layer& l : m.layers) {
    x = matmul(x, l.w) + l.b;
    x = m.activation == Activation::tanh ? tanh(x) : maximum(x, 0.0);
  }
  return x * m.scales.at("out");
}

int main() {
  Model m{{{Array{{1., 0.}, {0., 1.}}, Array{0., 0.}}, {Array{{1.}, {-1.}}, Array{0.5}}},
          {{"out", 2.0}}};
  auto loss = [](const Model& model, Array x, Array y) {
    Array r = forward(model, x) - y;
    return mean(r * r);
  };
  Array x = {{0.1, 0.2}, {0.3, -0.4}, {-0.5, 0.6}}, y = {{1.}, {0.}, {-1.}};

  // The gradient has the type of the parameters.
  auto [value, g] = value_and_grad(loss)(m, x, y);
  std::printf("loss %.8f, d/d out %.8f, %zu leaves\n", double(value), double(g.scales.at("out")),
              tree_leaves(g).size());

  // A training step is a function from a struct to a struct.
  auto step = jit([&](Model model, Array xs, Array ys) {
    auto [l, dm] = value_and_grad(loss)(model, xs, ys);
    return std::pair(tree_map([](Array p, Array dp) { return p - 0.1 * dp; }, model, dm), l);
  });
  for (int i = 0; i < 50; ++i) {
    auto [next, l] = step(std::move(m), x, y);
    m = next;
    value = l;
  }
  std::printf("loss after 50 steps %.8f\n", double(value));

  // Another activation is another program: the static value is part of the key.
  m.activation = Activation::relu;
  std::printf("with relu %.8f\n", double(step(m, x, y).second));

  auto [flat, unravel] = ravel(m);
  std::printf("%d numbers in all, restored exactly: %s\n", int(flat.size()),
              array_equal(ravel(unravel(flat)).first, flat) ? "yes" : "no");
}
