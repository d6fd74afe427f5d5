// ---- Base
// What scalar_code.inc stands on: halves as storage, libm's functions for float and double.
#define JAXPP_FN __device__ __forceinline__
#define JAXPP_MATH JAXPP_FN
struct float16 {
  unsigned short bits;
};
struct bfloat16 {
  unsigned short bits;
};
template <class T>
JAXPP_FN T compute(T v) {
  return v;
}
JAXPP_FN float compute(bfloat16 v) { return __builtin_bit_cast(float, (unsigned int)(v.bits) << 16); }
JAXPP_FN float compute(float16 v) {
#ifdef __CUDA_ARCH__
  float f;
  asm("cvt.f32.f16 %0, %1;" : "=f"(f) : "h"(v.bits));
  return f;
#else
  const unsigned int magnitude = (v.bits & 0x7fffu) << 13;
  const float finite = __builtin_bit_cast(float, magnitude) * 0x1p112f;
  const float special = __builtin_bit_cast(float, magnitude | 0x7f800000u);
  const float f = magnitude >= 0x0f800000u ? special : finite;
  return v.bits & 0x8000u ? -f : f;
#endif
}
template <class T>
struct Stored {
  template <class V>
  static JAXPP_FN T of(V v) {
    return T(v);
  }
};
template <>
struct Stored<float16> {
  static JAXPP_FN float16 of(float v) {
    float16 h;
#ifdef __CUDA_ARCH__
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(h.bits) : "f"(v));
#else
    const unsigned int u = __builtin_bit_cast(unsigned int, v), magnitude = u & 0x7fffffffu;
    const unsigned int normal = (magnitude - (112u << 23) + 0xfffu + (magnitude >> 13 & 1)) >> 13;
    const unsigned int tiny =
        __builtin_bit_cast(unsigned int, __builtin_bit_cast(float, magnitude) + 0.5f) - 0x3f000000u;
    const unsigned int large = magnitude > 0x7f800000u ? 0x7e00u : 0x7c00u;
    const unsigned int finite = magnitude >= 0x38800000u ? normal : tiny;
    h.bits = (unsigned short)((u >> 16 & 0x8000u) | (magnitude >= 0x477ff000u ? large : finite));
#endif
    return h;
  }
  static JAXPP_FN float16 of(float16 v) { return v; }
};
template <>
struct Stored<bfloat16> {
  static JAXPP_FN bfloat16 of(float v) {
    bfloat16 h;
#ifdef __CUDA_ARCH__
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(h.bits) : "f"(v));
#else
    const unsigned int u = __builtin_bit_cast(unsigned int, v);
    h.bits = (u & 0x7fffffffu) > 0x7f800000u ? (unsigned short)(u >> 16 | 0x40)
                                             : (unsigned short)((u + 0x7fffu + (u >> 16 & 1)) >> 16);
#endif
    return h;
  }
  static JAXPP_FN bfloat16 of(bfloat16 v) { return v; }
};
template <class T, class V>
JAXPP_FN T store(V v) {
  return Stored<T>::of(v);
}
#define JAXPP_LIBM(qualifiers, name)                                 \
  qualifiers float name(float x) { return ::name##f(x); }            \
  qualifiers double name(double x) { return ::name(x); }
#define JAXPP_LIBM2(qualifiers, name)                                      \
  qualifiers float name(float x, float y) { return ::name##f(x, y); }      \
  qualifiers double name(double x, double y) { return ::name(x, y); }
JAXPP_LIBM(JAXPP_FN, fabs)
JAXPP_LIBM(JAXPP_FN, floor)
JAXPP_LIBM(JAXPP_FN, ceil)
JAXPP_LIBM(JAXPP_FN, round)
JAXPP_LIBM(JAXPP_FN, nearbyint)
JAXPP_LIBM(JAXPP_FN, sqrt)
JAXPP_LIBM2(JAXPP_FN, copysign)
JAXPP_LIBM(JAXPP_ELEMENTARY, cbrt)
JAXPP_LIBM(JAXPP_ELEMENTARY, exp)
JAXPP_LIBM(JAXPP_ELEMENTARY, exp2)
JAXPP_LIBM(JAXPP_ELEMENTARY, expm1)
JAXPP_LIBM(JAXPP_ELEMENTARY, log)
JAXPP_LIBM(JAXPP_ELEMENTARY, log1p)
JAXPP_LIBM(JAXPP_ELEMENTARY, sin)
JAXPP_LIBM(JAXPP_ELEMENTARY, cos)
JAXPP_LIBM(JAXPP_ELEMENTARY, tan)
JAXPP_LIBM(JAXPP_ELEMENTARY, asin)
JAXPP_LIBM(JAXPP_ELEMENTARY, acos)
JAXPP_LIBM(JAXPP_ELEMENTARY, atan)
JAXPP_LIBM(JAXPP_ELEMENTARY, sinh)
JAXPP_LIBM(JAXPP_ELEMENTARY, cosh)
JAXPP_LIBM(JAXPP_ELEMENTARY, tanh)
JAXPP_LIBM(JAXPP_ELEMENTARY, asinh)
JAXPP_LIBM(JAXPP_ELEMENTARY, acosh)
JAXPP_LIBM(JAXPP_ELEMENTARY, atanh)
JAXPP_LIBM(JAXPP_ELEMENTARY, erf)
JAXPP_LIBM(JAXPP_ELEMENTARY, erfc)
JAXPP_LIBM(JAXPP_ELEMENTARY, lgamma)
JAXPP_LIBM(JAXPP_ELEMENTARY, tgamma)
template <class V>
JAXPP_FN V usual_tan(V x) {
  return tan(x);
}
JAXPP_LIBM2(JAXPP_ELEMENTARY, fmod)
JAXPP_LIBM2(JAXPP_ELEMENTARY, pow)
JAXPP_LIBM2(JAXPP_ELEMENTARY, atan2)
JAXPP_LIBM2(JAXPP_ELEMENTARY, hypot)
JAXPP_LIBM2(JAXPP_ELEMENTARY, nextafter)
JAXPP_FN int count_ones(unsigned int x) { return __popc(x); }
JAXPP_FN int count_ones(unsigned long long x) { return __popcll(x); }
JAXPP_FN int leading_zeros(unsigned int x) { return __clz(int(x)); }
JAXPP_FN int leading_zeros(unsigned long long x) { return __clzll((long long)(x)); }
JAXPP_FN long long mulhi_wide(long long x, long long y) { return __mul64hi(x, y); }
JAXPP_FN unsigned long long mulhi_wide(unsigned long long x, unsigned long long y) {
  return __umul64hi(x, y);
}
/// An index from data, forced into [lo, hi].
template <class T>
JAXPP_FN long long clip(T v, long long lo, long long hi) {
  if constexpr (sizeof(T) == 8 && T(-1) > T(0))
    if (v > (unsigned long long)(hi < 0 ? 0 : hi)) return hi;
  const long long w = (long long)(v);
  return w < lo ? lo : w > hi ? hi : w;
}

// ---- Quotient
/// Of complex numbers, scaled so that nothing overflows on the way; infinities as in C.
template <class R>
JAXPP_FN Complex<R> divide(Complex<R> x, Complex<R> y) {
  const R s = R(1) / (fabs(y.re) + fabs(y.im));
  const R a = x.re * s, b = x.im * s, c = y.re * s, d = y.im * s;
  const R t = R(1) / (c * c + d * d);
  Complex<R> z{(a * c + b * d) * t, (b * c - a * d) * t};
  if (z.re != z.re && z.im != z.im) {
    const bool x_infinite = fabs(x.re) == infinity<R>() || fabs(x.im) == infinity<R>();
    const bool y_infinite = fabs(y.re) == infinity<R>() || fabs(y.im) == infinity<R>();
    auto box = [](R v) { return copysign(fabs(v) == infinity<R>() ? R(1) : R(0), v); };
    if (y.re == 0 && y.im == 0 && (x.re == x.re || x.im == x.im)) {
      const R large = copysign(infinity<R>(), y.re);
      z = {large * x.re, large * x.im};
    } else if (x_infinite && is_finite(y.re) && is_finite(y.im)) {
      const R p = box(x.re), q = box(x.im);
      z = {infinity<R>() * (p * y.re + q * y.im), infinity<R>() * (q * y.re - p * y.im)};
    } else if (y_infinite && is_finite(x.re) && is_finite(x.im)) {
      const R p = box(y.re), q = box(y.im);
      z = {R(0) * (x.re * p + x.im * q), R(0) * (x.im * p - x.re * q)};
    }
  }
  return z;
}

// ---- Memory
/// Neighbours in memory, loaded and stored as one.
template <class T, int n>
struct alignas(sizeof(T) * n) Pack {
  T v[n];
};
template <int n, class T>
JAXPP_FN Pack<T, n> take(const T* from) {
  return *reinterpret_cast<const Pack<T, n>*>(from);
}
template <int n, class T>
JAXPP_FN void put(T* to, const Pack<T, n>& p) {
  *reinterpret_cast<Pack<T, n>*>(to) = p;
}

// ---- Combining
struct Add {
  template <class T>
  static JAXPP_FN T of(T x, T y) {
    if constexpr (is_floating<T> || is_complex<T>)
      return x + y;
    else if constexpr (is_stored_half<T>)
      return store<T>(compute(x) + compute(y));
    else
      return T(Unsigned<T>(x) + Unsigned<T>(y));
  }
};
struct Mul {
  template <class T>
  static JAXPP_FN T of(T x, T y) {
    return store<T>(multiply(compute(x), compute(y)));
  }
};
struct Max {
  template <class T>
  static JAXPP_FN T of(T x, T y) {
    return store<T>(max(compute(x), compute(y)));
  }
};
struct Min {
  template <class T>
  static JAXPP_FN T of(T x, T y) {
    return store<T>(min(compute(x), compute(y)));
  }
};
struct And {
  template <class T>
  static JAXPP_FN T of(T x, T y) {
    return T(x & y);
  }
};
struct Or {
  template <class T>
  static JAXPP_FN T of(T x, T y) {
    return T(x | y);
  }
};
struct Xor {
  template <class T>
  static JAXPP_FN T of(T x, T y) {
    return T(x ^ y);
  }
};

// ---- Reductions
template <class T>
JAXPP_FN T of_other_lane(T v, int distance) {
  if constexpr (is_complex<T>)
    return T{of_other_lane(v.re, distance), of_other_lane(v.im, distance)};
  else if constexpr (sizeof(T) == 8)
    return bitcast<T>(__shfl_xor_sync(0xffffffffu, bitcast<unsigned long long>(v), distance));
  else if constexpr (sizeof(T) == 4)
    return bitcast<T>(__shfl_xor_sync(0xffffffffu, bitcast<unsigned int>(v), distance));
  else
    return bitcast<T>(
        Unsigned<T>(__shfl_xor_sync(0xffffffffu, (unsigned int)(bitcast<Unsigned<T>>(v)), distance)));
}
/// x of all threads of a warp, combined in a fixed order; all get the result.
template <class Op, class T>
JAXPP_FN T warp_reduce(T x) {
#pragma unroll
  for (int distance = 16; distance > 0; distance /= 2) x = Op::of(x, of_other_lane(x, distance));
  return x;
}
/// Of all threads of a block, which have `warps` shared elements for it.
template <class Op, int warps, class T>
JAXPP_FN T block_reduce(T x, T* shared) {
  x = warp_reduce<Op>(x);
  __syncthreads();
  if (threadIdx.x % 32 == 0) shared[threadIdx.x / 32] = x;
  __syncthreads();
  x = shared[0];
#pragma unroll
  for (int w = 1; w < warps; ++w) x = Op::of(x, shared[w]);
  return x;
}
