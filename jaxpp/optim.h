// optim.h -- first-order optimizers over pytrees of parameters, and schedules of learning rates.
//
//   auto opt = optim::adam(1e-3);     // or a schedule: optim::adam(optim::cosine_decay(1e-3, 1000))
//   auto state = opt.init(params);
//   auto step = jit([opt](Mlp params, auto state, Array x, Array y) {
//     auto [loss, grads] = value_and_grad(mse)(params, x, y);
//     std::tie(params, state) = opt.update(params, grads, state);
//     return std::tuple(params, state, loss);
//   });
//
// An optimizer is a plain value without memory; what it remembers is its state, a pytree like the
// parameters, so it goes through jit, vmap, checkpoints.  update returns the new parameters.
// Numbers are weak: parameters keep their types. The formulas are those of the papers cited and of
// optax.
#pragma once
#include "jaxpp/math.h"
#include "jaxpp/tree.h"

namespace jaxpp::optim {

// ---- Schedules: the learning rate as a function of the step (0, 1, 2, ...), an f64 scalar

/// value
struct Constant {
  double value;
  Array operator()(const Array& step) const;
};
Constant constant(double value);
/// From init to end in equal steps, then end.
struct Linear {
  double init, end;
  std::int64_t steps;
  Array operator()(const Array& step) const;
};
Linear linear(double init, double end, std::int64_t steps);
/// init * rate^(step / steps); with staircase, the exponent is rounded down.
struct ExponentialDecay {
  double init;
  std::int64_t steps;
  double rate;
  bool staircase;
  Array operator()(const Array& step) const;
};
ExponentialDecay exponential_decay(double init, std::int64_t steps, double rate,
                                   bool staircase = false);
/// Half a cosine from init to alpha * init over `steps`, then constant (Loshchilov and Hutter,
/// SGDR, 2017).
struct CosineDecay {
  double init;
  std::int64_t steps;
  double alpha;
  Array operator()(const Array& step) const;
};
CosineDecay cosine_decay(double init, std::int64_t steps, double alpha = 0);
/// Linear from init to peak over warmup_steps, then a cosine to end at decay_steps (which count the
/// warmup).
struct WarmupCosineDecay {
  double init, peak;
  std::int64_t warmup_steps, decay_steps;
  double end;
  Array operator()(const Array& step) const;
};
WarmupCosineDecay warmup_cosine_decay(double init, double peak, std::int64_t warmup_steps,
                                      std::int64_t decay_steps, double end = 0);
/// init, multiplied by a factor from each boundary on:  piecewise_constant(0.1, {{100, 0.5}, {200,
/// 0.1}})
struct PiecewiseConstant {
  double init;
  std::vector<std::pair<std::int64_t, double>> factors;
  Array operator()(const Array& step) const;
};
PiecewiseConstant piecewise_constant(double init,
                                     std::vector<std::pair<std::int64_t, double>> factors);

namespace detail {
/// rate(step) for a schedule, the number itself otherwise; as a scalar of p's element type.
Array rate_like(double rate, const Array& step, const Array& p);
Array cast_rate(const Array& rate, const Array& p);
template <class Rate>
Array rate_like(const Rate& rate, const Array& step, const Array& p) {
  return cast_rate(rate(step), p);
}
// One leaf of an update.
Array descend(const Array& p, const Array& direction, const Array& rate);
Array decayed(const Array& average, const Array& x,
              double decay);  // decay * average + (1 - decay) * x
Array abs_square(const Array& x);
Array adam_direction(const Array& mu, const Array& nu, const Array& step, double b1, double b2,
                     double eps);
Array rms_direction(const Array& g, const Array& average, double eps);
Array adagrad_direction(const Array& g, const Array& sum, double eps);
Array trust_ratio(const Array& p, const Array& direction);
Array global_norm(std::span<const Array> leaves);
Array clip_to_norm(const Array& g, const Array& norm, double max_norm);
}  // namespace detail

// ---- Gradient transformations

/// The square root of the sum of all |g|^2.
template <class P>
Array global_norm(const P& grads) {
  return detail::global_norm(tree_leaves(grads));
}
/// All gradients scaled by one factor so that their norm is at most max_norm (Pascanu et al.,
/// 2013).
template <class P>
P clip_by_global_norm(const P& grads, double max_norm) {
  const Array norm = global_norm(grads);
  return tree_map([&](const Array& g) { return detail::clip_to_norm(g, norm, max_norm); }, grads);
}
/// Every element confined to [-limit, limit].
template <class P>
P clip_by_value(const P& grads, double limit) {
  return tree_map([&](const Array& g) { return clip(g, -limit, limit); }, grads);
}

// ---- Optimizers

struct SgdState {
  Array step;
};
template <class P>
struct MomentumState {
  Array step;
  P velocity;
};
template <class P>
struct AdamState {
  Array step;
  P mu, nu;
};

/// p -= rate * g
template <class Rate = double>
struct Sgd {
  Rate rate;
  template <class P>
  SgdState init(const P&) const {
    return {Array(0)};
  }
  template <class P>
  std::pair<P, SgdState> update(const P& params, const P& grads, const SgdState& state) const {
    P next = tree_map(
        [&](const Array& p, const Array& g) {
          return detail::descend(p, g, detail::rate_like(rate, state.step, p));
        },
        params, grads);
    return {std::move(next), SgdState{state.step + 1}};
  }
};
template <class Rate>
auto sgd(Rate rate) {
  if constexpr (std::is_arithmetic_v<Rate>)
    return Sgd<double>{double(rate)};
  else
    return Sgd<Rate>{std::move(rate)};
}

/// v = decay * v + g,  p -= rate * v;  nesterov: p -= rate * (g + decay * v)  (Sutskever et al.,
/// 2013)
template <class Rate = double>
struct Momentum {
  Rate rate;
  double decay;
  bool nesterov;
  template <class P>
  MomentumState<P> init(const P& params) const {
    return {Array(0), tree_map([](const Array& p) { return zeros_like(p); }, params)};
  }
  template <class P>
  std::pair<P, MomentumState<P>> update(const P& params, const P& grads,
                                        const MomentumState<P>& state) const {
    MomentumState<P> next{state.step + 1,
                          tree_map([&](const Array& v, const Array& g) { return decay * v + g; },
                                   state.velocity, grads)};
    P moved = tree_map(
        [&](const Array& p, const Array& v, const Array& g) {
          return detail::descend(p, nesterov ? g + decay * v : v,
                                 detail::rate_like(rate, state.step, p));
        },
        params, next.velocity, grads);
    return {std::move(moved), std::move(next)};
  }
};
template <class Rate>
auto momentum(Rate rate, double decay = 0.9, bool nesterov = false) {
  if constexpr (std::is_arithmetic_v<Rate>)
    return Momentum<double>{double(rate), decay, nesterov};
  else
    return Momentum<Rate>{std::move(rate), decay, nesterov};
}

/// mu = b1 * mu + (1 - b1) * g,  nu = b2 * nu + (1 - b2) * g^2,  t = step + 1,
/// p -= rate * (mu / (1 - b1^t) / (sqrt(nu / (1 - b2^t)) + eps) + weight_decay * p)
/// (Kingma and Ba, Adam, 2015; with weight_decay: Loshchilov and Hutter, AdamW, 2019)
template <class Rate = double>
struct Adam {
  Rate rate;
  double b1, b2, eps, weight_decay;
  template <class P>
  AdamState<P> init(const P& params) const {
    auto zero = [](const Array& p) { return zeros_like(p); };
    auto real_zero = [](const Array& p) { return zeros_like(p, real_of(p.dtype())); };
    return {Array(0), tree_map(zero, params), tree_map(real_zero, params)};
  }
  template <class P>
  std::pair<P, AdamState<P>> update(const P& params, const P& grads,
                                    const AdamState<P>& state) const {
    AdamState<P> next{
        state.step + 1,
        tree_map([&](const Array& m, const Array& g) { return detail::decayed(m, g, b1); },
                 state.mu, grads),
        tree_map([&](const Array& n,
                     const Array& g) { return detail::decayed(n, detail::abs_square(g), b2); },
                 state.nu, grads)};
    P moved = tree_map(
        [&](const Array& p, const Array& mu, const Array& nu) {
          Array direction = detail::adam_direction(mu, nu, next.step, b1, b2, eps);
          if (weight_decay != 0) direction = direction + weight_decay * p;
          return detail::descend(p, direction, detail::rate_like(rate, state.step, p));
        },
        params, next.mu, next.nu);
    return {std::move(moved), std::move(next)};
  }
};
template <class Rate>
auto adamw(Rate rate, double weight_decay = 1e-4, double b1 = 0.9, double b2 = 0.999,
           double eps = 1e-8) {
  if constexpr (std::is_arithmetic_v<Rate>)
    return Adam<double>{double(rate), b1, b2, eps, weight_decay};
  else
    return Adam<Rate>{std::move(rate), b1, b2, eps, weight_decay};
}
template <class Rate>
auto adam(Rate rate, double b1 = 0.9, double b2 = 0.999, double eps = 1e-8) {
  return adamw(std::move(rate), 0, b1, b2, eps);
}

/// nu = decay * nu + (1 - decay) * |g|^2,  p -= rate * g / sqrt(nu + eps)  (Tieleman and Hinton, 2012); momentum > 0: of
/// the scaled steps, v = momentum * v + rate * step, p -= v.
template <class P>
struct RmsPropState {
  Array step;
  P nu, velocity;
};
template <class Rate = double>
struct RmsProp {
  Rate rate;
  double decay, eps, momentum;
  template <class P>
  RmsPropState<P> init(const P& params) const {
    auto real_zero = [](const Array& p) { return zeros_like(p, real_of(p.dtype())); };
    auto zero = [](const Array& p) { return zeros_like(p); };
    return {Array(0), tree_map(real_zero, params), tree_map(zero, params)};
  }
  template <class P>
  std::pair<P, RmsPropState<P>> update(const P& params, const P& grads,
                                       const RmsPropState<P>& state) const {
    RmsPropState<P> next{
        state.step + 1,
        tree_map([&](const Array& n,
                     const Array& g) { return detail::decayed(n, detail::abs_square(g), decay); },
                 state.nu, grads),
        state.velocity};
    next.velocity = tree_map(
        [&](const Array& v, const Array& g, const Array& n) {
          const Array step =
              detail::rms_direction(g, n, eps) * detail::rate_like(rate, state.step, g);
          return momentum > 0 ? momentum * v + step : step;
        },
        state.velocity, grads, next.nu);
    P moved = tree_map([](const Array& p, const Array& v) { return p - v; }, params, next.velocity);
    return {std::move(moved), std::move(next)};
  }
};
template <class Rate>
auto rmsprop(Rate rate, double decay = 0.9, double eps = 1e-8, double momentum = 0) {
  if constexpr (std::is_arithmetic_v<Rate>)
    return RmsProp<double>{double(rate), decay, eps, momentum};
  else
    return RmsProp<Rate>{std::move(rate), decay, eps, momentum};
}

/// s = s + |g|^2,  p -= rate * g / sqrt(s + eps), 0 where s is 0  (Duchi et al., 2011)
template <class P>
struct AdagradState {
  Array step;
  P sum;
};
template <class Rate = double>
struct Adagrad {
  Rate rate;
  double initial, eps;
  template <class P>
  AdagradState<P> init(const P& params) const {
    auto start = [&](const Array& p) { return full_like(p, initial, real_of(p.dtype())); };
    return {Array(0), tree_map(start, params)};
  }
  template <class P>
  std::pair<P, AdagradState<P>> update(const P& params, const P& grads,
                                       const AdagradState<P>& state) const {
    AdagradState<P> next{
        state.step + 1,
        tree_map([](const Array& s, const Array& g) { return s + detail::abs_square(g); },
                 state.sum, grads)};
    P moved = tree_map(
        [&](const Array& p, const Array& g, const Array& s) {
          return detail::descend(p, detail::adagrad_direction(g, s, eps),
                                 detail::rate_like(rate, state.step, p));
        },
        params, grads, next.sum);
    return {std::move(moved), std::move(next)};
  }
};
template <class Rate>
auto adagrad(Rate rate, double initial = 0.1, double eps = 1e-7) {
  if constexpr (std::is_arithmetic_v<Rate>)
    return Adagrad<double>{double(rate), initial, eps};
  else
    return Adagrad<Rate>{std::move(rate), initial, eps};
}

/// p -= rate * (sign(b1 * m + (1 - b1) * g) + weight_decay * p),  m = b2 * m + (1 - b2) * g  (Chen et al., 2023)
template <class Rate = double>
struct Lion {
  Rate rate;
  double b1, b2, weight_decay;
  template <class P>
  MomentumState<P> init(const P& params) const {
    return {Array(0), tree_map([](const Array& p) { return zeros_like(p); }, params)};
  }
  template <class P>
  std::pair<P, MomentumState<P>> update(const P& params, const P& grads,
                                        const MomentumState<P>& state) const {
    MomentumState<P> next{
        state.step + 1,
        tree_map([&](const Array& m, const Array& g) { return detail::decayed(m, g, b2); },
                 state.velocity, grads)};
    P moved = tree_map(
        [&](const Array& p, const Array& m, const Array& g) {
          Array direction = sign(detail::decayed(m, g, b1));
          if (weight_decay != 0) direction = direction + weight_decay * p;
          return detail::descend(p, direction, detail::rate_like(rate, state.step, p));
        },
        params, state.velocity, grads);
    return {std::move(moved), std::move(next)};
  }
};
template <class Rate>
auto lion(Rate rate, double b1 = 0.9, double b2 = 0.99, double weight_decay = 1e-3) {
  if constexpr (std::is_arithmetic_v<Rate>)
    return Lion<double>{double(rate), b1, b2, weight_decay};
  else
    return Lion<Rate>{std::move(rate), b1, b2, weight_decay};
}

/// adamw's direction, for each array scaled to its norm: times |p| / |direction|, 1 where either is 0  (You et al., 2020)
template <class Rate = double>
struct Lamb {
  Adam<Rate> adam;
  template <class P>
  AdamState<P> init(const P& params) const {
    return adam.init(params);
  }
  template <class P>
  std::pair<P, AdamState<P>> update(const P& params, const P& grads,
                                    const AdamState<P>& state) const {
    AdamState<P> next = adam.update(params, grads, state).second;
    P moved = tree_map(
        [&](const Array& p, const Array& mu, const Array& nu) {
          Array direction = detail::adam_direction(mu, nu, next.step, adam.b1, adam.b2, adam.eps);
          if (adam.weight_decay != 0) direction = direction + adam.weight_decay * p;
          return detail::descend(p, direction * detail::trust_ratio(p, direction),
                                 detail::rate_like(adam.rate, state.step, p));
        },
        params, next.mu, next.nu);
    return {std::move(moved), std::move(next)};
  }
};
template <class Rate>
auto lamb(Rate rate, double b1 = 0.9, double b2 = 0.999, double eps = 1e-6,
          double weight_decay = 0) {
  auto base = adamw(std::move(rate), weight_decay, b1, b2, eps);
  return Lamb<decltype(base.rate)>{std::move(base)};
}

}  // namespace jaxpp::optim
