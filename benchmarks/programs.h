// programs.h -- programs that several groups of workloads.md share.
#pragma once
#include "benchmarks/inputs.h"

namespace bench {

/// (x - mean) / sqrt(variance + 1e-5) * gain + bias, along the last axis.
inline jaxpp::Array layer_norm(jaxpp::Array x, jaxpp::Array gain, jaxpp::Array bias) {
  return jaxpp::nn::standardize(x, -1, 1e-5) * gain + bias;
}

/// Steps of gradient descent: each call does one, with the parameters of the one before.
template <class Loss, class Params>
auto training(Loss loss, Params p, jaxpp::Array x, jaxpp::Array y) {
  auto step = jaxpp::jit([loss](Params q, jaxpp::Array in, jaxpp::Array out) {
    auto [value, g] = jaxpp::value_and_grad(loss)(q, in, out);
    return std::pair(
        value, jaxpp::tree_map([](jaxpp::Array a, jaxpp::Array d) { return a - 0.01 * d; }, q, g));
  });
  return [=]() mutable {
    auto result = step(std::move(p), x, y);
    p = result.second;
    return result;
  };
}

// ---- N1: a multi-layer perceptron
struct Layer {
  jaxpp::Array w, b;
};
using Mlp = std::vector<Layer>;

/// The mean of -log(softmax(logits)) at the right classes.   logits: [batch, classes];  y: [batch]
jaxpp::Array cross_entropy(jaxpp::Array logits, jaxpp::Array y);
jaxpp::Array mlp_loss(Mlp m, jaxpp::Array x, jaxpp::Array y);
struct Digits {
  Mlp m;
  jaxpp::Array x, y;
};
Digits mlp_inputs();

// ---- N4: an LSTM over a sequence
struct Lstm {
  jaxpp::Array wx, wh, b;
};
/// The mean square of the hidden states.   xs: [steps, batch, in]
jaxpp::Array lstm_loss(Lstm p, jaxpp::Array xs);
struct Sequence {
  Lstm p;
  jaxpp::Array xs;
};
Sequence lstm_inputs();

// ---- L1, L2: the Lorenz system by the method of Runge and Kutta
struct Point {
  jaxpp::Array x, y, z;
};
struct Lorenz {
  jaxpp::Array sigma, rho, beta;
  Point operator()(Point p) const {
    return {sigma * (p.y - p.x), p.x * (rho - p.z) - p.y, p.x * p.y - beta * p.z};
  }
};
/// The state after so many steps of 0.001.
Point lorenz(Point start, Lorenz field, std::int64_t steps);

// ---- J5: a mixture of Gaussians (ADBench)
struct Mixture {
  jaxpp::Array alphas, means,
      icf;  // [K], [K, d], [K, d (d + 1) / 2]: logarithms of a diagonal, columns
};
/// The log-likelihood of points x [N, d], with Wishart's prior (gamma = 1, m = 0).
jaxpp::Array log_likelihood(Mixture m, jaxpp::Array x);

// ---- J6: the error of a projection, for the adjustment of cameras and points (ADBench)
/// camera [11]: rotation, centre, focal length, principal point, distortion;  point: [3] -> [2]
jaxpp::Array projection_error(jaxpp::Array camera, jaxpp::Array point, jaxpp::Array weight,
                              jaxpp::Array seen);
/// Its derivatives by camera, point and weight, side by side.   -> [2, 15]
jaxpp::Array projection_jacobian(jaxpp::Array camera, jaxpp::Array point, jaxpp::Array weight,
                                 jaxpp::Array seen);

}  // namespace bench
