// simplify.cc -- algebraic identities that hold for every value, NaN, infinities and signed zeros included.
//
// Left out because they do not: x + 0.0 is not x for x = -0.0, x * 0 is not 0 for NaN, x - x, x / x, not (x < y) is not
// x >= y for NaN, -(x - y) is not y - x for x = y.  (x + -0.0 and x - 0.0 are x.)  The table at the end names every
// pattern; a pattern looks at one equation and the equations that made its operands, and says what value to use instead.
#include <algorithm>
#include <bit>
#include <cmath>
#include "backends/passes/local.h"
#include "backends/passes/passes.h"
#include "jaxpp/lax.h"
#include "jaxpp/ops/rules.h"

namespace jaxpp::passes {

Result uniform(const Local& b, const Atom& a) {
  if (b.type(a)->shape.empty()) return a;
  const Equation* d = b.made_by(a, broadcast_in_dim_p);
  if (d && b.type(d->in[0])->shape.empty()) return d->in[0];
  return {};
}
std::optional<double> number(const Local& b, const Atom& a) {
  const Result v = uniform(b, a);
  if (!v || v->is_var() || v->is_zero()) return {};
  const Array x = v->value();
  if (!x.concrete() || is_bool(x.dtype()) || is_complex(x.dtype())) return {};
  const double w = x.item<double>();
  if (is_integer(x.dtype()) && std::abs(w) >= 0x1p53) return {};
  return w;
}
bool is_number(const Local& b, const Atom& a, double v) {
  const auto w = number(b, a);
  return w && *w == v && std::signbit(*w) == std::signbit(v);
}

namespace {

/// An operand as the result: broadcast, if the other operand was what gave the result its shape.
Atom as_result(const Match& m, const Atom& x) {
  const std::size_t rank = m.b.type(x)->shape.size();
  return m.b.broadcast(x, m.type->shape, iota_dims(rank));
}
Result operand(const Match& m, std::size_t i) { return as_result(m, m.in(i)); }
std::optional<bool> truth(const Local& b, const Atom& a) {
  const Result v = uniform(b, a);
  if (!v || v->is_var() || v->is_zero() || !v->value().concrete() || !is_bool(b.type(*v)->dtype))
    return {};
  return v->value().item<bool>();
}
bool whole(const Match& m) { return is_integer(m.type->dtype) || is_bool(m.type->dtype); }
/// The operand of the equation that made a, if that is a P.
template <const Primitive& P>
Result inside(const Match& m, const Atom& a) {
  const Equation* d = m.b.made_by(a, P);
  if (d) return d->in[0];
  return {};
}
Atom literal(const Match& m, DType d, double v) { return m.b.full(scalar_type(d), v); }

template <int K, int V>  // operand K is the number V: the other one
Result neutral(const Match& m) {
  return is_number(m.b, m.in(K), V) ? operand(m, 1 - K) : Result();
}
template <int K>  // adding -0.0, the true zero of addition; any zero of integers
Result minus_zero(const Match& m) {
  const bool zero =
      is_number(m.b, m.in(K), -0.0) || (is_integer(m.type->dtype) && is_number(m.b, m.in(K), 0));
  return zero ? operand(m, 1 - K) : Result();
}
template <int K>  // integers: 0 * x
Result times_zero(const Match& m) {
  return whole(m) && is_number(m.b, m.in(K), 0) ? Result(m.b.full(m.type, 0)) : Result();
}
template <const Primitive& P>  // f(f(x)) = x
Result involution(const Match& m) {
  const Result x = inside<P>(m, m.in(0));
  return x && m.b.type(*x) == m.type ? x : Result();
}
template <const Primitive& Outer, const Primitive& Inner>  // f(g(x)) = f(x)
Result absorbs(const Match& m) {
  const Result x = inside<Inner>(m, m.in(0));
  if (!x || m.b.type(*x)->dtype != m.in_type(0)->dtype) return {};
  return m.b.add(Outer, m.e.params_data, {*x});
}
Result same_type(const Match& m) { return m.in_type(0) == m.type ? Result(m.in(0)) : Result(); }
Result equal_operands(const Match& m) {
  return same_value(m.in(0), m.in(1)) ? operand(m, 0) : Result();
}
template <bool V>  // of integers and bools, which have no NaN
Result compares_equal(const Match& m) {
  if (!same_value(m.in(0), m.in(1)) || is_inexact(m.in_type(0)->dtype)) return {};
  return m.b.full(m.type, V);
}

// ---- Signs
template <const Primitive& Then>  // x op -y = x Then y
Result of_negative(const Match& m) {
  if (const Result y = inside<neg_p>(m, m.in(1))) return m.b.add(Then, {m.in(0), *y});
  return {};
}
Result negative_plus(const Match& m) {
  if (const Result x = inside<neg_p>(m, m.in(0))) return m.b.add(sub_p, {m.in(1), *x});
  return {};
}
Result two_negatives(const Match& m) {
  const Result x = inside<neg_p>(m, m.in(0)), y = inside<neg_p>(m, m.in(1));
  if (x && y) return m.b.add(*m.e.prim, {*x, *y});
  return {};
}
// The sign moves into a number.
template <int K>
Result negative_times_number(const Match& m) {
  const Result x = inside<neg_p>(m, m.in(1 - K));
  if (!x || is_unsigned(m.type->dtype) || !number(m.b, m.in(K))) return {};
  const Atom c = m.b.add(neg_p, {m.in(K)});
  return K == 0 ? m.b.add(*m.e.prim, {c, *x}) : m.b.add(*m.e.prim, {*x, c});
}
template <const Primitive& P, int K>
Result negative_of_times_number(const Match& m) {
  const Equation* d = m.made_by(0, P);
  if (!d || is_unsigned(m.type->dtype) || !number(m.b, d->in[K])) return {};
  const Atom x = d->in[1 - K], k = d->in[K], c = m.b.add(neg_p, {k});
  return K == 0 ? m.b.add(P, {c, x}) : m.b.add(P, {x, c});
}
template <int K>
Result times_minus_one(const Match& m) {
  if (!is_number(m.b, m.in(K), -1)) return {};
  return m.b.add(neg_p, {*operand(m, 1 - K)});
}

// ---- Powers and quotients
Result square_of_equals(const Match& m) {
  if (!same_value(m.in(0), m.in(1)) || is_bool(m.type->dtype)) return {};
  return m.b.add(square_p, {m.in(0)});
}
Result integer_power(const Match& m) {
  switch (m.params<PowParams>().y) {
    case 0: return m.b.full(m.type, 1);
    case 1: return m.in(0);
    case 2: return m.b.add(square_p, {m.in(0)});
    case -1:
      if (!is_inexact(m.type->dtype)) return {};
      return m.b.add(div_p, {literal(m, m.type->dtype, 1), m.in(0)});
    default: return {};
  }
}
// x to the power of k + 1/2 by its square root and |k| products or quotients: not more than 2 ulp off, as pow is.  The
// zero makes -0 a 0, as pow does; the power of -inf is not what its root says.
Atom half_integer_power(const Match& m, double y) {
  const Type t = m.type;
  const Atom x = m.b.add(add_p, {as_result(m, m.in(0)), m.b.full(t, 0)});
  Atom r = m.b.add(y > 0 ? sqrt_p : rsqrt_p, {x});
  for (double k = 0.5; k < std::abs(y); ++k) r = m.b.add(y > 0 ? mul_p : div_p, {r, x});
  constexpr double infinity = std::numeric_limits<double>::infinity();
  return m.b.add(select_n_p, {m.b.add(eq_p, {x, m.b.full(t, -infinity)}), r,
                              m.b.full(t, y > 0 ? infinity : 0)});
}
// Where one rounding gives the exact power, rounded; and roots.
Result power_of_number(const Match& m) {
  const auto y = number(m.b, m.in(1));
  if (!y || !is_float(m.type->dtype)) return {};
  if (*y == 0) return m.b.full(m.type, 1);
  if (*y == 1) return operand(m, 0);
  if (*y == 2) return as_result(m, m.b.add(square_p, {m.in(0)}));
  if (*y == -1) return as_result(m, m.b.add(div_p, {literal(m, m.type->dtype, 1), m.in(0)}));
  const bool half = *y != std::floor(*y) && 2 * *y == std::floor(2 * *y);
  if (half && std::abs(*y) < 4 && width(m.type->dtype) > 2) return half_integer_power(m, *y);
  return {};
}
// 1 / c is exact, and so is its product with x, or rounded as the quotient is.
Result over_power_of_two(const Match& m) {
  const auto c = number(m.b, m.in(1));
  if (!c || !is_float(m.type->dtype) || width(m.type->dtype) == 2) return {};
  int exponent;
  if (std::abs(std::frexp(*c, &exponent)) != 0.5 || std::abs(exponent) > 100) return {};
  return as_result(m, m.b.add(mul_p, {m.in(0), literal(m, m.type->dtype, 1 / *c)}));
}
Result over_minus_one(const Match& m) {
  if (!is_number(m.b, m.in(1), -1) || is_integer(m.type->dtype)) return {};
  return m.b.add(neg_p, {*operand(m, 0)});
}

// ---- Bits, bools, extremes
template <int K>  // and True, or False: the other one; and False, or True: that
Result known_bit(const Match& m) {
  const auto v = truth(m.b, m.in(K));
  if (!v) return {};
  const bool absorbing = m.e.prim == &bitwise_or_p;
  return *v == absorbing ? Result(m.b.full(m.type, absorbing)) : operand(m, 1 - K);
}
Result not_of_comparison(const Match& m) {
  static constexpr const Primitive* kPairs[][2] = {{&eq_p, &ne_p}, {&ne_p, &eq_p}, {&lt_p, &ge_p},
                                                   {&ge_p, &lt_p}, {&gt_p, &le_p}, {&le_p, &gt_p}};
  if (!is_bool(m.type->dtype)) return {};
  const Equation* d = m.b.maker(m.in(0));
  if (!d) return {};
  for (auto [from, to] : kPairs)
    if (d->prim == from &&
        (from == &eq_p || from == &ne_p || !is_inexact(m.b.type(d->in[0])->dtype)))
      return m.b.add(*to, d->in);
  return {};
}
template <int K, int Sign>  // max with -infinity, min with infinity
Result with_infinity(const Match& m) {
  return is_float(m.type->dtype) && is_number(m.b, m.in(K), Sign * INFINITY) ? operand(m, 1 - K)
                                                                             : Result();
}

// ---- Conversions
// Every value of `from` is a value of `to`.
bool exact(DType from, DType to) {
  if (from == to) return true;
  if (is_bool(from)) return true;
  if (is_integer(from) && is_integer(to))
    return is_signed(from)
               ? is_signed(to) && width(to) >= width(from)
               : width(to) > width(from) || (is_unsigned(to) && width(to) == width(from));
  if (is_integer(from) && is_float(real_of(to))) {
    const int mantissa = real_of(to) == DType::f64   ? 53
                         : real_of(to) == DType::f32 ? 24
                         : real_of(to) == DType::f16 ? 11
                                                     : 8;
    return int(8 * width(from)) <= (real_of(to) == DType::f16 ? 8 : mantissa);
  }
  if (is_float(from) && is_float(real_of(to)))
    return real_of(to) == DType::f64 || (real_of(to) == DType::f32 && from != DType::f64);
  return is_complex(from) && is_complex(to) && width(to) >= width(from);
}
Result convert_of_convert(const Match& m) {
  const Result x = inside<convert_element_type_p>(m, m.in(0));
  if (!x) return {};
  const DType from = m.b.type(*x)->dtype, via = m.in_type(0)->dtype;
  if (!exact(from, via) || (is_bool(m.type->dtype) && !is_bool(from))) return {};
  return m.b.add(convert_element_type_p, m.e.params_data, {*x});
}
// A bool made a number, compared with 0 or 1: what it says for False and for True.
Result comparison_of_bool(const Match& m) {
  const Result x = inside<convert_element_type_p>(m, m.in(0));
  const auto v = number(m.b, m.in(1));
  if (!x || !v || !is_bool(m.b.type(*x)->dtype) || (*v != 0 && *v != 1)) return {};
  const auto says = [&](double b) {
    const Primitive* p = m.e.prim;
    return p == &eq_p   ? b == *v
           : p == &ne_p ? b != *v
           : p == &lt_p ? b < *v
           : p == &le_p ? b <= *v
           : p == &gt_p ? b > *v
                        : b >= *v;
  };
  if (says(0) == says(1)) return m.b.full(m.type, says(0));
  return as_result(m, says(1) ? *x : m.b.add(bitwise_not_p, {*x}));
}
template <int K>
Result part_of_complex(const Match& m) {
  const Equation* d = m.made_by(0, complex_p);
  if (d && m.b.type(d->in[K]) == m.type) return d->in[K];
  return {};
}
Result complex_of_parts(const Match& m) {
  const Result x = inside<real_p>(m, m.in(0)), y = inside<imag_p>(m, m.in(1));
  return x && y && same_value(*x, *y) ? x : Result();
}

// ---- select_n
Result select_known(const Match& m) {
  const Result v = uniform(m.b, m.in(0));
  if (!v || v->is_var() || v->is_zero() || !v->value().concrete()) return {};
  const auto k =
      std::clamp<std::int64_t>(v->value().item<std::int64_t>(), 0, std::int64_t(m.size()) - 2);
  return operand(m, std::size_t(k) + 1);
}
Result select_equal(const Match& m) {
  for (std::size_t i = 2; i < m.size(); ++i)
    if (!same_value(m.in(i), m.in(1))) return {};
  return operand(m, 1);
}
Result select_by_not(const Match& m) {
  const Result which = inside<bitwise_not_p>(m, m.in(0));
  if (!which || m.size() != 3 || !is_bool(m.in_type(0)->dtype)) return {};
  return m.b.add(select_n_p, {*which, m.in(2), m.in(1)});
}
template <int K>  // a case that is itself a selection by the same predicate
Result select_again(const Match& m) {
  if (m.size() != 3) return {};
  const Equation* d = m.made_by(K, select_n_p);
  if (!d || d->in.size() != 3 || !same_value(d->in[0], m.in(0))) return {};
  const Atom inner = d->in[K];
  return K == 1 ? m.b.add(select_n_p, {m.in(0), inner, m.in(2)})
                : m.b.add(select_n_p, {m.in(0), m.in(1), inner});
}

// ---- Broadcasts
// All operands fill the result in the same way from something smaller: compute there.
Result of_broadcasts(const Match& m) {
  if (m.type->shape.empty() || m.type->size == 0) return {};
  Shape small;
  Dims dims;
  bool views = false;
  for (const Atom& a : m.e.in) {
    if (uniform(m.b, a)) continue;
    if (m.b.type(a)->shape != m.type->shape) return {};
    Dims own;
    const Equation* d = m.b.maker(a);
    if (d && d->prim == &broadcast_in_dim_p)
      own = d->params().as<BroadcastParams>().broadcast_dimensions;
    else if (d && d->prim == &expand_dims_p)
      own = without(m.type->shape.size(), d->params().as<DimensionsParams>().dimensions);
    else
      return {};
    const Shape& s = m.b.type(d->in[0])->shape;
    if (views && (own != dims || s != small)) return {};
    small = s;
    dims = own;
    views = true;
  }
  Operands in;
  for (const Atom& a : m.e.in) {
    const Result v = uniform(m.b, a);
    in.push_back(v ? *v : Atom(m.b.maker(a)->in[0]));
  }
  // A selector has rank 0 or the shape of the cases, which are all alike.
  if (views && (m.e.prim == &select_n_p || m.e.prim == &clamp_p))
    for (std::size_t i = 0; i < in.size(); ++i)
      if (m.b.type(in[i])->shape.empty() && !(m.e.prim == &select_n_p ? i == 0 : i != 1))
        in[i] = m.b.broadcast(in[i], small, {});
  return m.b.broadcast(m.b.add(*m.e.prim, m.e.params_data, std::move(in)), m.type->shape, dims);
}

// Axes of size 1 that all operands were given by a view: the view comes after.
Result of_unit_axes(const Match& m) {
  const Shape& s = m.type->shape;
  Dims unit;
  for (std::size_t i = 0; i < s.size(); ++i)
    if (s[i] == 1) unit.push_back(std::int64_t(i));
  for (const Atom& a : m.e.in) {
    if (unit.empty()) return {};
    if (m.b.type(a)->shape.empty()) continue;
    const Equation* d = m.b.maker(a);
    if (!d || (d->prim != &expand_dims_p && d->prim != &broadcast_in_dim_p)) return {};
    const bool added = d->prim == &expand_dims_p;
    const Dims& dims = added ? d->params().as<DimensionsParams>().dimensions
                             : d->params().as<BroadcastParams>().broadcast_dimensions;
    Dims both;
    for (auto i : unit)
      if ((position(dims, i) >= 0) == added) both.push_back(i);
    unit = both;
  }
  if (unit.empty()) return {};
  const Dims kept = without(s.size(), unit);
  Operands in;
  for (const Atom& a : m.e.in) {
    const Shape of = m.b.type(a)->shape;
    in.push_back(of.empty() ? a : m.b.reshaped(a, pick(of, kept)));
  }
  return m.b.reshaped(m.b.add(*m.e.prim, m.e.params_data, std::move(in)), s);
}

constexpr Pattern kPatterns[] = {
    {nullptr, "of numbers in every element, or of equal broadcasts: a broadcast", of_broadcasts},
    {nullptr, "along axes of size 1 that come from views: first without them", of_unit_axes},
    {&mul_p, "1 * x = x", neutral<0, 1>},
    {&mul_p, "x * 1 = x", neutral<1, 1>},
    {&mul_p, "-1 * x = -x", times_minus_one<0>},
    {&mul_p, "x * -1 = -x", times_minus_one<1>},
    {&mul_p, "0 * x = 0 for integers", times_zero<0>},
    {&mul_p, "x * 0 = 0 for integers", times_zero<1>},
    {&mul_p, "-x * -y = x * y", two_negatives},
    {&mul_p, "c * -x = -c * x for a number c", negative_times_number<0>},
    {&mul_p, "-x * c = x * -c for a number c", negative_times_number<1>},
    {&mul_p, "x * x = square x", square_of_equals},
    {&div_p, "x / 1 = x", neutral<1, 1>},
    {&div_p, "x / -1 = -x, not for integers", over_minus_one},
    {&div_p, "x / c = x * (1 / c) for a power of two", over_power_of_two},
    {&div_p, "-x / -y = x / y", two_negatives},
    {&pow_p, "x ** c for c = 0, 1, 2, -1: 1, x, square x, 1 / x; for 1.5 and its like: by roots",
     power_of_number},
    {&integer_pow_p, "x ** c for c = 0, 1, 2, -1: 1, x, square x, 1 / x", integer_power},
    {&sub_p, "x - 0 = x", neutral<1, 0>},
    {&sub_p, "x - -y = x + y", of_negative<add_p>},
    {&add_p, "-0 + x = x", minus_zero<0>},
    {&add_p, "x + -0 = x", minus_zero<1>},
    {&add_p, "x + -y = x - y", of_negative<sub_p>},
    {&add_p, "-x + y = y - x", negative_plus},
    {&add_any_p, "-0 + x = x", minus_zero<0>},
    {&add_any_p, "x + -0 = x", minus_zero<1>},
    {&add_any_p, "0 + x = x: a sum of cotangents, in which a zero stands for nothing",
     neutral<0, 0>},
    {&add_any_p, "x + 0 = x", neutral<1, 0>},
    {&add_any_p, "x + -y = x - y", of_negative<sub_p>},
    {&add_any_p, "-x + y = y - x", negative_plus},
    {&neg_p, "-(-x) = x", involution<neg_p>},
    {&neg_p, "-(c * x) = -c * x for a number c", negative_of_times_number<mul_p, 0>},
    {&neg_p, "-(x * c) = x * -c for a number c", negative_of_times_number<mul_p, 1>},
    {&neg_p, "-(c / x) = -c / x for a number c", negative_of_times_number<div_p, 0>},
    {&abs_p, "|-x| = |x|", absorbs<abs_p, neg_p>},
    {&abs_p, "||x|| = |x|", absorbs<abs_p, abs_p>},
    {&square_p, "(-x)^2 = x^2", absorbs<square_p, neg_p>},
    {&square_p, "|x|^2 = x^2", absorbs<square_p, abs_p>},
    {&max_p, "max(x, x) = x", equal_operands},
    {&max_p, "max(-inf, x) = x", with_infinity<0, -1>},
    {&max_p, "max(x, -inf) = x", with_infinity<1, -1>},
    {&min_p, "min(x, x) = x", equal_operands},
    {&min_p, "min(inf, x) = x", with_infinity<0, 1>},
    {&min_p, "min(x, inf) = x", with_infinity<1, 1>},
    {&eq_p, "x = x, of integers", compares_equal<true>},
    {&le_p, "x <= x, of integers", compares_equal<true>},
    {&ge_p, "x >= x, of integers", compares_equal<true>},
    {&ne_p, "x != x, of integers", compares_equal<false>},
    {&lt_p, "x < x, of integers", compares_equal<false>},
    {&gt_p, "x > x, of integers", compares_equal<false>},
    {&eq_p, "of a bool as a number with 0 or 1", comparison_of_bool},
    {&ne_p, "of a bool as a number with 0 or 1", comparison_of_bool},
    {&lt_p, "of a bool as a number with 0 or 1", comparison_of_bool},
    {&le_p, "of a bool as a number with 0 or 1", comparison_of_bool},
    {&gt_p, "of a bool as a number with 0 or 1", comparison_of_bool},
    {&ge_p, "of a bool as a number with 0 or 1", comparison_of_bool},
    {&bitwise_not_p, "~~x = x", involution<bitwise_not_p>},
    {&bitwise_not_p, "not (x = y) is x != y; < and the others of integers too", not_of_comparison},
    {&bitwise_and_p, "x and x = x", equal_operands},
    {&bitwise_and_p, "with True or False", known_bit<0>},
    {&bitwise_and_p, "with True or False", known_bit<1>},
    {&bitwise_or_p, "x or x = x", equal_operands},
    {&bitwise_or_p, "with True or False", known_bit<0>},
    {&bitwise_or_p, "with True or False", known_bit<1>},
    {&conj_p, "conj(conj(x)) = x", involution<conj_p>},
    {&real_p, "real(complex(x, y)) = x", part_of_complex<0>},
    {&imag_p, "imag(complex(x, y)) = y", part_of_complex<1>},
    {&complex_p, "complex(real(x), imag(x)) = x", complex_of_parts},
    {&copy_p, "copy x = x", same_type},
    {&convert_element_type_p, "to its own type", same_type},
    {&convert_element_type_p, "through a wider type", convert_of_convert},
    {&select_n_p, "of a known case", select_known},
    {&select_n_p, "of equal cases", select_equal},
    {&select_n_p, "by not p: the cases change places", select_by_not},
    {&select_n_p, "of a selection by the same predicate", select_again<1>},
    {&select_n_p, "of a selection by the same predicate", select_again<2>},
};
}  // namespace

std::span<const Pattern> algebra_patterns() { return kPatterns; }

JaxprPtr simplify(const JaxprBody& j) { return dce(*Local(j, kSimplify).run()); }

}  // namespace jaxpp::passes
