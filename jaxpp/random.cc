// random.cc -- jax.random's algorithms over threefry2x32.
//
// The counter of an element is its row-major position (64 bits, two words); the words it is encrypted to are xored for
// up to 32 bits and joined for 64.  Uniform numbers put random bits into the mantissa of a number in [1, 2).
#include "jaxpp/random.h"
#include <cmath>
#include <limits>
#include "jaxpp/lax.h"
#include "jaxpp/math_internal.h"

namespace jaxpp::random {
namespace {

[[noreturn]] void random_error(const std::string& what, Loc loc) {
  internal::fail<TypeError>("random::" + what, loc, "E53");
}

// ---- Constants of element types
struct Format {
  int bits, mantissa;
  std::uint64_t one;  // 1.0, as bits
  double tiny;        // the least normal number
};
Format format_of(DType d, const char* op, Loc loc) {
  switch (d) {
    case DType::f16: return {16, 10, 0x3C00, 0x1p-14};
    case DType::bf16: return {16, 7, 0x3F80, 0x1p-126};
    case DType::f32: return {32, 23, 0x3F800000, 0x1p-126};
    case DType::f64: return {64, 52, 0x3FF0000000000000, 0x1p-1022};
    default:
      random_error(std::string(op) + ": the type must be a float, not " + name(d) + ".", loc);
  }
}
DType unsigned_of(int n_bits) {
  return n_bits == 8 ? u8 : n_bits == 16 ? u16 : n_bits == 32 ? u32 : u64;
}
Array scalar_like(DType d, double v, Loc loc) { return lax::full(scalar_type(d), v, loc); }
// The low bits of v.
Array integer(DType d, std::uint64_t v) {
  Array a = Array::make(scalar_type(d));
  switch (width(d)) {
    case 1: *a.data<std::uint8_t>() = std::uint8_t(v); break;
    case 2: *a.data<std::uint16_t>() = std::uint16_t(v); break;
    case 4: *a.data<std::uint32_t>() = std::uint32_t(v); break;
    default: *a.data<std::uint64_t>() = v;
  }
  return a;
}

// x broadcast to `shape`, unless it is a scalar and need not be.
Array fit(const Array& x, const Shape& shape, const char* op, Loc loc) {
  return x.ndim() == 0 ? x : internal::broadcast_to_shape(x, shape, loc, op);
}

struct Words {
  Array first, second;
};
Words words(const Key& key, Loc loc) {
  if (!key.data.defined() || key.data.dtype() != u32 || key.data.shape() != Shape{2})
    internal::fail<TypeError>("random: a key holds u32[2], not " +
                                  (key.data.defined() ? key.data.type()->str() : "nothing") + ".",
                              loc, "E53",
                              "Take one of a batch of keys, keys[i], or vmap over them.");
  auto word = [&](std::int64_t i) {
    return lax::reshape(lax::slice(key.data, {i}, {i + 1}, {}, loc), {}, loc);
  };
  Array first = word(0);
  return {first, word(1)};
}
Key key_of(const Array& first, const Array& second, Loc loc) {
  const Array w[] = {first, second};
  return {lax::stack(w, 0, loc)};
}
// The two words of every counter of `shape`, encrypted.
Words encrypted(const Key& key, const Shape& shape, Loc loc) {
  const Words k = words(key, loc);
  Words counter;
  if (shape.empty()) {
    counter.first = counter.second = lax::full(scalar_type(u32), 0, loc);
  } else {
    const std::vector<Array> c = lax::iota_2x32_shape(shape, loc);
    counter = {c[0], c[1]};
  }
  auto [x, y] = lax::threefry2x32(k.first, k.second, counter.first, counter.second, loc);
  return {x, y};
}
}  // namespace

// ---- Keys
Key key(std::uint64_t seed, Loc loc) { return key(Array(seed), loc); }
Key key(const Array& seed, Loc loc) {
  if (!seed.defined() || seed.ndim() != 0 || !is_integer(seed.dtype()))
    random_error("key: the seed must be an integer scalar" +
                     (seed.defined() ? ", not " + seed.type()->str() : std::string()) + ".",
                 loc);
  const Array low = lax::convert_element_type(seed, u32, loc);
  if (width(seed.dtype()) < 8) return key_of(lax::full(scalar_type(u32), 0, loc), low, loc);
  const Array high = lax::shift_right_logical(seed, integer(seed.dtype(), 32), loc);
  return key_of(lax::convert_element_type(high, u32, loc), low, loc);
}
Key PRNGKey(std::uint64_t seed, Loc loc) { return key(seed, loc); }
Array key_data(const Key& key) { return key.data; }
Key wrap_key_data(const Array& data, Loc loc) {
  if (!data.defined() || data.dtype() != u32 || data.ndim() == 0 || data.shape().back() != 2)
    random_error("wrap_key_data: the data of keys are u32[..., 2]" +
                     (data.defined() ? ", not " + data.type()->str() : std::string()) + ".",
                 loc);
  return {data};
}
Key clone(const Key& key) { return key; }
Key split(const Key& key, const Shape& shape, Loc loc) {
  for (auto n : shape)
    if (n < 0) random_error("split: into " + to_string(shape) + " keys.", loc);
  const Words w = encrypted(key, shape, loc);
  const Array both[] = {w.first, w.second};
  return {lax::stack(both, std::int64_t(shape.size()), loc)};
}
Key split(const Key& key, std::int64_t n, Loc loc) {
  if (n < 0) random_error("split: into " + std::to_string(n) + " keys.", loc);
  return split(key, Shape{n}, loc);
}
Key fold_in(const Key& key, const Array& data, Loc loc) {
  if (!data.defined() || data.ndim() != 0 || !is_integer(data.dtype()))
    random_error("fold_in: the data must be an integer scalar" +
                     (data.defined() ? ", not " + data.type()->str() : std::string()) + ".",
                 loc);
  const Words k = words(key, loc);
  auto [x, y] = lax::threefry2x32(k.first, k.second, lax::full(scalar_type(u32), 0, loc),
                                  lax::convert_element_type(data, u32, loc), loc);
  return key_of(x, y, loc);
}

// ---- Bits and uniform numbers
Array bits(const Key& key, const Shape& shape, DType dtype, Loc loc) {
  if (!is_unsigned(dtype))
    random_error(std::string("bits: the type must be unsigned, not ") + name(dtype) + ".", loc);
  const Words w = encrypted(key, shape, loc);
  if (dtype != u64)
    return lax::convert_element_type(lax::bitwise_xor(w.first, w.second, loc), dtype, loc);
  const Array high = lax::convert_element_type(w.first, u64, loc),
              low = lax::convert_element_type(w.second, u64, loc);
  return lax::bitwise_or(lax::shift_left(high, integer(u64, 32), loc), low, loc);
}
Array uniform(const Key& key, const Shape& shape, DType dtype, const Array& minval,
              const Array& maxval, Loc loc) {
  const Format f = format_of(dtype, "uniform", loc);
  const int drawn = f.mantissa < 8 ? 8 : f.bits;
  const DType word = unsigned_of(f.bits);
  const Array random =
      lax::convert_element_type(bits(key, shape, unsigned_of(drawn), loc), word, loc);
  const Array mantissa =
      lax::shift_right_logical(random, integer(word, std::uint64_t(drawn - f.mantissa)), loc);
  const Array one_to_two =
      lax::bitcast_convert_type(lax::bitwise_or(mantissa, integer(word, f.one), loc), dtype, loc);
  const Array unit = lax::sub(one_to_two, scalar_like(dtype, 1, loc), loc);
  auto is = [](const Array& a, double v) {
    return a.concrete() && a.ndim() == 0 && a.item<double>() == v;
  };
  if (is(minval, 0) && is(maxval, 1)) return unit;
  const Array low =
      fit(lax::convert_element_type(minval, dtype, loc), shape, "random::uniform", loc);
  const Array high =
      fit(lax::convert_element_type(maxval, dtype, loc), shape, "random::uniform", loc);
  return lax::max(low, lax::add(lax::mul(unit, lax::sub(high, low, loc), loc), low, loc), loc);
}

namespace {
std::int64_t least(DType d) {
  return is_unsigned(d) ? 0 : std::numeric_limits<std::int64_t>::min() >> (64 - 8 * width(d));
}
std::uint64_t greatest(DType d) {
  return ~std::uint64_t(0) >> (64 - 8 * width(d) + (is_signed(d) ? 1 : 0));
}
// An integer array in another integer type; what does not fit becomes the nearest that does.
Array saturated(const Array& x, DType d, Loc loc) {
  const Array low = integer(x.dtype(), std::uint64_t(std::max(least(d), least(x.dtype()))));
  const Array high = integer(x.dtype(), std::min(greatest(d), greatest(x.dtype())));
  return lax::convert_element_type(lax::clamp(low, x, high, loc), d, loc);
}
}  // namespace

Array randint(const Key& key, const Shape& shape, const Array& minval, const Array& maxval,
              DType dtype, Loc loc) {
  if (!is_integer(dtype))
    random_error(std::string("randint: the type must be an integer, not ") + name(dtype) + ".",
                 loc);
  for (const Array* bound : {&minval, &maxval})
    if (!bound->defined() || !is_integer(bound->dtype()))
      random_error("randint: the bounds must be integers.", loc);
  Array low = minval, high = maxval;
  DType d = dtype;
  if (width(dtype) < 4) {  // drawn in 32 bits: less bias
    d = i32;
    auto clipped = [&](const Array& x, std::int64_t over) {
      return lax::clamp(Array(std::int32_t(least(dtype))), lax::convert_element_type(x, i32, loc),
                        Array(std::int32_t(std::int64_t(greatest(dtype)) + over)), loc);
    };
    low = clipped(low, 0);
    high = clipped(high, 1);
  }
  // maxval may be one more than the type can hold.
  Array over = lax::gt(high, saturated(integer(d, greatest(d)), high.dtype(), loc), loc);
  low = fit(saturated(low, d, loc), shape, "random::randint", loc);
  high = fit(saturated(high, d, loc), shape, "random::randint", loc);
  over = fit(over, shape, "random::randint", loc);

  const int n = int(8 * width(d));
  const DType word = unsigned_of(n);
  const auto [k1, k2] = split(key, loc);
  const Array upper = bits(k1, shape, word, loc), lower = bits(k2, shape, word, loc);
  const Array one = integer(word, 1);
  Array span = (high - low).astype(word, loc);
  span = where(high <= low, one, span, loc);
  span = where(over & (high > low), span + one, span, loc);
  // (upper * 2^n + lower) mod span, in n bits
  Array factor = lax::rem(integer(word, std::uint64_t(1) << (n / 2)), span, loc);
  factor = lax::rem(lax::mul(factor, factor, loc), span, loc);
  const Array offset = lax::rem(
      lax::add(lax::mul(lax::rem(upper, span, loc), factor, loc), lax::rem(lower, span, loc), loc),
      span, loc);
  return lax::convert_element_type(lax::add(low, lax::convert_element_type(offset, d, loc), loc),
                                   dtype, loc);
}

// ---- Distributions
Array normal(const Key& key, const Shape& shape, DType dtype, Loc loc) {
  if (is_complex(dtype)) {
    const auto [k1, k2] = split(key, loc);
    const DType part = real_of(dtype);
    const Array re = normal(k1, shape, part, loc), im = normal(k2, shape, part, loc);
    return lax::div(lax::complex(re, im, loc), scalar_like(dtype, std::sqrt(2.), loc), loc);
  }
  format_of(dtype, "normal", loc);
  const Array low = lax::nextafter(scalar_like(dtype, -1, loc), scalar_like(dtype, 0, loc), loc);
  const Array u = uniform(key, shape, dtype, low, scalar_like(dtype, 1, loc), loc);
  return lax::mul(scalar_like(dtype, std::sqrt(2.), loc), lax::erf_inv(u, loc), loc);
}
Array truncated_normal(const Key& key, const Array& lower, const Array& upper, const Shape& shape,
                       DType dtype, Loc loc) {
  format_of(dtype, "truncated_normal", loc);
  const Array low =
      fit(lax::convert_element_type(lower, dtype, loc), shape, "random::truncated_normal", loc);
  const Array high =
      fit(lax::convert_element_type(upper, dtype, loc), shape, "random::truncated_normal", loc);
  const Array root2 = scalar_like(dtype, std::sqrt(2.), loc),
              inf = scalar_like(dtype, INFINITY, loc);
  const Array u = uniform(key, shape, dtype, lax::erf(lax::div(low, root2, loc), loc),
                          lax::erf(lax::div(high, root2, loc), loc), loc);
  // Rounding must not lead out of the open interval.
  const Array least = lax::nextafter(lax::stop_gradient(low, loc), inf, loc);
  const Array most = lax::nextafter(lax::stop_gradient(high, loc), lax::neg(inf, loc), loc);
  return lax::min(lax::max(lax::mul(root2, lax::erf_inv(u, loc), loc), least, loc), most, loc);
}
Array bernoulli(const Key& key, double p, const Shape& shape, Loc loc) {
  const DType d = default_dtype();
  return lax::lt(uniform(key, shape, d, 0, 1, loc), scalar_like(d, p, loc), loc);
}
Array bernoulli(const Key& key, const Array& p, Loc loc) {
  if (!p.defined()) random_error("bernoulli: the probability is null.", loc);
  return bernoulli(key, p, p.shape(), loc);
}
Array bernoulli(const Key& key, const Array& p, const Shape& shape, Loc loc) {
  if (!p.defined() || !is_float(p.dtype()))
    random_error("bernoulli: the probability must be a float.", loc);
  return lax::lt(uniform(key, shape, p.dtype(), 0, 1, loc), fit(p, shape, "random::bernoulli", loc),
                 loc);
}
Array exponential(const Key& key, const Shape& shape, DType dtype, Loc loc) {
  const Array u = uniform(key, shape, dtype, 0, 1, loc);
  return lax::neg(lax::log1p(lax::neg(u, loc), loc), loc);
}
Array gumbel(const Key& key, const Shape& shape, DType dtype, Loc loc) {
  const Array tiny = scalar_like(dtype, format_of(dtype, "gumbel", loc).tiny, loc);
  const Array u = uniform(key, shape, dtype, tiny, 1, loc);
  return lax::neg(lax::log(lax::neg(lax::log(u, loc), loc), loc), loc);
}
Array laplace(const Key& key, const Shape& shape, DType dtype, Loc loc) {
  const double below_one = std::ldexp(1., -format_of(dtype, "laplace", loc).mantissa - 1);
  const Array u = uniform(key, shape, dtype, below_one - 1, 1, loc);
  return lax::mul(lax::sign(u, loc), lax::log1p(lax::neg(lax::abs(u, loc), loc), loc), loc);
}
Array logistic(const Key& key, const Shape& shape, DType dtype, Loc loc) {
  const Array tiny = scalar_like(dtype, format_of(dtype, "logistic", loc).tiny, loc);
  const Array u = uniform(key, shape, dtype, tiny, 1, loc);
  return lax::sub(lax::log(u, loc), lax::log1p(lax::neg(u, loc), loc), loc);
}
Array cauchy(const Key& key, const Shape& shape, DType dtype, Loc loc) {
  const double epsilon = std::ldexp(1., -format_of(dtype, "cauchy", loc).mantissa);
  const Array u = uniform(key, shape, dtype, epsilon, 1, loc);
  const Array angle = lax::sub(u, scalar_like(dtype, 0.5, loc), loc);
  return lax::tan(lax::mul(scalar_like(dtype, 3.14159265358979323846, loc), angle, loc), loc);
}
Array rademacher(const Key& key, const Shape& shape, DType dtype, Loc loc) {
  const Array up = lax::convert_element_type(bernoulli(key, 0.5, shape, loc), dtype, loc);
  return lax::sub(lax::mul(scalar_like(dtype, 2, loc), up, loc), scalar_like(dtype, 1, loc), loc);
}

// ---- Choices
Array categorical(const Key& key, const Array& logits, int axis, Loc loc) {
  if (!logits.defined() || axis < -logits.ndim() || axis >= logits.ndim())
    random_error("categorical: axis " + std::to_string(axis) + " is out of range.", loc);
  Shape shape = logits.shape();
  shape.erase(std::size_t(axis < 0 ? axis + logits.ndim() : axis));
  return categorical(key, logits, axis, shape, true, loc);
}
Array categorical(const Key& key, const Array& logits, int axis, const Shape& shape, bool replace,
                  Loc loc) {
  if (!logits.defined() || axis < -logits.ndim() || axis >= logits.ndim())
    random_error("categorical: axis " + std::to_string(axis) + " is out of range.", loc);
  if (axis < 0) axis += logits.ndim();
  const std::size_t batch = std::size_t(logits.ndim()) - 1;
  if (shape.size() < batch)
    random_error("categorical: the shape " + to_string(shape) + " does not fit logits " +
                     logits.type()->str() + ".",
                 loc);
  if (!replace) {  // the greatest scores
    const Shape rest(shape.begin() + (std::ptrdiff_t(shape.size()) - std::ptrdiff_t(batch)),
                     shape.end());
    std::int64_t draws = 1;
    for (std::size_t i = 0; i + batch < shape.size(); ++i) draws *= shape[i];
    if (draws > logits.shape(axis))
      random_error("categorical: " + std::to_string(draws) + " different ones of " +
                       std::to_string(logits.shape(axis)) + ".",
                   loc);
    const Array scores =
        moveaxis(gumbel(key, logits.shape(), logits.dtype(), loc) + logits, axis, -1, loc);
    Shape expected = scores.shape();
    expected.pop_back();
    if (rest != expected)
      random_error("categorical: the shape " + to_string(shape) +
                       " does not end in that of logits " + logits.type()->str() +
                       " without axis " + std::to_string(axis) + ".",
                   loc);
    return lax::reshape(moveaxis(lax::top_k(scores, draws, -1, loc).second, -1, 0, loc), shape,
                        loc);
  }
  Shape drawn = shape;  // with the axis of the categories
  const std::size_t at = shape.size() - batch + std::size_t(axis);
  drawn.insert(at, logits.shape()[std::size_t(axis)]);
  const Array scores = gumbel(key, drawn, logits.dtype(), loc) +
                       internal::broadcast_to_shape(logits, drawn, loc, "random::categorical");
  return lax::argmax(scores, std::int64_t(at), i32, loc);
}

namespace {
// Sorts by random 32-bit keys, often enough that elements rarely share all of their keys.
Array shuffled(Key key, Array x, std::int64_t axis, Loc loc) {
  const double n = double(std::max<std::int64_t>(1, x.size()));
  const int rounds = int(std::ceil(3 * std::log(n) / std::log(4294967295.)));
  for (int i = 0; i < rounds; ++i) {
    const auto [next, now] = split(key, loc);
    key = next;
    const Array pair[] = {bits(now, x.shape(), u32, loc), x};
    x = lax::sort(pair, axis, 1, true, loc)[1];
  }
  return x;
}
// n_draws positions in 0, ..., n - 1.
Array drawn_positions(const Key& key, std::int64_t n, const Shape& shape, bool replace,
                      const Array& p, Loc loc) {
  std::int64_t draws = 1;
  for (auto s : shape) draws *= s;
  if (n <= 0 && draws > 0) random_error("choice: there is nothing to draw from.", loc);
  if (!replace && draws > n)
    random_error(
        "choice: " + std::to_string(draws) + " different ones of " + std::to_string(n) + ".", loc);
  if (draws == 0) return lax::full(make_type(i32, shape), 0, loc);
  auto first = [&](const Array& x) {
    return lax::reshape(lax::slice_in_dim(x, 0, draws, 0, loc), shape, loc);
  };
  if (!p.defined())
    return replace ? randint(key, shape, 0, n, i32, loc) : first(permutation(key, n, loc));
  if (p.shape() != Shape{n})
    random_error("choice: p must be a vector of " + std::to_string(n) + " probabilities, not " +
                     p.type()->str() + ".",
                 loc);
  const Array weights = p.astype(internal::to_inexact(p.dtype()), loc);
  if (!replace)
    return lax::reshape(
        lax::top_k(lax::add(gumbel(key, {n}, weights.dtype(), loc), lax::log(weights, loc), loc),
                   draws, -1, loc)
            .second,
        shape, loc);
  const Array sums = cumsum(weights, 0, loc);
  const Array u = lax::sub(scalar_like(sums.dtype(), 1, loc),
                           uniform(key, shape, sums.dtype(), 0, 1, loc), loc);
  return searchsorted(sums, sums(-1) * u, "left", loc).astype(i32, loc);
}
}  // namespace

Array permutation(const Key& key, std::int64_t n, Loc loc) {
  if (n < 0) random_error("permutation: of " + std::to_string(n) + " elements.", loc);
  return shuffled(key, lax::iota(i32, {n}, 0, loc), 0, loc);
}
Array permutation(const Key& key, const Array& x, int axis, bool independent, Loc loc) {
  if (!x.defined() || x.ndim() == 0) random_error("permutation: the array needs an axis.", loc);
  const std::int64_t at = internal::axis_of(axis, x, "random::permutation", loc);
  return independent || x.ndim() == 1
             ? shuffled(key, x, at, loc)
             : take(x, permutation(key, x.shape(at), loc), int(at), "clip", loc);
}
Array choice(const Key& key, std::int64_t n, const Shape& shape, bool replace, const Array& p,
             Loc loc) {
  return drawn_positions(key, n, shape, replace, p, loc);
}
Array choice(const Key& key, const Array& x, const Shape& shape, bool replace, const Array& p,
             int axis, Loc loc) {
  if (!x.defined() || x.ndim() == 0) random_error("choice: the array needs an axis.", loc);
  const std::int64_t at = internal::axis_of(axis, x, "random::choice", loc);
  return take(x, drawn_positions(key, x.shape(at), shape, replace, p, loc), int(at), "clip", loc);
}

}  // namespace jaxpp::random
