#include "programs.h"
#include "backends/loops/loops.h"
#include "backends/loops/outputs.h"
#include "backends/passes/passes.h"

namespace jaxpp::testing {
namespace {

using Arrays = std::vector<Array>;

template <class F>
GoldenProgram program(std::string name, std::string why, Arrays inputs, F f) {
  GoldenProgram p;
  p.name = std::move(name);
  p.why = std::move(why);
  p.inputs = std::move(inputs);
  p.run = [f](const Arrays& x) { return f(x); };
  p.jitted = [f](const Arrays& x, Device d) { return jit(f, {.device = d})(x); };
  // For one thread and registers of 64 bytes, whatever the machine.
  p.loops = [f](const Arrays& x) {
    internal::JaxprBody computed;
    loops::Outputs(*passes::optimize(*make_jaxpr(f)(x).body()), computed);
    loops::Program program = loops::build(computed);
    loops::schedule(program, {});
    loops::plan_memory(program);
    return loops::print(program);
  };
  p.cuda = [f](const Arrays& x) { return jit(f, {.device = emulated_gpu()}).compile(x).cuda(); };
  p.cost = [f](const Arrays& x, Device d) { return jit(f, {.device = d}).compile(x).cost(); };
  return p;
}

Array values(const Shape& shape, DType d = f32, double scale = 1) {
  std::int64_t n = 1;
  for (auto s : shape) n *= s;
  return (sin(arange(n) * 0.7 + 0.3) * scale).astype(d).reshape(shape);
}

// ---- What a statistician, a physicist and a network want
Array wave(Array x) { return sum(sin(x) * exp(-square(x)) + tanh(x)); }

Array layer_norm(Array x, Array scale, Array shift) {
  Array centred = x - mean(x, -1, true);
  Array variance = mean(square(centred), -1, true);
  return centred / sqrt(variance + 1e-5) * scale + shift;
}

Array mlp_loss(Arrays p, Array x, Array y) {
  Array hidden = nn::relu(matmul(x, p[0]) + p[1]);
  return mean(square(matmul(hidden, p[2]) + p[3] - y));
}

// log sum_k w_k N(x_n | m_k, diag(1 / s_k^2)), summed over n
Array gmm(Array logits, Array mean, Array inverse_sigma, Array x) {
  Array z = (expand_dims(x, 1) - mean) * inverse_sigma;  // [n, k, d]: must never exist
  Array log_p = nn::log_softmax(logits) + sum(log(inverse_sigma), 1) - 0.5 * sum(square(z), 2);
  return sum(nn::logsumexp(log_p, 1));
}

struct State {
  Array x, y, z;
};
Array lorenz(Array x0, Array rho) {
  auto step = [rho](State s, NoneType) {
    const double dt = 0.01;
    State next{s.x + dt * 10.0 * (s.y - s.x), s.y + dt * (s.x * (rho - s.z) - s.y),
               s.z + dt * (s.x * s.y - 8.0 / 3 * s.z)};
    return std::pair(next, None);
  };
  State end = scan(step, State{x0, x0 + 1.0, x0 + 20.0}, None, {.length = 50}).first;
  return end.x + end.y + end.z;
}

Array collatz(Array n) {  // steps until 1, at most 200
  struct Carry {
    Array n, steps;
  };
  return while_loop([](Carry c) { return (c.n != 1) & (c.steps < 200); },
                    [](Carry c) {
                      return Carry{cond(
                                       c.n % 2 == 0, [](Array m) { return floor_divide(m, 2); },
                                       [](Array m) { return 3 * m + 1; }, c.n),
                                   c.steps + 1};
                    },
                    Carry{n, 0})
      .steps;
}

std::vector<GoldenProgram> make() {
  std::vector<GoldenProgram> all;
  auto add = [&](GoldenProgram p) { all.push_back(std::move(p)); };

  add(program(
      "wave_value_and_grad",
      "value_and_grad of sum(sin(x) exp(-x^2) + tanh(x)): the value (a reduction) and the gradient "
      "(an array)\n"
      "share one loop over x.  x is read once, the gradient written once: one pass over memory.",
      {values({1000})}, [](Arrays x) {
        auto [v, g] = value_and_grad(wave)(x[0]);
        return Arrays{v, g};
      }));
  add(program("softmax",
              "The rows are the outer loop; maximum, sum and quotient are loops inside it, so that "
              "a row stays\n"
              "in cache from its first to its last use.  Nothing of the size of x is stored except "
              "the result.",
              {values({64, 300})}, [](Arrays x) { return Arrays{nn::softmax(x[0])}; }));
  add(program(
      "softmax_grad",
      "The gradient of sum(w softmax(x)): still one row loop; forward and backward pass share it.",
      {values({64, 300}), values({64, 300}, f32, 2)}, [](Arrays x) {
        auto f = [w = x[1]](Array v) { return sum(w * nn::softmax(v)); };
        return Arrays{grad(f)(x[0])};
      }));
  add(program("layernorm",
              "Mean, variance and result in one row loop; mean and variance are scalars of a row.",
              {values({64, 300}), values({300}), values({300})},
              [](Arrays x) { return Arrays{layer_norm(x[0], x[1], x[2])}; }));
  add(program(
      "layernorm_grad",
      "The gradient in x, scale and shift: one row loop, which adds to the gradients of scale and "
      "shift row by row.",
      {values({64, 300}), values({300}), values({300}), values({64, 300}, f32, 3)}, [](Arrays x) {
        auto f = [w = x[3]](Array a, Array b, Array c) { return sum(w * layer_norm(a, b, c)); };
        auto [ga, gb, gc] = grad<0, 1, 2>(f)(x[0], x[1], x[2]);
        return Arrays{ga, gb, gc};
      }));
  add(program(
      "matmul_bias_relu",
      "The product is a library call on whole matrices; bias and relu are one loop after it.",
      {values({64, 96}), values({96, 32}), values({32})},
      [](Arrays x) { return Arrays{nn::relu(matmul(x[0], x[1]) + x[2])}; }));
  add(program(
      "mlp_step",
      "One step of gradient descent on a network with one hidden layer: five matrix products, and "
      "loops between\n"
      "them, among which the updates of the parameters.  Their number is part of this text: it "
      "must not grow.",
      {values({32, 64}, f32, .1), values({64}), values({64, 16}, f32, .1), values({16}),
       values({48, 32}), values({48, 16})},
      [](Arrays x) {
        auto loss = [&](Array w1, Array b1, Array w2, Array b2) {
          return mlp_loss({w1, b1, w2, b2}, x[4], x[5]);
        };
        auto [l, g] = value_and_grad<0, 1, 2, 3>(loss)(x[0], x[1], x[2], x[3]);
        auto [g1, g2, g3, g4] = g;
        return Arrays{l, x[0] - 0.1 * g1, x[1] - 0.1 * g2, x[2] - 0.1 * g3, x[3] - 0.1 * g4};
      }));
  add(program("gmm",
              "The log-likelihood of a mixture of Gaussians: nothing of size n x k x d is stored, "
              "and nothing of n x k\n"
              "either: the loop over points holds one row of it.",
              {values({10}), values({10, 8}), exp(values({10, 8})), values({500, 8})},
              [](Arrays x) { return Arrays{gmm(x[0], x[1], x[2], x[3])}; }));
  add(program("gmm_grad",
              "Its gradient in the parameters: one loop over points, with the sums of the "
              "gradients beside it.",
              {values({10}), values({10, 8}), exp(values({10, 8})), values({500, 8})},
              [](Arrays x) {
                auto f = [p = x[3]](Array a, Array m, Array s) { return gmm(a, m, s, p); };
                auto [ga, gm, gs] = grad<0, 1, 2>(f)(x[0], x[1], x[2]);
                return Arrays{ga, gm, gs};
              }));
  add(program(
      "lorenz_vmap",
      "vmap of a scan: the lanes are the outer loop, time the inner one, the state three scalars.",
      {values({100}, f64), values({100}, f64, 28)},
      [](Arrays x) { return Arrays{vmap(lorenz)(x[0], x[1])}; }));
  add(program("lorenz_vmap_grad",
              "Its gradient: still one loop over lanes, with a forward loop that keeps the states, "
              "and a backward loop.",
              {values({100}, f64), values({100}, f64, 28)}, [](Arrays x) {
                auto g = vmap([](Array a, Array b) {
                  auto [ga, gb] = grad<0, 1>(lorenz)(a, b);
                  return std::pair(ga, gb);
                });
                auto [ga, gb] = g(x[0], x[1]);
                return Arrays{ga, gb};
              }));
  add(program(
      "collatz_vmap",
      "vmap of a while loop with a cond inside: each lane stops by itself; no array of predicates.",
      {arange(1, 101)}, [](Arrays x) { return Arrays{vmap(collatz)(x[0])}; }));
  add(program("cumsum",
              "A running sum along the inner axis: rows outside, a serial loop with its sum in a "
              "scalar inside.",
              {values({20, 100})}, [](Arrays x) { return Arrays{cumsum(x[0], 1)}; }));
  add(program("gather",
              "Rows of a table by index: an index from memory, forced into bounds, becomes part of "
              "an address.",
              {values({100, 8}), Array{3, 1, 4, 1, 5, 9, 2, 6}},
              [](Arrays x) { return Arrays{2.0 * take(x[0], x[1], 0)}; }));
  add(program("scatter_add",
              "Histogram-like sums: stores that add at an index from memory; equal indices add up "
              "in order.",
              {values({8}), Array{3, 1, 4, 1, 5, 9, 2, 6}},
              [](Arrays x) { return Arrays{zeros({10}).at(x[1]).add(x[0])}; }));
  add(program("views",
              "A chain of transpose, broadcast, slice and pad around arithmetic: index maps, one "
              "loop for what is\n"
              "inside the frame; no intermediate array.",
              {values({30, 40}), values({30})}, [](Arrays x) {
                Array t = transpose(x[0]) * x[1];                     // [40, 30]
                Array s = t(Slice(4, 36, 2), Slice(None, None, -1));  // [16, 30]
                return Arrays{pad(s, {{1, 2}, {0, 0}}, "constant", -1.f) + 1.0};
              }));
  return all;
}
}  // namespace

const std::vector<GoldenProgram>& golden_programs() {
  static const auto& all = *new std::vector<GoldenProgram>(make());
  return all;
}

}  // namespace jaxpp::testing
