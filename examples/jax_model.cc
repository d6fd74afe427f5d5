// A model from JAX: a small vision transformer, trained and exported by examples/jax_model/train.py, runs, batches and
// differentiates here.  No Python.
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include "jaxpp/jaxpp.h"

using namespace jaxpp;

struct Norm {
  Array scale, shift;
};
struct Attention {
  Norm norm;
  Array qkv, out;
};
struct Mlp {
  Norm norm;
  Array up, down;
};
struct Head {
  Array w, b;
};
struct Model {  // the names of the dictionary in train.py, in any order
  Array embed, position;
  Attention attention;
  Mlp mlp;
  Head head;
};

// 8 x 8 pixels from 0 to 16, and the digit: the last lines are the test set.
std::pair<Array, Array> read_digits(const std::string& file, std::size_t skip) {
  std::ifstream in(file);
  std::vector<float> pixels;
  std::vector<std::int32_t> digits;
  std::string line;
  for (std::size_t k = 0; std::getline(in, line); ++k) {
    if (k < skip || line.empty()) continue;
    char* at = line.data();
    for (int i = 0; i < 64; ++i, ++at) pixels.push_back(std::strtof(at, &at) / 16);  // and a comma
    digits.push_back(std::atoi(at));
  }
  const auto n = std::int64_t(digits.size());
  return {Array(std::span<const float>(pixels), {n, 64}),
          Array(std::span<const std::int32_t>(digits), {n})};
}

int main(int argc, char** argv) {
  const std::string here = argc > 1 ? argv[1] : JAXPP_SOURCE_DIR "/examples";
  const auto logits = load_jaxpr<Array(Model, Array)>(here + "/jax_model/logits.json");
  const auto n = [](auto... sizes) { return zeros({sizes...}, f32); };
  const Norm norm{n(24), n(24)};
  const Model model =
      load_tree(here + "/jax_model/params.safetensors", Model{n(4, 24),
                                                              n(16, 24),
                                                              {norm, n(24, 72), n(24, 24)},
                                                              {norm, n(24, 48), n(48, 24)},
                                                              {n(24, 10), n(10)}});
  const auto [images, digits] = read_digits(here + "/digits/digits.csv", 1438);
  std::cout << logits.program().jaxpr().size() << " equations, " << images.shape()[0]
            << " images\n";

  // Written for one image: vmap makes it one for many, jit compiles it.
  const auto batched = vmap(logits, {.in_axes = {None, 0}});
  const Array y = jit(batched)(model, images);
  const double right = double(mean((argmax(y, 1) == digits).astype(f64)));
  std::printf("test accuracy %.1f %%\n", 100 * right);

  // What JAX computes: logits of ten images, and the derivative of their loss with respect to each pixel.
  NamedArrays jax = load_safetensors(here + "/jax_model/check.safetensors");
  const auto loss = [batched](Model m, Array x, Array labels) {
    const Array p = nn::log_softmax(batched(m, x), 1);
    return -mean(take_along_axis(p, labels(All, None), 1));
  };
  const Array ten = images(Slice(10)), labels = digits(Slice(10));
  const Array saliency = jit(grad<1>(loss))(model, ten, labels);
  const auto error = [](Array a, Array b) { return double(max(abs(a - b)) / max(abs(b))); };
  std::printf("as JAX computes: logits %s, derivatives by pixels %s\n",
              error(y(Slice(10)), jax["logits"]) < 1e-5 ? "yes" : "no",
              error(saliency, jax["saliency"]) < 1e-4 ? "yes" : "no");

  // Training goes on here: one step down the gradient by all weights.
  const auto [before, slope] = jit(value_and_grad(loss))(model, images, digits);
  const Model next = tree_map([](Array w, Array d) { return w - 0.01f * d; }, model, slope);
  std::printf("a step of training lowers the loss: %s\n",
              double(loss(next, images, digits)) < double(before) ? "yes" : "no");
}
