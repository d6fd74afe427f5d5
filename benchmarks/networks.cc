// networks.cc -- N1 to N5 of workloads.md: training steps and gradients of networks.
#include "benchmarks/bench.h"
#include "benchmarks/programs.h"
using namespace jaxpp;

namespace bench {

namespace {

// ---- N3: a transformer block, normalized before each half
struct Norm {
  Array gain, bias;
};
struct Block {
  Norm before_attention;
  Layer qkv, out;
  Norm before_mlp;
  Layer up, down;
};
constexpr std::int64_t kHeads = 8;

Array attention(Array q, Array k, Array v) {
  const std::int64_t steps = q.shape(1), size = q.shape(3);
  Array scores = einsum("bthd,bshd->bhts", q, k) / std::sqrt(double(size));
  scores = where(tri(steps, steps) > 0, scores, -1e9);
  return einsum("bhts,bshd->bthd", nn::softmax(scores), v);
}
Array block_loss(Block p, Array x) {
  const std::int64_t batch = x.shape(0), steps = x.shape(1), width = x.shape(2);
  auto apply = [](const Layer& l, Array v) { return matmul(v, l.w) + l.b; };

  Array h = layer_norm(x, p.before_attention.gain, p.before_attention.bias);
  h = apply(p.qkv, h).reshape({batch, steps, 3, kHeads, width / kHeads});
  h = attention(h(All, All, 0), h(All, All, 1), h(All, All, 2));
  x = x + apply(p.out, h.reshape({batch, steps, width}));

  h = layer_norm(x, p.before_mlp.gain, p.before_mlp.bias);
  x = x + apply(p.down, nn::gelu(apply(p.up, h)));
  return mean(square(x));
}

// ---- N5: a gradient for each example
Array regression_loss(Mlp m, Array x, Array y) {
  for (int i : {0, 1}) x = tanh(matmul(x, m[i].w) + m[i].b);
  return square((matmul(x, m[2].w) + m[2].b)(0) - y);
}

}  // namespace

void register_networks() {
  add("N1", 0, {}, [] {
    auto [m, x, y] = mlp_inputs();
    return training(mlp_loss, m, x, y);
  });
  add("N3", 0, {}, [] {
    const std::int64_t d = 256;
    Norm norm = {ones({d}), zeros({d})};
    Block p = {norm, {dense(61, d, 3 * d), zeros({3 * d})}, {dense(62, d, d), zeros({d})},
               norm, {dense(63, d, 4 * d), zeros({4 * d})}, {dense(64, 4 * d, d), zeros({d})}};
    return run(jit(value_and_grad(block_loss)), p, random_array(65, {4, 256, d}));
  });
  add("N4", 0, {}, [] {
    auto [p, xs] = lstm_inputs();
    return run(jit(value_and_grad(lstm_loss)), p, xs);
  });
  add("N5", 0, {}, [] {
    Mlp m = {{dense(71, 32, 64), zeros({64})},
             {dense(72, 64, 64), zeros({64})},
             {dense(73, 64, 1), zeros({1})}};
    auto per_example = vmap(grad(regression_loss), {.in_axes = {None, 0, 0}});
    return run(jit(per_example), m, random_array(74, {1024, 32}), random_array(75, {1024}));
  });
}

}  // namespace bench
