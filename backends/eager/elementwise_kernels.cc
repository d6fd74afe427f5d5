// elementwise_kernels.cc -- broadcasting, and the kernels of elementwise operations with parameters
// or more than two operands.
//
// Broadcasting never copies: dimensions are merged where both operands advance alike, the innermost
// group is one run of a loop (each operand full or repeated), the outer groups are walked.
#include "backends/eager/elementwise_kernels.h"

#include <algorithm>
#include <cstring>

namespace jaxpp::internal {
namespace {

// A maximal group of dimensions over which both operands advance, or one is repeated.
struct Group {
  std::int64_t size;
  bool x, y;  // advances
};
SmallVec<Group, 6> groups_of(const Shape& x, const Shape& y, const Shape& z) {
  SmallVec<Group, 6> g;  // innermost first
  for (std::size_t d = z.size(); d-- > 0;) {
    if (z[d] == 1) continue;
    const bool in_x = !x.empty() && x[d] != 1, in_y = !y.empty() && y[d] != 1;
    if (!g.empty() && g.back().x == in_x && g.back().y == in_y)
      g.back().size *= z[d];
    else
      g.push_back(Group{z[d], in_x, in_y});
  }
  return g;
}

}  // namespace

void run_broadcast(BinaryLoop loop, const Array& x, const Array& y, const Array& z) {
  const std::int64_t n = z.size();
  if (n == 0) return;
  const bool x_full = x.size() == n, y_full = y.size() == n;
  if ((x_full || x.size() == 1) && (y_full || y.size() == 1)) [[likely]]
    return loop(x.data<char>(), x_full, y.data<char>(), y_full, z.data<char>(), n);

  const auto g = groups_of(x.shape(), y.shape(), z.shape());
  const auto wx = std::int64_t(width(x.dtype())), wy = std::int64_t(width(y.dtype())),
             wz = std::int64_t(width(z.dtype()));
  SmallVec<std::int64_t, 6> index(g.size(), 0), x_step(g.size(), 0), y_step(g.size(), 0);
  for (std::size_t k = 0, dx = 1, dy = 1; k < g.size(); ++k) {
    if (g[k].x) x_step[k] = std::int64_t(dx) * wx, dx *= std::size_t(g[k].size);
    if (g[k].y) y_step[k] = std::int64_t(dy) * wy, dy *= std::size_t(g[k].size);
  }
  const char *px = x.data<char>(), *py = y.data<char>();
  char* pz = z.data<char>();
  for (const std::int64_t run = g[0].size;; pz += run * wz) {
    loop(px, g[0].x, py, g[0].y, pz, run);
    std::size_t k = 1;
    for (; k < g.size(); ++k) {
      px += x_step[k];
      py += y_step[k];
      if (++index[k] < g[k].size) break;
      px -= x_step[k] * g[k].size;
      py -= y_step[k] * g[k].size;
      index[k] = 0;
    }
    if (k == g.size()) return;
  }
}

namespace {

std::size_t bytes(const Array& x) { return std::size_t(x.size()) * width(x.dtype()); }
void identity_kernel(Args x, Params, Array* y) {  // also bitcast: the elements' bytes stay
  if (y->data<char>() != x[0].data<char>())
    std::memcpy(y->data<char>(), x[0].data<char>(), bytes(*y));
}

// ---- select_n
void select_n_kernel(Args x, Params, Array* z) {
  const Array& which = x[0];
  const bool boolean = is_bool(which.dtype());
  const auto last = std::int32_t(x.size()) - 2;
  auto chosen = [&](std::int64_t i) {  // the case's index, clamped
    return boolean ? std::min(std::int32_t(which.data<bool>()[i]), last)
                   : std::clamp(which.data<std::int32_t>()[i], 0, last);
  };
  const std::int64_t n = z->size();
  if (n == 0) return;
  if (which.ndim() == 0) return identity_kernel(x.subspan(std::size_t(1 + chosen(0)), 1), {}, z);
  by_width(z->dtype(), [&](auto t) {
    using T = decltype(t);
    T* o = z->data<T>();
    if (boolean && x.size() == 3) {
      const bool* c = which.data<bool>();
      const T *off = x[1].data<T>(), *on = x[2].data<T>();
#pragma GCC ivdep
      for (std::int64_t i = 0; i < n; ++i) o[i] = c[i] ? on[i] : off[i];
    } else {
      for (std::int64_t i = 0; i < n; ++i) o[i] = x[std::size_t(1 + chosen(i))].data<T>()[i];
    }
  });
}

// ---- clamp
void clamp_kernel(Args x, Params, Array* z) {
  by_dtype(z->dtype(), [&](auto t) {
    using T = decltype(t);
    if constexpr (in_domain(Domain::Ordered, dtype_of<T>)) {
      const T *low = x[0].data<T>(), *v = x[1].data<T>(), *high = x[2].data<T>();
      const std::int64_t low_step = x[0].ndim() ? 1 : 0, high_step = x[2].ndim() ? 1 : 0;
      T* o = z->data<T>();
      for (std::int64_t i = 0, n = z->size(); i < n; ++i) {
        using namespace scalar;
        o[i] = store<T>(
            min(compute(high[i * high_step]), max(compute(low[i * low_step]), compute(v[i]))));
      }
    }
  });
}

// ---- integer_pow
template <class V>
V power(V x, std::uint64_t n) {  // n > 0, by repeated squaring
  while (!(n & 1)) {
    x = scalar::multiply(x, x);
    n >>= 1;
  }
  V result = x;
  while (n >>= 1) {
    x = scalar::multiply(x, x);
    if (n & 1) result = scalar::multiply(result, x);
  }
  return result;
}
template <class T, class F>
void map(const Array& x, const Array& z, F f) {
  const T* a = x.data<T>();
  T* o = z.data<T>();
#pragma GCC ivdep
  for (std::int64_t i = 0, n = z.size(); i < n; ++i)
    o[i] = scalar::store<T>(f(scalar::compute(a[i])));
}
void integer_pow_kernel(Args x, Params p, Array* z) {
  const std::int64_t n = p.as<PowParams>().y;
  by_dtype(z->dtype(), [&](auto t) {
    using T = decltype(t);
    if constexpr (in_domain(Domain::Numeric, dtype_of<T>)) {
      using scalar::divide, scalar::like, scalar::multiply;
      const auto positive = n < 0 ? -std::uint64_t(n) : std::uint64_t(n);
      switch (n) {
        case 0: return map<T>(x[0], *z, [](auto v) { return like(v, 1); });
        case 1: return map<T>(x[0], *z, [](auto v) { return v; });
        case 2: return map<T>(x[0], *z, [](auto v) { return multiply(v, v); });
        case 3: return map<T>(x[0], *z, [](auto v) { return multiply(multiply(v, v), v); });
        case -1: return map<T>(x[0], *z, [](auto v) { return divide(like(v, 1), v); });
        case -2: return map<T>(x[0], *z, [](auto v) { return divide(like(v, 1), multiply(v, v)); });
      }
      if (n > 0)
        map<T>(x[0], *z, [=](auto v) { return power(v, positive); });
      else
        map<T>(x[0], *z, [=](auto v) { return divide(like(v, 1), power(v, positive)); });
    }
  });
}

// ---- round, reduce_precision
void round_kernel(Args x, Params p, Array* z) {
  const bool to_even = p.as<RoundParams>().rounding_method == RoundingMethod::TO_NEAREST_EVEN;
  by_dtype(z->dtype(), [&](auto t) {
    using T = decltype(t);
    if constexpr (in_domain(Domain::Float, dtype_of<T>)) {
      if (to_even)
        map<T>(x[0], *z, [](auto v) { return std::nearbyint(v); });
      else
        map<T>(x[0], *z, [](auto v) { return std::round(v); });
    }
  });
}
// The bits of a float with `exponent` and `mantissa` bits, in a narrower format: rounded to nearest
// even; what is too large becomes infinite, what is subnormal there becomes zero.
template <class U>
U reduced(U v, int exponent, int mantissa, std::int64_t to_exponent, std::int64_t to_mantissa) {
  const U sign = U(U(1) << (exponent + mantissa)), magnitude = U(v & U(sign - 1));
  const U infinity = U(((U(1) << exponent) - 1) << mantissa);
  if (magnitude > infinity) return to_mantissa > 0 ? v : U((v & sign) | infinity);  // NaN
  U r = magnitude;
  if (to_mantissa < mantissa) {
    const int drop = int(mantissa - to_mantissa);
    const U unit = U(U(1) << drop);
    r = U(r + U((unit >> 1) - 1) + (r >> drop & 1));
    r = U(r & U(~U(unit - 1)));
  }
  if (to_exponent < exponent) {
    const std::int64_t bias = (std::int64_t(1) << (exponent - 1)) - 1,
                       to_bias = (std::int64_t(1) << (to_exponent - 1)) - 1;
    const std::int64_t e = std::int64_t(r >> mantissa);
    if (e > bias + to_bias)
      r = infinity;
    else if (e <= bias - to_bias)
      r = 0;
  }
  return U((v & sign) | r);
}
void reduce_precision_kernel(Args x, Params p, Array* z) {
  const auto& to = p.as<PrecisionParams>();
  auto run = [&](auto u, int exponent, int mantissa) {
    using U = decltype(u);
    const U* a = x[0].data<U>();
    U* o = z->data<U>();
    for (std::int64_t i = 0, n = z->size(); i < n; ++i)
      o[i] = reduced(a[i], exponent, mantissa, to.exponent_bits, to.mantissa_bits);
  };
  switch (z->dtype()) {
    case DType::f16: return run(std::uint16_t(), 5, 10);
    case DType::bf16: return run(std::uint16_t(), 8, 7);
    case DType::f32: return run(std::uint32_t(), 8, 23);
    default: return run(std::uint64_t(), 11, 52);
  }
}

// ---- Complex numbers.  Float: the real type
template <class Float>
void complex_loop(const void* re_, bool re_full, const void* im_, bool im_full, void* z_,
                  std::int64_t n) {
  const Float *re = static_cast<const Float*>(re_), *im = static_cast<const Float*>(im_);
  auto* z = static_cast<std::complex<Float>*>(z_);
  for (std::int64_t i = 0; i < n; ++i) z[i] = {re[re_full ? i : 0], im[im_full ? i : 0]};
}
void complex_kernel(Args x, Params, Array* z) {
  run_broadcast(z->dtype() == DType::c64 ? complex_loop<float> : complex_loop<double>, x[0], x[1],
                *z);
}
template <class Go>
void by_real_type(const Array& x, Go go) {
  if (real_of(x.dtype()) == DType::f32)
    go(float());
  else
    go(double());
}
template <bool Imaginary>
void part_kernel(Args x, Params, Array* z) {
  by_real_type(x[0], [&](auto t) {
    using Float = decltype(t);
    const auto* a = x[0].data<std::complex<Float>>();
    Float* o = z->data<Float>();
    for (std::int64_t i = 0, n = z->size(); i < n; ++i)
      o[i] = Imaginary ? a[i].imag() : a[i].real();
  });
}
void conj_kernel(Args x, Params, Array* z) {
  by_real_type(x[0], [&](auto t) {
    using Float = decltype(t);
    auto* o = z->data<std::complex<Float>>();
    const std::int64_t n = z->size();
    if (is_complex(x[0].dtype()))
      for (std::int64_t i = 0; i < n; ++i) o[i] = std::conj(x[0].data<std::complex<Float>>()[i]);
    else
      for (std::int64_t i = 0; i < n; ++i) o[i] = {x[0].data<Float>()[i], Float(0)};
  });
}

}  // namespace

void install_elementwise_kernels() {
  install_unary_kernels();
  install_binary_kernels();
  install_compare_kernels();
  install_convert_kernels();
  install<select_n_kernel, ~std::uint32_t(0)>(select_n_p);
  install<clamp_kernel, 7>(clamp_p);
  install<integer_pow_kernel, 1>(integer_pow_p);
  install<round_kernel, 1>(round_p);
  install<reduce_precision_kernel, 1>(reduce_precision_p);
  install<identity_kernel, 1>(bitcast_convert_type_p);
  install<identity_kernel, 1>(stop_gradient_p);
  install<complex_kernel>(complex_p);
  install<part_kernel<false>>(real_p);
  install<part_kernel<true>>(imag_p);
  install<conj_kernel, 1>(conj_p);
}

}  // namespace jaxpp::internal
