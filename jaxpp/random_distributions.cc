// random_distributions.cc -- the distributions of random.h that have parameters.
//
// They use up bits in the order in which jax.random does: gamma by random_gamma, one key for each element; Poisson and
// binomial numbers by counting where few are expected, by transformed rejection (W. Hormann, 1993) otherwise, all elements
// in one loop until the last is accepted.  Counts do not depend continuously on their parameters: no derivative.
#include <cmath>
#include <limits>
#include <numbers>
#include "jaxpp/control.h"
#include "jaxpp/linalg.h"
#include "jaxpp/math_internal.h"
#include "jaxpp/random.h"

namespace jaxpp::random {
namespace {
using internal::UserLine;

[[noreturn]] void random_error(const std::string& what, Loc loc) {
  internal::fail<TypeError>("random::" + what, loc, "E53");
}
void need_float(const char* op, DType d, Loc loc) {
  if (!is_float(d))
    random_error(std::string(op) + ": the type must be a float, not " + name(d) + ".", loc);
}
void need_integer(const char* op, DType d, Loc loc) {
  if (!is_integer(d))
    random_error(std::string(op) + ": the type must be an integer, not " + name(d) + ".", loc);
}
/// The parameters in one type, and the shape of the samples, to which they broadcast.
struct Parameters {
  std::vector<Array> x;
  Shape shape;
};
Parameters parameters(const char* op, const SampleShape& shape, DType dtype,
                      std::initializer_list<const Array*> x, Loc loc) {
  Parameters p;
  std::vector<Shape> shapes;
  for (const Array* a : x) {
    internal::need_array(*a, op, loc);
    if (is_complex(a->dtype()))
      random_error(std::string(op) + ": parameters are real, not " + a->type()->str() + ".", loc);
    shapes.push_back(a->shape());
  }
  p.shape = shape.shape ? *shape.shape : broadcast_shapes(shapes, loc);
  const std::string where = std::string("random::") + op;
  for (const Array* a : x)
    p.x.push_back(internal::broadcast_to_shape(lax::convert_element_type(*a, dtype, loc), p.shape,
                                               loc, where.c_str()));
  return p;
}
Array gamma_samples(const char* op, const Key& key, const Array& a, const SampleShape& shape,
                    DType dtype, bool log_space, Loc loc) {
  need_float(op, dtype, loc);
  const Parameters p = parameters(op, shape, dtype, {&a}, loc);
  const Array keys = split(key, p.shape, loc).data;
  const std::int64_t last = keys.ndim() - 1;
  auto word = [&](std::int64_t i) { return internal::at_index(keys, i, last, loc); };
  return lax::random_gamma(word(0), word(1), p.x[0], log_space, loc);
}
Array any_of(const Array& x) { return any(x); }
}  // namespace

// ---- Gamma, and what is made of it
Array gamma(const Key& key, const Array& a, const SampleShape& shape, DType dtype, Loc loc) {
  return gamma_samples("gamma", key, a, shape, dtype, false, loc);
}
Array loggamma(const Key& key, const Array& a, const SampleShape& shape, DType dtype, Loc loc) {
  return gamma_samples("loggamma", key, a, shape, dtype, true, loc);
}
Array beta(const Key& key, const Array& a, const Array& b, const SampleShape& shape, DType dtype,
           Loc loc) {
  need_float("beta", dtype, loc);
  const Parameters p = parameters("beta", shape, dtype, {&a, &b}, loc);
  UserLine line(loc);
  const auto [key_a, key_b] = split(key);
  const Array la = loggamma(key_a, p.x[0], p.shape, dtype),
              lb = loggamma(key_b, p.x[1], p.shape, dtype);
  const Array top = maximum(la, lb), ga = exp(la - top), gb = exp(lb - top);
  return ga / (ga + gb);
}
Array chisquare(const Key& key, const Array& df, const SampleShape& shape, DType dtype, Loc loc) {
  need_float("chisquare", dtype, loc);
  const Parameters p = parameters("chisquare", shape, dtype, {&df}, loc);
  UserLine line(loc);
  return exp(loggamma(key, p.x[0] / 2, p.shape, dtype)) * 2;
}
Array f(const Key& key, const Array& dfnum, const Array& dfden, const SampleShape& shape,
        DType dtype, Loc loc) {
  need_float("f", dtype, loc);
  const Parameters p = parameters("f", shape, dtype, {&dfnum, &dfden}, loc);
  UserLine line(loc);
  const auto [key_den, key_num] = split(key);
  const Array num = chisquare(key_num, p.x[0], p.shape, dtype) / p.x[0];
  return num / (chisquare(key_den, p.x[1], p.shape, dtype) / p.x[1]);
}
Array t(const Key& key, const Array& df, const SampleShape& shape, DType dtype, Loc loc) {
  need_float("t", dtype, loc);
  const Parameters p = parameters("t", shape, dtype, {&df}, loc);
  UserLine line(loc);
  const auto [key_n, key_g] = split(key);
  const Array half = p.x[0] / 2;
  return normal(key_n, p.shape, dtype) * sqrt(half / gamma(key_g, half, p.shape, dtype));
}
Array dirichlet(const Key& key, const Array& alpha, const SampleShape& shape, DType dtype,
                Loc loc) {
  need_float("dirichlet", dtype, loc);
  internal::need_array(alpha, "random::dirichlet", loc);
  if (alpha.ndim() == 0) random_error("dirichlet: alpha needs an axis, it is a scalar.", loc);
  std::optional<Shape> drawn = shape.shape;
  if (drawn) drawn->push_back(alpha.shape().back());
  const Array y = loggamma(key, alpha, drawn ? SampleShape(*drawn) : SampleShape(), dtype, loc);
  UserLine line(loc);
  const Array e = exp(y - lax::stop_gradient(max(y, -1, true)));
  return e / sum(e, -1, true);
}
Array generalized_normal(const Key& key, const Array& p0, const SampleShape& shape, DType dtype,
                         Loc loc) {
  need_float("generalized_normal", dtype, loc);
  const Parameters p = parameters("generalized_normal", shape, dtype, {&p0}, loc);
  UserLine line(loc);
  const auto [key_g, key_r] = split(key);
  const Array inverse = 1 / p.x[0];
  return rademacher(key_r, p.shape, dtype) * pow(gamma(key_g, inverse, p.shape, dtype), inverse);
}
Array ball(const Key& key, std::int64_t d, double p, const Shape& shape, DType dtype, Loc loc) {
  need_float("ball", dtype, loc);
  if (d < 0) random_error("ball: of dimension " + std::to_string(d) + ".", loc);
  UserLine line(loc);
  const auto [key_g, key_e] = split(key);
  Shape points = shape;
  points.push_back(d);
  const Array g = generalized_normal(key_g, p, points, dtype);
  const Array power = sum(pow(abs(g), p), -1) + exponential(key_e, shape, dtype);
  return g / expand_dims(pow(power, 1 / p), -1);
}

// ---- By a formula from uniform and normal numbers
Array lognormal(const Key& key, const Array& sigma, const SampleShape& shape, DType dtype,
                Loc loc) {
  need_float("lognormal", dtype, loc);
  const Parameters p = parameters("lognormal", shape, dtype, {&sigma}, loc);
  UserLine line(loc);
  return exp(normal(key, p.shape, dtype) * p.x[0]);
}
Array pareto(const Key& key, const Array& b, const SampleShape& shape, DType dtype, Loc loc) {
  need_float("pareto", dtype, loc);
  const Parameters p = parameters("pareto", shape, dtype, {&b}, loc);
  UserLine line(loc);
  return exp(exponential(key, p.shape, dtype) / p.x[0]);
}
Array rayleigh(const Key& key, const Array& scale, const SampleShape& shape, DType dtype, Loc loc) {
  need_float("rayleigh", dtype, loc);
  const Parameters p = parameters("rayleigh", shape, dtype, {&scale}, loc);
  UserLine line(loc);
  return p.x[0] * sqrt(log(uniform(key, p.shape, dtype)) * -2);
}
Array maxwell(const Key& key, const Shape& shape, DType dtype, Loc loc) {
  need_float("maxwell", dtype, loc);
  UserLine line(loc);
  Shape vectors = shape;
  vectors.push_back(3);
  return sqrt(sum(square(normal(key, vectors, dtype)), -1));
}
Array double_sided_maxwell(const Key& key, const Array& mean, const Array& scale,
                           const SampleShape& shape, DType dtype, Loc loc) {
  need_float("double_sided_maxwell", dtype, loc);
  const Parameters p = parameters("double_sided_maxwell", shape, dtype, {&mean, &scale}, loc);
  UserLine line(loc);
  const auto [key_m, key_r] = split(key);
  const Array y = rademacher(key_r, p.shape, dtype) * maxwell(key_m, p.shape, dtype);
  return y * p.x[1] + p.x[0];
}
Array wald(const Key& key, const Array& mean, const SampleShape& shape, DType dtype, Loc loc) {
  need_float("wald", dtype, loc);
  const Parameters p = parameters("wald", shape, dtype, {&mean}, loc);
  UserLine line(loc);
  const auto [key_v, key_z] = split(key);
  const Array& m = p.x[0];
  const Array y = square(normal(key_v, p.shape, dtype)), z = uniform(key_z, p.shape, dtype);
  const Array m2 = square(m);
  const Array x = m + m2 * y / 2 - m / 2 * sqrt(4 * m * y + m2 * square(y));
  return where(z <= m / (m + x), x, m2 / x);
}
Array weibull_min(const Key& key, const Array& scale, const Array& concentration,
                  const SampleShape& shape, DType dtype, Loc loc) {
  need_float("weibull_min", dtype, loc);
  const Parameters p = parameters("weibull_min", shape, dtype, {&scale, &concentration}, loc);
  UserLine line(loc);
  return pow(exponential(key, p.shape, dtype), 1 / p.x[1]) * p.x[0];
}
Array triangular(const Key& key, const Array& left0, const Array& mode0, const Array& right0,
                 const SampleShape& shape, DType dtype, Loc loc) {
  need_float("triangular", dtype, loc);
  const Parameters p = parameters("triangular", shape, dtype, {&left0, &mode0, &right0}, loc);
  UserLine line(loc);
  const Array &left = p.x[0], &mode = p.x[1], &right = p.x[2];
  const Array u = uniform(key, p.shape, dtype);
  const Array width = right - left, rising = u < (mode - left) / width;
  // the root of the branch that is not chosen must not spoil derivatives
  const Array up = where(rising, u * width * (mode - left), 1);
  const Array down = where(rising, 1, (1 - u) * width * (right - mode));
  return where(rising, left + sqrt(up), right - sqrt(down));
}
Array orthogonal(const Key& key, std::int64_t n, const Shape& shape, DType dtype, std::int64_t m,
                 Loc loc) {
  if (!is_inexact(dtype))
    random_error(std::string("orthogonal: the type must be a float, not ") + name(dtype) + ".",
                 loc);
  if (m < 0) m = n;
  if (n < 0) random_error("orthogonal: of size " + std::to_string(n) + ".", loc);
  UserLine line(loc);
  Shape matrices = shape;
  matrices.push_back(std::max(n, m));
  matrices.push_back(std::min(n, m));
  const auto [q, r] = linalg::qr(normal(key, matrices, dtype));
  const Array y = q * expand_dims(sign(diagonal(r, 0, -2, -1)), -2);
  return n < m ? matrix_transpose(y) : y;
}
Array multivariate_normal(const Key& key, const Array& mean0, const Array& cov0,
                          const SampleShape& shape, DType dtype, std::string_view method, Loc loc) {
  need_float("multivariate_normal", dtype, loc);
  internal::need_array(mean0, "random::multivariate_normal", loc);
  internal::need_array(cov0, "random::multivariate_normal", loc);
  const Array mean = lax::convert_element_type(mean0, dtype, loc),
              cov = lax::convert_element_type(cov0, dtype, loc);
  const std::int64_t n = mean.ndim() ? mean.shape().back() : 0;
  if (mean.ndim() < 1 || cov.ndim() < 2 || cov.shape(-1) != n || cov.shape(-2) != n)
    random_error("multivariate_normal: a mean [..., n] wants a covariance [..., n, n]; they are " +
                     mean.type()->str() + " and " + cov.type()->str() + ".",
                 loc);
  UserLine line(loc);
  Shape of_mean = mean.shape(), of_cov = cov.shape();
  of_mean.pop_back();
  of_cov.pop_back();
  of_cov.pop_back();
  Shape drawn = shape.shape ? *shape.shape : broadcast_shapes({of_mean, of_cov});
  drawn.push_back(n);
  Array factor;
  if (method == "cholesky") {
    factor = linalg::cholesky(cov);
  } else if (method == "eigh") {
    const auto [w, v] = linalg::eigh(cov);
    factor = v * sqrt(expand_dims(w, -2));
  } else if (method == "svd") {
    const auto d = linalg::svd(cov);
    factor = d.u * sqrt(expand_dims(d.s, -2));
  } else {
    random_error("multivariate_normal: no method \"" + std::string(method) +
                     "\"; there are cholesky, eigh and svd.",
                 loc);
  }
  const Array y = matmul(factor, expand_dims(normal(key, drawn, dtype), -1));
  return internal::broadcast_to_shape(mean, drawn, loc, "random::multivariate_normal") +
         squeeze(y, -1);
}

// ---- Counts
namespace {
/// What a rejection loop carries: numbers found so far, where they were accepted, the key of the next round.
struct Rejection {
  Array found, accepted;
  Key key;
};
template <class Round>
Array until_accepted(const Key& key, const Array& like, const Round& round) {
  Rejection s{full_like(like, -1), zeros(like.shape(), b1), key};
  const auto more = [](Rejection r) { return any_of(logical_not(r.accepted)); };
  return while_loop(more, round, s).found;
}
// Products of uniform numbers until they fall below exp(-lam).
Array poisson_by_products(const Key& key, const Array& lam) {
  struct State {
    Array count, log_product;
    Key key;
  };
  const State s =
      while_loop([&](State v) { return any_of(v.log_product > -lam); },
                 [&](State v) {
                   const auto [next, now] = split(v.key);
                   const Array count = where(v.log_product > -lam, v.count + 1, v.count);
                   return State{count, v.log_product + log(uniform(now, lam.shape(), f32)), next};
                 },
                 State{zeros_like(lam), zeros_like(lam), key});
  return s.count - 1;
}
Array poisson_by_rejection(const Key& key, const Array& lam) {
  const Array log_lam = log(lam), b = 0.931 + 2.53 * sqrt(lam), a = -0.059 + 0.02483 * b;
  const Array inv_alpha = 1.1239 + 1.1328 / (b - 3.4), v_r = 0.9277 - 3.6224 / (b - 2);
  return until_accepted(key, lam, [&](Rejection s) {
    const auto [next, key_u, key_v] = split<3>(s.key);
    const Array u = uniform(key_u, lam.shape(), lam.dtype()) - 0.5;
    const Array v = uniform(key_v, lam.shape(), lam.dtype());
    const Array from_end = 0.5 - abs(u);
    const Array k = floor((2 * a / from_end + b) * u + lam + 0.43);
    const Array left = log(v * inv_alpha / (a / (from_end * from_end) + b));
    const Array right = -lam + k * log_lam - lgamma(k + 1);
    const Array quick = logical_and(from_end >= 0.07, v <= v_r);
    const Array out = logical_or(k < 0, logical_and(from_end<0.013, v> from_end));
    const Array accept = logical_or(quick, logical_and(logical_not(out), left <= right));
    return Rejection{where(accept, k, s.found), logical_or(s.accepted, accept), next};
  });
}
// Gaps between successes are geometric: how many fit into n trials.
Array binomial_by_gaps(const Key& key, const Array& n, const Array& p) {
  struct State {
    Array count, sum;
    Key key;
  };
  const Array log_failure = log1p(-p);
  const State s = while_loop([&](State v) { return any_of(v.sum <= n); },
                             [&](State v) {
                               const auto [now, next] = split(v.key);
                               const Array count = where(v.sum <= n, v.count + 1, v.count);
                               const Array gap =
                                   ceil(log(uniform(now, p.shape(), p.dtype())) / log_failure);
                               return State{count, v.sum + gap, next};
                             },
                             State{zeros_like(p), zeros_like(p), key});
  return s.count - 1;
}
// log(k!) less Stirling's approximation.
Array stirling_rest(const Array& k) {
  const Array table =
      Array{0.0810614667953272,  0.0413406959554092, 0.0276779256849983, 0.02079067210376509,
            0.0166446911898211,  0.0138761288230707, 0.0118967099458917, 0.010411265261972,
            0.00925546218271273, 0.00833056343336287}
          .astype(k.dtype());
  const Array next = k + 1, square_of = next * next;
  const Array series = (1. / 12 - (1. / 360 - 1. / 1260 / square_of) / square_of) / next;
  const Array at = floor(clip(k, 0, 9)).astype(i32);
  return where(k <= 9, internal::elements_at(table, at), series);
}
Array binomial_by_rejection(const Key& key, const Array& n, const Array& p) {
  const Array deviation = sqrt(n * p * (1 - p));
  const Array b = 1.15 + 2.53 * deviation, a = -0.0873 + 0.0248 * b + 0.01 * p;
  const Array c = n * p + 0.5, v_r = 0.92 - 4.2 / b, r = p / (1 - p);
  const Array alpha = (2.83 + 5.1 / b) * deviation, m = floor((n + 1) * p);
  return until_accepted(key, p, [&](Rejection s) {
    const auto [next, key_u, key_v] = split<3>(s.key);
    const Array u = uniform(key_u, p.shape(), p.dtype()) - 0.5;
    const Array v0 = uniform(key_v, p.shape(), p.dtype());
    const Array from_end = 0.5 - abs(u);
    const Array quick = logical_and(from_end >= 0.07, v0 <= v_r);
    const Array k = floor((2 * a / from_end + b) * u + c);
    const Array out = logical_or(k<0, k> n);
    const Array v = log(v0 * alpha / (a / (from_end * from_end) + b));
    const Array bound = (m + 0.5) * log((m + 1) / (r * (n - m + 1))) +
                        (n + 1) * log((n - m + 1) / (n - k + 1)) +
                        (k + 0.5) * log(r * (n - k + 1) / (k + 1)) + stirling_rest(m) +
                        stirling_rest(n - m) - stirling_rest(k) - stirling_rest(n - k);
    const Array accept = logical_or(quick, logical_and(logical_not(out), v <= bound));
    return Rejection{where(accept, k, s.found), logical_or(s.accepted, accept), next};
  });
}
}  // namespace

Array poisson(const Key& key, const Array& lam0, const SampleShape& shape, DType dtype, Loc loc) {
  need_integer("poisson", dtype, loc);
  const Parameters p = parameters("poisson", shape, f32, {&lam0}, loc);
  UserLine line(loc);
  const Array lam = lax::stop_gradient(p.x[0]);
  const Array none = logical_not(isfinite(lam));
  const Array few = logical_or(none, lam < 10);
  const Array small = poisson_by_products(key, where(few, where(none, 0, lam), 0));
  const Array great = poisson_by_rejection(key, where(few, 1e5, lam));
  return where(none, -1, where(lam == 0, 0, where(few, small, great))).astype(dtype);
}
Array geometric(const Key& key, const Array& p0, const SampleShape& shape, DType dtype, Loc loc) {
  need_integer("geometric", dtype, loc);
  internal::need_array(p0, "random::geometric", loc);
  const Parameters p = parameters("geometric", shape, internal::to_inexact(p0.dtype()), {&p0}, loc);
  UserLine line(loc);
  const Array u = uniform(key, p.shape, p.x[0].dtype());
  const Array y = floor(log(where(u == 0, 1, u)) / log1p(-p.x[0])) + 1;
  return lax::stop_gradient(y).astype(dtype);
}
Array binomial(const Key& key, const Array& n0, const Array& p0, const SampleShape& shape,
               DType dtype, Loc loc) {
  need_float("binomial", dtype, loc);
  internal::need_array(p0, "random::binomial", loc);
  const Parameters v =
      parameters("binomial", shape, internal::to_inexact(p0.dtype()), {&n0, &p0}, loc);
  UserLine line(loc);
  const Array n = lax::stop_gradient(v.x[0]), p = lax::stop_gradient(v.x[1]);
  const Array rare = p < 0.5, q = where(rare, p, 1 - p);
  const Array no_count = logical_or(isnan(n), n < 0), endless = isinf(n);
  const Array no_share = logical_or(isnan(q), q < 0);
  const Array share = where(no_share, 0.01, q), trials = floor(n);
  const Array few = logical_or(no_count, n * share <= 10);
  const Array small = binomial_by_gaps(key, where(few, trials, 0), share);
  const Array great = binomial_by_rejection(key, where(few, 10000, trials), where(few, 0.5, share));
  constexpr double inf = std::numeric_limits<double>::infinity(),
                   nan = std::numeric_limits<double>::quiet_NaN();
  const Array none = logical_or(no_count, no_share);
  Array y = where(none, nan, where(few, small, great));
  y = where(logical_and(endless, logical_not(none)), inf, y);
  const Array counted = logical_or(logical_or(rare, no_count), logical_or(isnan(q), endless));
  return where(counted, y, trials - y).astype(dtype);
}
// Class by class: how many of the trials that remain, in the share that it has of what remains.
Array multinomial(const Key& key, const Array& n0, const Array& p0, const SampleShape& shape,
                  DType dtype, Loc loc) {
  need_float("multinomial", dtype, loc);
  internal::need_array(n0, "random::multinomial", loc);
  internal::need_array(p0, "random::multinomial", loc);
  if (p0.ndim() == 0) random_error("multinomial: the probabilities need an axis.", loc);
  const DType d = internal::to_inexact(p0.dtype());
  const Shape drawn = shape.shape ? *shape.shape : p0.shape();
  if (drawn.empty()) random_error("multinomial: the shape ends in the number of classes.", loc);
  UserLine line(loc);
  Shape batch = drawn;
  batch.pop_back();
  const char* op = "random::multinomial";
  const Array n =
      internal::broadcast_to_shape(lax::convert_element_type(n0, d, loc), batch, loc, op);
  const Array p = moveaxis(
      internal::broadcast_to_shape(lax::convert_element_type(p0, d, loc), drawn, loc, op), -1, 0);
  const Array remaining = lax::cumsum(p, 0, true);
  const Array ratios = clip(p / where(remaining == 0, 1, remaining), 0, 1);
  struct Class {
    Array ratio;
    Key key;
  };
  const auto step = [&](Array left, Class c) {
    const Array count = binomial(c.key, left, c.ratio, batch, d);
    return std::pair(left - count, count);
  };
  const Array counts = scan(step, n, Class{ratios, split(key, p.shape(0))}).second;
  return moveaxis(counts, 0, -1).astype(dtype);
}

}  // namespace jaxpp::random
