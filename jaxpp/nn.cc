// nn.cc -- activations, softmax, initializers: compositions of the numpy surface.
//
// Where a formula has a corner, it selects between its branches instead of taking max or abs: then
// derivatives of every order are those of the branch, and 0 (relu) or continuous (softplus) at the
// corner, as in JAX.
#include "jaxpp/nn.h"
#include <cmath>
#include <numbers>
#include "jaxpp/math_internal.h"

namespace jaxpp::nn {

using internal::inexact;
using internal::UserLine;

Array relu(const Array& x, Loc loc) { return where(less_equal(x, 0, loc), 0, x, loc); }
Array relu6(const Array& x, Loc loc) {
  UserLine line(loc);
  return where(x >= 6, 6, relu(x));
}
Array leaky_relu(const Array& x, double negative_slope, Loc loc) {
  UserLine line(loc);
  return where(x >= 0, x, negative_slope * x);
}
Array gelu(const Array& x0, bool approximate, Loc loc) {
  Array x = inexact(x0, "gelu", loc);
  UserLine line(loc);
  if (!approximate) return 0.5 * x * erfc(-std::numbers::sqrt2 / 2 * x);
  const double sqrt_2_over_pi = std::sqrt(2 / std::numbers::pi);
  return x * (0.5 * (1 + jaxpp::tanh(sqrt_2_over_pi * (x + 0.044715 * pow(x, 3)))));
}
Array sigmoid(const Array& x, Loc loc) { return logistic(x, loc); }
Array silu(const Array& x, Loc loc) {
  UserLine line(loc);
  return x * logistic(x);
}
Array swish(const Array& x, Loc loc) { return silu(x, loc); }
Array softplus(const Array& x0, Loc loc) {
  Array x = inexact(x0, "softplus", loc);
  UserLine line(loc);
  Array positive = x > 0;
  return where(positive, x, 0) + log1p(exp(where(positive, -x, x)));
}
Array log_sigmoid(const Array& x, Loc loc) {
  UserLine line(loc);
  return -softplus(-x);
}
Array mish(const Array& x, Loc loc) {
  UserLine line(loc);
  return x * jaxpp::tanh(softplus(x));
}
Array squareplus(const Array& x, double b, Loc loc) {
  UserLine line(loc);
  return (x + sqrt(square(x) + b)) / 2;
}
Array soft_sign(const Array& x, Loc loc) {
  UserLine line(loc);
  return x / (abs(x) + 1);
}
Array elu(const Array& x, double alpha, Loc loc) {
  UserLine line(loc);
  Array positive = x > 0;
  return where(positive, x, alpha * expm1(where(positive, 0, x)));
}
Array celu(const Array& x0, double alpha, Loc loc) {
  Array x = inexact(x0, "celu", loc);
  UserLine line(loc);
  Array positive = x > 0;
  return where(positive, x, alpha * expm1(where(positive, 0, x) / alpha));
}
Array selu(const Array& x, Loc loc) {
  UserLine line(loc);
  return 1.0507009873554804934193349852946 * elu(x, 1.6732632423543772848170429916717);
}
Array tanh(const Array& x, Loc loc) { return jaxpp::tanh(x, loc); }
Array hard_tanh(const Array& x, Loc loc) {
  UserLine line(loc);
  return where(x > 1, 1, where(x < -1, -1, x));
}
Array hard_sigmoid(const Array& x, Loc loc) {
  UserLine line(loc);
  return relu6(x + 3.) / 6.;
}
Array hard_silu(const Array& x, Loc loc) {
  UserLine line(loc);
  return x * hard_sigmoid(x);
}
Array hard_swish(const Array& x, Loc loc) { return hard_silu(x, loc); }
Array glu(const Array& x, int axis, Loc loc) {
  auto parts = split(x, 2, axis, loc);
  UserLine line(loc);
  return parts[0] * logistic(parts[1]);
}

// ---- Softmax
namespace {
/// x less its maximum: no term of the sum of exponentials exceeds 1.  The result does not depend on
/// what is subtracted, so no derivative flows through it.
Array shifted(const Array& x, const Axes& axes) {
  return x - lax::stop_gradient(max(x, axes, true));
}
}  // namespace
Array softmax(const Array& x0, const Axes& axes, Loc loc) {
  Array x = inexact(x0, "softmax", loc);
  UserLine line(loc);
  Array e = exp(shifted(x, axes));
  return e / sum(e, axes, true);
}
Array log_softmax(const Array& x0, const Axes& axes, Loc loc) {
  Array x = inexact(x0, "log_softmax", loc);
  UserLine line(loc);
  Array s = shifted(x, axes);
  return s - log(sum(exp(s), axes, true));
}
Array logsumexp(const Array& x0, const Axes& axes, bool keepdims, Loc loc) {
  Array x = inexact(x0, "logsumexp", loc);
  UserLine line(loc);
  const Dims reduced = internal::axes_of(axes, x, "logsumexp", loc);
  for (auto a : reduced)
    if (x.shape()[std::size_t(a)] == 0)  // the logarithm of an empty sum
      return log(sum(x, reduced, keepdims));
  // where the maximum is infinite, nothing is subtracted: inf - inf would be NaN
  Array top = max(real(x), reduced, true);
  top = lax::stop_gradient(where(isfinite(top), top, 0));
  Array y = log(sum(exp(x - top), reduced, true)) + top;
  return keepdims ? y : squeeze(y, reduced);
}
Array standardize(const Array& x0, const Axes& axes, double epsilon, Loc loc) {
  Array x = inexact(x0, "standardize", loc);
  UserLine line(loc);
  Array centered = x - mean(x, axes, true);
  return centered * rsqrt(mean(square(centered), axes, true) + epsilon);
}
Array one_hot(const Array& x, std::int64_t num_classes, DType d, int axis, Loc loc) {
  internal::need_array(x, "one_hot", loc);
  if (!is_integer(x.dtype()))
    internal::fail("one_hot: indices must be integers, not " + x.type()->str() + ".",
                   internal::user_loc(loc), "E93");
  if (num_classes < 0)
    internal::fail("one_hot: " + std::to_string(num_classes) + " classes.", internal::user_loc(loc),
                   "E82");
  const auto at = internal::axis_of(axis, x.ndim() + 1, x, "one_hot", loc);
  Shape s(x.shape().size() + 1, 1);
  s[std::size_t(at)] = num_classes;
  // in 64 bits: the classes may be more than a narrow index type holds
  Array index = lax::expand_dims(lax::convert_element_type(x, i64, loc), Dims{at}, loc);
  return lax::convert_element_type(lax::eq(index, lax::iota(i64, s, at, loc), loc), d, loc);
}

// ---- Initializers
namespace initializers {
namespace {
Array standard_truncated_normal(const random::Key& key, const Shape& s, DType d) {
  return random::truncated_normal(key, -2, 2, s, d);
}
}  // namespace

Array zeros(const random::Key&, const Shape& s, DType d, Loc loc) {
  return jaxpp::zeros(s, d, loc);
}
Array ones(const random::Key&, const Shape& s, DType d, Loc loc) { return jaxpp::ones(s, d, loc); }
Array normal(const random::Key& key, const Shape& s, DType d, double stddev, Loc loc) {
  UserLine line(loc);
  return random::normal(key, s, d) * stddev;
}
Array uniform(const random::Key& key, const Shape& s, DType d, double scale, Loc loc) {
  UserLine line(loc);
  return random::uniform(key, s, d) * scale;
}
Array truncated_normal(const random::Key& key, const Shape& s, DType d, double stddev, Loc loc) {
  UserLine line(loc);
  return standard_truncated_normal(key, s, d) * stddev;
}
Array variance_scaling(const random::Key& key, const Shape& s, double scale, Fan fan,
                       Distribution distribution, DType d, Loc loc) {
  if (s.size() < 2)
    internal::fail("variance_scaling: a shape " + to_string(s) + " has no fan-in and fan-out.", loc,
                   "E46", "Give weights at least two axes, [..., fan-in, fan-out].");
  double field = 1;
  for (std::size_t i = 0; i + 2 < s.size(); ++i) field *= double(s[i]);
  const double in = double(s[s.size() - 2]) * field, out = double(s.back()) * field;
  const double variance = scale / (fan == Fan::in ? in : fan == Fan::out ? out : (in + out) / 2);
  UserLine line(loc);
  switch (distribution) {
    case Distribution::normal: return random::normal(key, s, d) * std::sqrt(variance);
    case Distribution::uniform: return random::uniform(key, s, d, -1, 1) * std::sqrt(3 * variance);
    case Distribution::truncated_normal: break;
  }
  const double stddev_of_truncated = .87962566103423978;
  return standard_truncated_normal(key, s, d) * (std::sqrt(variance) / stddev_of_truncated);
}

#define JAXPP_INITIALIZER(name, scale, fan, distribution)                                 \
  Array name(const random::Key& key, const Shape& s, DType d, Loc loc) {                  \
    return variance_scaling(key, s, scale, Fan::fan, Distribution::distribution, d, loc); \
  }
JAXPP_INITIALIZER(glorot_normal, 1, average, truncated_normal)
JAXPP_INITIALIZER(glorot_uniform, 1, average, uniform)
JAXPP_INITIALIZER(he_normal, 2, in, truncated_normal)
JAXPP_INITIALIZER(he_uniform, 2, in, uniform)
JAXPP_INITIALIZER(lecun_normal, 1, in, truncated_normal)
JAXPP_INITIALIZER(lecun_uniform, 1, in, uniform)
#undef JAXPP_INITIALIZER

}  // namespace initializers
}  // namespace jaxpp::nn
