// optim.cc -- the arithmetic of optimizers on one leaf, and the schedules.
//
// What depends on the step alone is computed in f64 and cast once to each leaf's type: b2^t would
// lose digits in f32.
#include "jaxpp/optim.h"
#include <numbers>

namespace jaxpp::optim {

namespace detail {

Array rate_like(double rate, const Array&, const Array& p) { return full({}, rate, p.dtype()); }
Array cast_rate(const Array& rate, const Array& p) { return rate.astype(p.dtype()); }
Array descend(const Array& p, const Array& direction, const Array& rate) {
  return p - rate * direction;
}
Array decayed(const Array& average, const Array& x, double decay) {
  return decay * average + (1 - decay) * x;
}
Array abs_square(const Array& x) {
  return is_complex(x.dtype()) ? square(real(x)) + square(imag(x)) : square(x);
}
Array adam_direction(const Array& mu, const Array& nu, const Array& step, double b1, double b2,
                     double eps) {
  const Array t = step.astype(f64);
  const Array mu_scale = 1 / (1 - pow(b1, t)), nu_scale = 1 / (1 - pow(b2, t));
  return mu * mu_scale.astype(mu.dtype()) / (sqrt(nu * nu_scale.astype(nu.dtype())) + eps);
}
Array rms_direction(const Array& g, const Array& average, double eps) {
  return g * rsqrt(average + eps);
}
Array adagrad_direction(const Array& g, const Array& sum, double eps) {
  return where(sum > 0, g * rsqrt(sum + eps), 0);
}
Array trust_ratio(const Array& p, const Array& direction) {
  const Array a = global_norm({&p, 1}), b = global_norm({&direction, 1});
  return where(logical_or(a == 0, b == 0), 1, a / where(b == 0, 1, b)).astype(real_of(p.dtype()));
}
Array global_norm(std::span<const Array> leaves) {
  Array total;
  for (const Array& g : leaves) {
    Array part = sum(abs_square(g));
    total = total.defined() ? total + part : part;
  }
  return total.defined() ? sqrt(total) : zeros({});
}
Array clip_to_norm(const Array& g, const Array& norm, double max_norm) {
  Array n = norm.astype(real_of(g.dtype()));
  return g * where(n > max_norm, max_norm / where(n > max_norm, n, 1), 1).astype(g.dtype());
}

}  // namespace detail

namespace {
/// step / steps, at most 1.
Array progress(const Array& step, std::int64_t steps) {
  return steps > 0 ? minimum(step.astype(f64) / double(steps), 1) : ones({}, f64);
}
/// From 1 at 0 to 0 at 1.
Array half_cosine(const Array& t) { return 0.5 * (1 + cos(std::numbers::pi * t)); }
}  // namespace

Constant constant(double value) { return {value}; }
Array Constant::operator()(const Array&) const { return Array(value); }

Linear linear(double init, double end, std::int64_t steps) { return {init, end, steps}; }
Array Linear::operator()(const Array& step) const {
  return init + (end - init) * progress(step, steps);
}

ExponentialDecay exponential_decay(double init, std::int64_t steps, double rate, bool staircase) {
  return {init, steps, rate, staircase};
}
Array ExponentialDecay::operator()(const Array& step) const {
  Array t = step.astype(f64) / double(steps);
  return init * pow(rate, staircase ? floor(t) : t);
}

CosineDecay cosine_decay(double init, std::int64_t steps, double alpha) {
  return {init, steps, alpha};
}
Array CosineDecay::operator()(const Array& step) const {
  return init * ((1 - alpha) * half_cosine(progress(step, steps)) + alpha);
}

WarmupCosineDecay warmup_cosine_decay(double init, double peak, std::int64_t warmup_steps,
                                      std::int64_t decay_steps, double end) {
  return {init, peak, warmup_steps, decay_steps, end};
}
Array WarmupCosineDecay::operator()(const Array& step) const {
  Array warmup = init + (peak - init) * progress(step, warmup_steps);
  Array t = progress(maximum(step - warmup_steps, 0), decay_steps - warmup_steps);
  return where(step < warmup_steps, warmup, end + (peak - end) * half_cosine(t));
}

PiecewiseConstant piecewise_constant(double init,
                                     std::vector<std::pair<std::int64_t, double>> factors) {
  return {init, std::move(factors)};
}
Array PiecewiseConstant::operator()(const Array& step) const {
  Array v = init;
  for (auto& [boundary, factor] : factors) v = v * where(step < boundary, 1., factor);
  return v;
}

}  // namespace jaxpp::optim
