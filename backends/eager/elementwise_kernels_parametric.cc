// elementwise_kernels_parametric.cc -- loops of the elementwise operations that are no rows of elementwise.def: those with
// parameters, with three or more operands, and the parts of complex numbers.
#include <algorithm>
#include <cstring>
#include "backends/eager/elementwise_kernels.h"

namespace jaxpp::internal {
namespace {

using DTypes = std::span<const DType>;

// z[i] = f(x[i]) over stored elements.
template <class T, class R, class F>
void map(const void* x_, void* z_, std::int64_t n, F f) {
  const T* x = static_cast<const T*>(x_);
  R* z = static_cast<R*>(z_);
#pragma GCC ivdep
  for (std::int64_t i = 0; i < n; ++i) z[i] = f(x[i]);
}
// The loop of z[i] = f(x[i]), computed in what T is computed in.  F: a captureless lambda.
template <class T, class F>
UnaryLoop loop_of(F) {
  return [](const void* x, void* z, std::int64_t n) {
    map<T, T>(x, z, n, [](T v) { return scalar::store<T>(F()(scalar::compute(v))); });
  };
}

// ---- select_n
template <class T>
void select_two(const BlockArgs& a, std::int64_t n) {
  const auto* c = static_cast<const scalar::StoredBool*>(a.x[0]);
  const bool* full = a.full;
  const T *off = static_cast<const T*>(a.x[1]), *on = static_cast<const T*>(a.x[2]);
  T* z = static_cast<T*>(a.z[0]);
  if (full[0] && full[1] && full[2]) {
#pragma GCC ivdep
    for (std::int64_t i = 0; i < n; ++i) z[i] = c[i] ? on[i] : off[i];
  } else if (full[0] && full[1]) {
    const T v = *on;
#pragma GCC ivdep
    for (std::int64_t i = 0; i < n; ++i) z[i] = c[i] ? v : off[i];
  } else if (full[0] && full[2]) {
    const T v = *off;
#pragma GCC ivdep
    for (std::int64_t i = 0; i < n; ++i) z[i] = c[i] ? on[i] : v;
  } else if (full[0]) {
    const T u = *off, v = *on;
#pragma GCC ivdep
    for (std::int64_t i = 0; i < n; ++i) z[i] = c[i] ? v : u;
  } else if (const T* chosen = *c ? on : off; !full[*c ? 2 : 1]) {
    std::fill_n(z, n, T(*chosen));
  } else if (chosen != z) {
    std::copy_n(chosen, n, z);
  }
}
// Any number of cases; indices are clamped.
template <class T, class Which>
void select_among(const BlockArgs& a, std::int64_t n) {
  const auto* which = static_cast<const scalar::Stored<Which>*>(a.x[0]);
  const auto last = std::int64_t(a.x.size()) - 2;
  T* z = static_cast<T*>(a.z[0]);
  for (std::int64_t i = 0; i < n; ++i) {
    const auto k =
        1 + std::size_t(std::clamp<std::int64_t>(Which(which[a.full[0] ? i : 0]), 0, last));
    z[i] = static_cast<const T*>(a.x[k])[a.full[k] ? i : 0];
  }
}
BlockOp select_op(Params, DTypes x, DType z) {
  return by_width(z, [&](auto t) -> BlockOp {
    using T = decltype(t);
    if (is_bool(x[0])) return x.size() == 3 ? select_two<T> : select_among<T, bool>;
    return select_among<T, std::int32_t>;
  });
}

// ---- clamp
template <class T>
void clamp_loop(const BlockArgs& a, std::int64_t n) {
  using scalar::compute;
  using In = scalar::Stored<T>;
  const auto *low = static_cast<const In*>(a.x[0]), *x = static_cast<const In*>(a.x[1]),
             *high = static_cast<const In*>(a.x[2]);
  T* z = static_cast<T*>(a.z[0]);
  auto f = [](T l, T v, T h) {
    return scalar::store<T>(scalar::clamp(compute(l), compute(v), compute(h)));
  };
  if (a.full[1] && !a.full[0] && !a.full[2]) {
    const T l = *low, h = *high;
#pragma GCC ivdep
    for (std::int64_t i = 0; i < n; ++i) z[i] = f(l, x[i], h);
  } else {
    for (std::int64_t i = 0; i < n; ++i)
      z[i] = f(low[a.full[0] ? i : 0], x[a.full[1] ? i : 0], high[a.full[2] ? i : 0]);
  }
}
BlockOp clamp_op(Params, DTypes, DType z) {
  return by_dtype(z, [](auto t) -> BlockOp {
    using T = decltype(t);
    if constexpr (in_domain(Domain::Ordered, dtype_of<T>)) return clamp_loop<T>;
    return {};
  });
}

// ---- regularized_incomplete_beta
template <class T>
void beta_loop(const BlockArgs& args, std::int64_t n) {
  const T *a = static_cast<const T*>(args.x[0]), *b = static_cast<const T*>(args.x[1]),
          *x = static_cast<const T*>(args.x[2]);
  T* z = static_cast<T*>(args.z[0]);
  auto at = [&](std::size_t k, std::int64_t i) { return args.full[k] ? i : 0; };
  for (std::int64_t i = 0; i < n; ++i)
    z[i] = scalar::store<T>(scalar::regularized_incomplete_beta(
        scalar::compute(a[at(0, i)]), scalar::compute(b[at(1, i)]), scalar::compute(x[at(2, i)])));
}
BlockOp beta_op(Params, DTypes, DType z) {
  return by_dtype(z, [](auto t) -> BlockOp {
    using T = decltype(t);
    if constexpr (in_domain(Domain::Float, dtype_of<T>)) return beta_loop<T>;
    return {};
  });
}

// ---- integer_pow
template <class T>
void power_loop(const BlockArgs& a, std::int64_t n) {
  const std::int64_t y = static_cast<const PowParams*>(a.params)->y;
  map<T, T>(a.x[0], a.z[0], n,
            [y](T v) { return scalar::store<T>(scalar::integer_pow(scalar::compute(v), y)); });
}
BlockOp integer_pow_op(Params p, DTypes, DType z) {
  return by_dtype(z, [&](auto t) -> BlockOp {
    using T = decltype(t);
    using scalar::divide, scalar::like, scalar::multiply;
    if constexpr (in_domain(Domain::Numeric, dtype_of<T>)) switch (p.as<PowParams>().y) {
        case 0: return loop_of<T>([](auto v) { return like(v, 1); });
        case 1: return loop_of<T>([](auto v) { return v; });
        case 2: return loop_of<T>([](auto v) { return multiply(v, v); });
        case 3: return loop_of<T>([](auto v) { return multiply(multiply(v, v), v); });
        case -1: return loop_of<T>([](auto v) { return divide(like(v, 1), v); });
        case -2: return loop_of<T>([](auto v) { return divide(like(v, 1), multiply(v, v)); });
        default: return {power_loop<T>, p};
      }
    return {};
  });
}

// ---- round, reduce_precision
BlockOp round_op(Params p, DTypes, DType z) {
  const bool to_even = p.as<RoundParams>().rounding_method == RoundingMethod::TO_NEAREST_EVEN;
  return by_dtype(z, [&](auto t) -> BlockOp {
    using T = decltype(t);
    if constexpr (in_domain(Domain::Float, dtype_of<T>))
      return to_even ? loop_of<T>([](auto v) { return scalar::round_even(v); })
                     : loop_of<T>([](auto v) { return scalar::round_away(v); });
    return {};
  });
}
template <class T>
void precision_loop(const BlockArgs& a, std::int64_t n) {
  const auto to = *static_cast<const PrecisionParams*>(a.params);
  map<T, T>(a.x[0], a.z[0], n,
            [to](T v) { return scalar::reduce_precision(v, to.exponent_bits, to.mantissa_bits); });
}
BlockOp reduce_precision_op(Params p, DTypes, DType z) {
  return by_dtype(z, [&](auto t) -> BlockOp {
    using T = decltype(t);
    if constexpr (in_domain(Domain::Float, dtype_of<T>)) return {precision_loop<T>, p};
    return {};
  });
}

// ---- The same bits: bitcast between types of one width, stop_gradient
template <class T>
void copy_loop(const void* x, void* z, std::int64_t n) {
  if (x != z) std::memcpy(z, x, std::size_t(n) * sizeof(T));
}
BlockOp same_bits_op(Params, DTypes x, DType z) {
  if (width(x[0]) != width(z)) return {};
  return by_width(z, [](auto t) -> BlockOp { return copy_loop<decltype(t)>; });
}

// ---- Complex numbers.  F: the real type
template <class F>
void complex_loop(const void* re_, bool re_full, const void* im_, bool im_full, void* z_,
                  std::int64_t n) {
  const F *re = static_cast<const F*>(re_), *im = static_cast<const F*>(im_);
  auto* z = static_cast<std::complex<F>*>(z_);
  for (std::int64_t i = 0; i < n; ++i) z[i] = {re[re_full ? i : 0], im[im_full ? i : 0]};
}
template <class F>
void real_loop(const void* x, void* z, std::int64_t n) {
  map<std::complex<F>, F>(x, z, n, [](auto v) { return v.real(); });
}
template <class F>
void imag_loop(const void* x, void* z, std::int64_t n) {
  map<std::complex<F>, F>(x, z, n, [](auto v) { return v.imag(); });
}
template <class F>
void conj_loop(const void* x, void* z, std::int64_t n) {
  map<std::complex<F>, std::complex<F>>(x, z, n, [](auto v) { return std::conj(v); });
}
template <class F>
void complex_of_real_loop(const void* x, void* z, std::int64_t n) {
  map<F, std::complex<F>>(x, z, n, [](F v) { return std::complex<F>(v, 0); });
}
BlockOp complex_op(Params, DTypes, DType z) {
  return z == DType::c64 ? complex_loop<float> : complex_loop<double>;
}
BlockOp real_op(Params, DTypes, DType z) {
  return z == DType::f32 ? real_loop<float> : real_loop<double>;
}
BlockOp imag_op(Params, DTypes, DType z) {
  return z == DType::f32 ? imag_loop<float> : imag_loop<double>;
}
BlockOp conj_op(Params, DTypes x, DType z) {
  if (is_complex(x[0])) return z == DType::c64 ? conj_loop<float> : conj_loop<double>;
  return z == DType::c64 ? complex_of_real_loop<float> : complex_of_real_loop<double>;
}

}  // namespace

std::span<const BlockRow> parametric_rows() {
  static constexpr BlockRow rows[] = {{&select_n_p, select_op},
                                      {&clamp_p, clamp_op},
                                      {&regularized_incomplete_beta_p, beta_op},
                                      {&integer_pow_p, integer_pow_op},
                                      {&round_p, round_op},
                                      {&reduce_precision_p, reduce_precision_op},
                                      {&bitcast_convert_type_p, same_bits_op},
                                      {&stop_gradient_p, same_bits_op},
                                      {&complex_p, complex_op},
                                      {&real_p, real_op},
                                      {&imag_p, imag_op},
                                      {&conj_p, conj_op}};
  return rows;
}

}  // namespace jaxpp::internal
