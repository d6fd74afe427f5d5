// vmap_per_example.cc -- batching by transformation: per-example gradients, pairwise distances, named axes.
#include <jaxpp/jaxpp.h>
#include <cstdio>
#include <iostream>

using namespace jaxpp;

int main() {
  // A model of ONE example.
  auto predict = [](Array w, Array x) { return tanh(dot(w, x)); };
  auto loss = [&](Array w, Array x, Array y) {
    Array r = predict(w, x) - y;
    return r * r;
  };
  Array w = {0.5, -0.25, 0.1};
  Array xs = {{1., 0., 2.}, {0., 1., 1.}, {2., 2., 0.}, {1., 1., 1.}}, ys = {1., 0., -1., 0.5};

  // Its gradient for every example at once: w is shared, x and y are mapped.
  auto per_example = jit(vmap(grad(loss), {.in_axes = {None, 0, 0}}));
  Array gs = per_example(w, xs, ys);
  std::cout << "per-example gradients\n" << gs << "\n";

  // Their sum is the gradient of the summed loss.
  auto total = [&](Array v) { return sum(vmap(loss, {.in_axes = {None, 0, 0}})(v, xs, ys)); };
  std::printf("sum agrees with the gradient of the sum: %s\n",
              allclose(sum(gs, 0), grad(total)(w), 1e-12, 1e-12) ? "yes" : "no");

  // Clipping each example's gradient before averaging, as private training does.
  auto clip = [](Array g) { return g * minimum(1.0, 0.5 / sqrt(sum(g * g))); };
  std::cout << "mean of clipped gradients " << mean(vmap(clip)(gs), 0) << "\n";

  // vmap of vmap: all pairs, from a function of one pair.
  auto distance = [](Array a, Array b) { return sqrt(sum((a - b) * (a - b))); };
  auto pairs = vmap(vmap(distance, {.in_axes = {None, 0}}), {.in_axes = {0, None}});
  std::cout << "distances\n" << pairs(xs, xs) << "\n";

  // A named axis lets the function of one example speak about all of them.
  auto center = [](Array x) { return x - pmean(x, "batch"); };
  std::cout << "centered\n" << vmap(center, {.axis_name = "batch"})(xs) << "\n";
}
