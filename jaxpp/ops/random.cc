// random.cc -- threefry2x32, the counter-based generator that all of random.h is made of, rng_bit_generator, random_gamma.
//
// Operands k0, k1, x0, x1 (u32; equal shapes, or rank 0): the two words of a key and of a counter.
// Results: the two words of the counter, encrypted.  No state, so equal keys and counters give
// equal bits anywhere.
//
// rng_bit_generator is XLA's operation: key and counter in one array, which comes back with the counter moved on.
#include <array>
#include "jaxpp/ops/indexing.h"
#include "jaxpp/ops/rules.h"

namespace jaxpp {
namespace {
using namespace internal;

// The common shape of operands that are equal, of rank 0, or of equal rank with sizes 1.
void threefry_shape(Types x, Params, Type* y) {
  Shape s;
  for (Type t : x) {
    check(t->dtype == u32, "threefry2x32", [&] { return "operands must be u32, not " + t->str(); });
    if (t->shape.empty()) continue;
    if (s.empty()) s = t->shape;
    bool fits = s.size() == t->shape.size();
    for (std::size_t i = 0; fits && i < s.size(); ++i) {
      if (s[i] == 1) s[i] = t->shape[i];
      fits = t->shape[i] == 1 || t->shape[i] == s[i];
    }
    check(fits, "threefry2x32",
          [&] { return "shapes differ: " + to_string(s) + " and " + to_string(t->shape); });
  }
  y[0] = y[1] = make_type(u32, s);
}
void threefry_batch(BatchRule& r) {
  std::size_t rank = 0;
  for (std::size_t i = 0; i < 4; ++i)
    rank = std::max(rank, std::size_t(r.x[i].ndim()) - (r.axis[i] >= 0 ? 1 : 0));
  Results x;
  for (std::size_t i = 0; i < 4; ++i) {  // batch in front, then sizes 1 up to the common rank
    if (r.axis[i] < 0 && r.x[i].ndim() == 0) {
      x.push_back(r.x[i]);
      continue;
    }
    Array a = r.axis[i] < 0 ? lax::expand_dims(r.x[i], {0}) : lax::move_axis(r.x[i], r.axis[i], 0);
    Shape s = a.shape();
    while (s.size() < rank + 1) s.push_back(1);
    x.push_back(lax::reshape(a, s));
  }
  r.prim.bind(args(x), {}, r.y, Loc::current());
  r.y_axis[0] = r.y_axis[1] = 0;
}
std::size_t two(Params) { return 2; }

// ---- rng_bit_generator
void rng_bit_generator_shape(Types x, Params p, Type* y) {
  const auto& q = p.as<RandomBitsParams>();
  const Type k = x[0];
  check((k->dtype == u32 && k->shape == Shape{4}) || (k->dtype == u64 && k->shape == Shape{2}),
        "rng_bit_generator", [&] { return "the key must be u32[4] or u64[2], not " + k->str(); });
  check(q.dtype == u8 || q.dtype == u16 || q.dtype == u32 || q.dtype == u64, "rng_bit_generator",
        [&] { return "the bits must be an unsigned integer, not " + std::string(name(q.dtype)); });
  for (std::int64_t n : q.shape)
    need(n >= 0, "rng_bit_generator", "the shape has a negative size.");
  y[0] = k;
  y[1] = make_type(q.dtype, q.shape);
}

Array u32_scalar(std::uint32_t v) { return Array(v); }
Array wide(const Array& low, const Array& high) {  // one u64 of two u32
  const Array shifted =
      lax::shift_left(lax::convert_element_type(high, u64), Array(std::uint64_t(32)));
  return lax::bitwise_or(lax::convert_element_type(low, u64), shifted);
}
std::array<Array, 2> words(const Array& x) {  // low and high half of u64
  return {lax::convert_element_type(x, u32),
          lax::convert_element_type(lax::shift_right_logical(x, Array(std::uint64_t(32))), u32)};
}

// The words of u32[...] in turns, one of each, as many as the shape has elements.
Array take_turns(Args parts, const Shape& shape) {
  const std::int64_t n = make_type(u32, shape)->size;
  const Array all = lax::stack(parts, 1);
  const std::int64_t have = all.shape()[0] * all.shape()[1];
  return lax::reshape(lax::slice_in_dim(lax::reshape(all, {have}), 0, n, 0), shape);
}

// Ten rounds: Salmon et al., figure 4.
std::array<Array, 4> philox4x32(std::array<Array, 4> x, std::array<Array, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const Array a = u32_scalar(0xD2511F53), b = u32_scalar(0xCD9E8D57);
    x = {lax::bitwise_xor(lax::bitwise_xor(lax::mulhi(x[2], b), x[1]), key[0]), lax::mul(x[2], b),
         lax::bitwise_xor(lax::bitwise_xor(lax::mulhi(x[0], a), x[3]), key[1]), lax::mul(x[0], a)};
    key = {lax::add(key[0], u32_scalar(0x9E3779B9)), lax::add(key[1], u32_scalar(0xBB67AE85))};
  }
  return x;
}
// Blocks of four words; counter and key are also the counter's low and high half.
Array philox_bits(const Array& key, const Array& counter, const RandomBitsParams& q,
                  std::int64_t& blocks) {
  const bool pairs = q.dtype == u64;
  const std::int64_t n = make_type(q.dtype, q.shape)->size;
  blocks = ((pairs ? 2 * n : n) + 3) / 4;
  const Array low = lax::add(counter, lax::iota(u64, {blocks}, 0));
  const Array high = lax::add(key, lax::convert_element_type(lax::lt(low, counter), u64));  // carry
  const auto [x0, x1] = words(low);
  const auto [x2, x3] = words(high);
  const std::array<Array, 4> y = philox4x32({x0, x1, x2, x3}, words(key));
  if (pairs) return take_turns(Borrowed(wide(y[0], y[1]), wide(y[2], y[3])), q.shape);
  return take_turns(Borrowed(y[0], y[1], y[2], y[3]), q.shape);
}

// One counter gives two words: neighbours along the first even dimension, or else along the longest.
Array threefry_bits(const Array& key, const Array& counter, const RandomBitsParams& q,
                    std::int64_t& blocks) {
  const Shape& shape = q.shape;
  std::size_t at = 0;
  for (std::size_t i = 1; i < shape.size(); ++i)
    if (shape[at] % 2 && (shape[i] % 2 == 0 || shape[i] > shape[at])) at = i;
  Shape half = shape;
  if (q.dtype != u64) {
    if (half.empty())
      half.push_back(1);
    else
      half[at] = (half[at] + 1) / 2;
  }
  blocks = make_type(u64, half)->size;
  const auto [k0, k1] = words(key);
  const auto [x0, x1] = words(lax::add(counter, lax::reshape(lax::iota(u64, {blocks}, 0), half)));
  const auto [y0, y1] = lax::threefry2x32(k0, k1, x0, x1);
  if (q.dtype == u64) return wide(y0, y1);
  if (shape.empty()) return lax::reshape(y0, shape);
  Shape both = half;
  both[at] *= 2;
  const Array y = lax::stack(Borrowed(y0, y1), std::int64_t(at) + 1);
  return lax::slice_in_dim(lax::reshape(y, both), 0, shape[at], std::int64_t(at));
}

void rng_bit_generator_lower(Args x, Params p, Array* y) {
  const auto& q = p.as<RandomBitsParams>();
  const bool narrow = x[0].dtype() == u32;
  const auto half = [&](std::int64_t i) {
    const auto word = [&](std::int64_t k) {
      return lax::reshape(lax::slice_in_dim(x[0], k, k + 1, 0), {});
    };
    return narrow ? wide(word(2 * i), word(2 * i + 1)) : word(i);
  };
  const Array key = half(0), counter = half(1);
  std::int64_t blocks = 0;
  const Array bits = q.algorithm == RandomAlgorithm::RNG_THREE_FRY
                         ? threefry_bits(key, counter, q, blocks)
                         : philox_bits(key, counter, q, blocks);
  const Array next = lax::add(counter, Array(std::uint64_t(blocks)));
  y[0] = narrow
             ? lax::stack(Borrowed(words(key)[0], words(key)[1], words(next)[0], words(next)[1]), 0)
             : lax::stack(Borrowed(key, next), 0);
  y[1] = lax::convert_element_type(bits, q.dtype);
}
// As JAX does: the first key makes the bits of the whole batch, and only its counter moves on.
void rng_bit_generator_batch(BatchRule& r) {
  auto p = r.params.as<RandomBitsParams>();
  const Array keys = lax::move_axis(r.x[0], r.axis[0], 0);
  const auto row = [&](std::int64_t from, std::int64_t to) {
    return lax::slice_in_dim(keys, from, to, 0);
  };
  Shape shape{r.size};
  shape.append(p.shape.begin(), p.shape.end());
  p.shape = shape;
  if (r.size == 0) {
    r.y[0] = keys;
    r.y[1] = lax::full(make_type(p.dtype, p.shape), 0);
  } else {
    Array y[2];
    r.prim.bind(Borrowed(lax::squeeze(row(0, 1), {0})), p, y, Loc::current());
    r.y[0] = lax::concatenate(Borrowed(lax::expand_dims(y[0], {0}), row(1, r.size)), 0);
    r.y[1] = y[1];
  }
  r.y_axis[0] = r.y_axis[1] = 0;
}

// ---- random_gamma: k0, k1, a, all of one shape
void random_gamma_shape(Types x, Params, Type* y) {
  check(x.size() == 3 && x[0]->dtype == u32 && x[1]->dtype == u32 && is_float(x[2]->dtype),
        "random_gamma", [&] { return std::string("takes two u32 and a float"); });
  check(x[0]->shape == x[2]->shape && x[1]->shape == x[2]->shape, "random_gamma", [&] {
    return "shapes differ: " + x[0]->str() + ", " + x[1]->str() + " and " + x[2]->str();
  });
  *y = x[2];
}
// The sample moves with the shape so that its probability P(a, y) stays (M. Figurnov et al., Implicit reparameterization
// gradients, 2018).  Where y underflows, P(a, y) is y^a / Gamma(a + 1).
void random_gamma_jvp(JvpRule& r) {
  r.prim.bind(r.x, r.params, r.y, Loc::current());
  const Array &a = r.x[2], &y = r.y[0];
  if (!r.params.as<RandomGammaParams>().log_space) {
    r.dy[0] = lax::mul(r.dx[2], lax::random_gamma_grad(a, y));
    return;
  }
  const auto number = [&](double v) { return lax::full(scalar_type(a.dtype()), v); };
  const Array small = lax::lt(y, number(a.dtype() == f64 ? -37 : -17));
  const Array sample = lax::exp(lax::select(small, lax::zeros_like(y), y));
  const Array slope = lax::div(lax::random_gamma_grad(a, sample), sample);
  const Array limit = lax::div(lax::sub(lax::digamma(lax::add(a, number(1))), y), a);
  r.dy[0] = lax::mul(r.dx[2], lax::select(small, limit, slope));
}
void random_gamma_batch(BatchRule& r) {
  std::size_t first = 0;
  while (r.axis[first] < 0) ++first;
  const int at = r.axis[first];
  Results x;
  for (std::size_t i = 0; i < 3; ++i) x.push_back(batch_at(r.x[i], r.axis[i], r.size, at));
  r.prim.bind(args(x), r.params, r.y, Loc::current());
  *r.y_axis = at;
}
}  // namespace

