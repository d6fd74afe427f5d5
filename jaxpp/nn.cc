// nn.cc -- activations, softmax, initializers: compositions of the numpy surface.
//
// Where a formula has a corner, it selects between its branches instead of taking max or abs: then
// derivatives of every order are those of the branch, and 0 (relu) or continuous (softplus) at the
// corner, as in JAX.
#include "jaxpp/nn.h"
#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include "jaxpp/linalg.h"
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
Array sparse_plus(const Array& x0, Loc loc) {
  Array x = inexact(x0, "sparse_plus", loc);
  UserLine line(loc);
  return where(x <= -1, 0, where(x >= 1, x, square(x + 1) / 4));
}
Array sparse_sigmoid(const Array& x0, Loc loc) {
  Array x = inexact(x0, "sparse_sigmoid", loc);
  UserLine line(loc);
  return 0.5 * clip(x + 1, 0, 2);
}
Array identity(const Array& x, Loc loc) {
  internal::need_array(x, "identity", loc);
  return x;
}
Array log1mexp(const Array& x0, Loc loc) {
  Array x = inexact(x0, "log1mexp", loc);
  UserLine line(loc);
  // Each formula is used where it is precise, and fed 1 where it is not.
  const Array near_zero = x < std::numbers::ln2;
  const Array small = where(near_zero, x, 1), large = where(near_zero, 1, x);
  return where(near_zero, log(-expm1(-small)), log1p(-exp(-large)));
}
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
namespace {
constexpr double kInf = std::numeric_limits<double>::infinity();
/// x less its maximum, over the elements of `where`; -inf elsewhere.
Array masked_shift(const Array& x, const Axes& axes, const Array& where) {
  const Array kept = jaxpp::where(where, x, -kInf);
  Array top = lax::stop_gradient(max(kept, axes, true));
  return kept - jaxpp::where(isneginf(top), 0, top);  // nothing is kept: -inf - -inf would be NaN
}
/// The sum, 1 where it is 0: what is divided by it, or its logarithm, is not selected then.
Array nonzero_sum(const Array& e, const Axes& axes) {
  Array s = sum(e, axes, true);
  return jaxpp::where(s == 0, 1, s);
}
}  // namespace
Array softmax(const Array& x0, const Axes& axes, const Array& where, Loc loc) {
  Array x = inexact(x0, "softmax", loc);
  UserLine line(loc);
  Array e = exp(masked_shift(x, axes, where));
  return e / nonzero_sum(e, axes);
}
Array log_softmax(const Array& x0, const Axes& axes, const Array& where, Loc loc) {
  Array x = inexact(x0, "log_softmax", loc);
  UserLine line(loc);
  Array s = masked_shift(x, axes, where);
  return jaxpp::where(where, s - log(nonzero_sum(exp(s), axes)), -kInf);
}
Array logsumexp(const Array& x0, const Axes& axes, bool keepdims, const Array& where, Loc loc) {
  Array x = inexact(x0, "logsumexp", loc);
  UserLine line(loc);
  return logsumexp(jaxpp::where(where, x, -kInf), axes, keepdims);
}
Array logmeanexp(const Array& x0, const Axes& axes, bool keepdims, Loc loc) {
  Array x = inexact(x0, "logmeanexp", loc);
  UserLine line(loc);
  double n = 1;
  for (auto a : internal::axes_of(axes, x, "logmeanexp", loc))
    n *= double(x.shape()[std::size_t(a)]);
  return logsumexp(x, axes, keepdims) - std::log(n);
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
Array standardize(const Array& x0, const Axes& axes, double epsilon, const Array& where, Loc loc) {
  Array x = inexact(x0, "standardize", loc);
  UserLine line(loc);
  const Array kept = broadcast_to(where, x.shape());
  const Array n = sum(kept.astype(x.dtype()), axes, true);
  const auto mean_of = [&](const Array& v) {
    return sum(jaxpp::where(kept, v, 0), axes, true) / n;
  };
  const Array centered = x - mean_of(x);
  return centered * rsqrt(mean_of(square(centered)) + epsilon);
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
Array constant(const random::Key&, const Shape& s, double value, DType d, Loc loc) {
  return jaxpp::full(s, value, d, loc);
}
Array orthogonal(const random::Key& key, const Shape& s, double scale, DType d, int column_axis,
                 Loc loc) {
  if (s.size() < 2)
    internal::fail("orthogonal: a shape " + to_string(s) + " has no rows and columns.", loc, "E46",
                   "Give weights at least two axes.");
  UserLine line(loc);
  const Array like = jaxpp::zeros({}, d);
  const auto rank = std::int64_t(s.size());
  const auto at = std::size_t(internal::axis_of(column_axis, rank, like, "orthogonal", loc));
  Shape rows = s;
  rows.erase(at);
  std::int64_t n = 1;
  for (auto k : rows) n *= k;
  const std::int64_t m = s[at];
  if (n == 0 || m == 0) return jaxpp::zeros(s, d);
  // The factor of a normal matrix, with signs so that the triangle has a positive diagonal, is
  // uniformly distributed (Mezzadri, 2007).
  const auto [q, r] = linalg::qr(random::normal(key, {std::max(n, m), std::min(n, m)}, d));
  const Array diagonal = jaxpp::diagonal(r);
  Array x = q * expand_dims(diagonal / abs(diagonal), 0);
  if (n < m) x = conj(transpose(x));
  rows.push_back(m);
  return moveaxis(reshape(x, rows), -1, int(at)) * scale;
}
Array delta_orthogonal(const random::Key& key, const Shape& s, double scale, DType d, Loc loc) {
  if (s.size() < 3 || s[s.size() - 1] < s[s.size() - 2])
    internal::fail(
        "delta_orthogonal: " + to_string(s) + " is no shape [spatial..., in, out] with in <= out.",
        loc, "E46");
  UserLine line(loc);
  const Shape matrix{s[s.size() - 2], s[s.size() - 1]};
  std::vector<Dims> around;
  Shape one(s.size(), 1);
  for (std::size_t i = 0; i < s.size(); ++i) {
    const bool spatial = i + 2 < s.size();
    const std::int64_t middle = spatial ? (s[i] - 1) / 2 : 0;
    around.push_back({middle, spatial ? s[i] - 1 - middle : 0, 0});
    if (!spatial) one[i] = s[i];
  }
  const Array q = reshape(orthogonal(key, matrix, scale, d), one);
  return lax::pad(q, jaxpp::zeros({}, d), around);
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