const Primitive random_gamma_p = {.name = "random_gamma",
                                  .operands = {3, 3},
                                  .shape = random_gamma_shape,
                                  .jvp = random_gamma_jvp,
                                  .batch = random_gamma_batch,
                                  .params = &params_ops<RandomGammaParams>};
Array lax::random_gamma(const Array& k0, const Array& k1, const Array& a, bool log_space, Loc loc) {
  return random_gamma_p.apply(RandomGammaParams{log_space}, loc, k0, k1, a);
}

const Primitive threefry2x32_p = {.name = "threefry2x32",
                                  .operands = {4, 4},
                                  .shape = threefry_shape,
                                  .batch = threefry_batch,
                                  .num_outputs = two,
                                  .differentiable = false};

const Primitive rng_bit_generator_p = {.name = "rng_bit_generator",
                                       .operands = {1, 1},
                                       .shape = rng_bit_generator_shape,
                                       .batch = rng_bit_generator_batch,
                                       .lower = rng_bit_generator_lower,
                                       .num_outputs = two,
                                       .params = &params_ops<RandomBitsParams>,
                                       .differentiable = false};

std::pair<Array, Array> lax::threefry2x32(const Array& k0, const Array& k1, const Array& x0,
                                          const Array& x1, Loc loc) {
  Array y[2];
  threefry2x32_p.bind(Borrowed(k0, k1, x0, x1), {}, y, loc);
  return {std::move(y[0]), std::move(y[1])};
}

std::pair<Array, Array> lax::rng_bit_generator(const Array& key, const Shape& shape, DType dtype,
                                               RandomAlgorithm algorithm, Loc loc) {
  Array y[2];
  rng_bit_generator_p.bind(Borrowed(key), RandomBitsParams{algorithm, dtype, shape}, y, loc);
  return {std::move(y[0]), std::move(y[1])};
}

}  // namespace jaxpp
