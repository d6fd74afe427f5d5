// fft_kernels.cc -- discrete Fourier transforms of any length, many at a time.
//
// The unit of work is a bundle: as many transforms of one length as fit side by side into a vector register of 64 bytes,
// real and imaginary parts apart.  All arithmetic is then on whole registers, whatever the length (Stockham's self-sorting
// passes of radix 4, 2, 3, 5 and other small primes).
//   - A batch of transforms is cut into bundles.
//   - One long transform of n = a b elements is two batches: b columns of a elements, a rotation of each result, and a rows
//     of b elements (Bailey's four steps); loads and stores transpose on the way.
//   - A length with a large prime factor becomes a convolution of a power of two (Bluestein).
// Roots of unity are computed in double from the reduced angle.  The inverse exchanges real and imaginary parts.  Bundles
// do not depend on the number of threads, and the instruction set changes no result (nothing is contracted).
#include <array>
#include <cmath>
#include <map>
#include <memory>
#include <mutex>
#include "backends/eager/kernels.h"
#include "backends/host/pool.h"

#pragma GCC diagnostic ignored \
    "-Wpsabi"  // vectors never cross the border of a function that is not inlined

namespace jaxpp::internal {
namespace {

using Index = std::int64_t;

// ---- Bundles
template <class T>
struct VectorOf;
template <>
struct VectorOf<float> {
  typedef float Type __attribute__((vector_size(64)));
};
template <>
struct VectorOf<double> {
  typedef double Type __attribute__((vector_size(64)));
};
template <class T>
inline constexpr Index kLanes = 64 / sizeof(T);
template <class T>
struct Bundle {  // one element of every transform
  typename VectorOf<T>::Type re, im;
};
#define INLINE [[gnu::always_inline]] inline

// exp(-2 pi i e / n)
std::complex<double> root(Index e, Index n) {
  Index x = 8 * (e % n);  // in eighths of a turn, times n
  const bool below = x > 4 * n;
  if (below) x = 8 * n - x;
  const bool left = x > 2 * n;
  if (left) x = 4 * n - x;
  const bool steep = x > n;
  if (steep) x = 2 * n - x;
  const double angle = M_PI / 4 * double(x) / double(n);
  double c = std::cos(angle), s = std::sin(angle);
  if (steep) std::swap(c, s);
  return {left ? -c : c, below ? s : -s};
}

// ---- Plans
constexpr Index kLargestRadix = 31;

template <class T>
struct Pass {  // x[p + m k] for k < radix -> y[radix p + k], of vectors of `stride` elements
  Index radix, m, stride;
  std::vector<std::complex<T>> twiddles;  // [p][k - 1]
  std::vector<std::complex<T>> matrix;    // of a general radix: exp(-2 pi i k l / radix)
};
template <class T>
struct Plan {
  Index n;
  std::vector<Pass<T>> passes;  // empty for n = 1, and where there is no smooth factorisation
  // Bluestein: y = chirp . IFFT(FFT(x . chirp) . kernel), of power-of-two length
  std::shared_ptr<const Plan> inner;
  std::vector<std::complex<T>> chirp, kernel;
  // The halves of a long transform.
  std::shared_ptr<const Plan> columns, rows;
  std::vector<std::complex<double>> coarse, fine;  // exp(-2 pi i e / n): e = fine.size() i + j

  std::complex<double> rotation(Index e) const {
    const Index f = Index(fine.size());
    return coarse[std::size_t(e / f)] * fine[std::size_t(e % f)];
  }
};
std::vector<Index> radices_of(Index n) {  // empty: a prime factor is too large
  std::vector<Index> r;
  for (Index f : {4, 2, 3, 5})
    for (; n % f == 0; n /= f) r.push_back(f);
  for (Index f = 7; f <= kLargestRadix; f += 2)
    for (; n % f == 0; n /= f) r.push_back(f);
  if (n > 1) r.clear();
  return r;
}
template <class T>
std::shared_ptr<const Plan<T>> plan_of(Index n);

constexpr Index kLongest = 4096;  // of a bundle: two buffers of 128 bytes an element
template <class T>
std::shared_ptr<Plan<T>> make_plan(Index n) {
  auto plan = std::make_shared<Plan<T>>();
  plan->n = n;
  Index rest = n, stride = 1;
  const std::vector<Index> radices = radices_of(n);
  for (Index r : radices) {
    Pass<T> pass{r, rest / r, stride, {}, {}};
    for (Index p = 0; p < pass.m; ++p)
      for (Index k = 1; k < r; ++k) pass.twiddles.emplace_back(root(p * k, rest));
    if (r > 5)
      for (Index k = 0; k < r; ++k)
        for (Index l = 0; l < r; ++l) pass.matrix.emplace_back(root(k * l, r));
    plan->passes.push_back(std::move(pass));
    rest /= r;
    stride *= r;
  }
  return plan;
}
template <class T>
void rotations(Plan<T>& plan) {
  Index f = 1;
  while (f * f < plan.n) f *= 2;
  for (Index j = 0; j < f; ++j) plan.fine.push_back(root(j, plan.n));
  for (Index i = 0; i * f < plan.n; ++i) plan.coarse.push_back(root(i * f, plan.n));
}

// ---- Arithmetic of a bundle: b is the next buffer
template <class T>
INLINE void rotate(Bundle<T>& x, std::complex<T> w) {
  const auto re = x.re * w.real() - x.im * w.imag();
  x.im = x.re * w.imag() + x.im * w.real();
  x.re = re;
}
template <class T>
INLINE void add(const Bundle<T>& x, const Bundle<T>& y, Bundle<T>& sum, Bundle<T>& difference) {
  const auto re = x.re - y.re, im = x.im - y.im;
  sum.re = x.re + y.re;
  sum.im = x.im + y.im;
  difference.re = re;
  difference.im = im;
}
template <class T>
INLINE void pass2(const Pass<T>& pass, const Bundle<T>* a, Bundle<T>* b) {
  const Index s = pass.stride, far = pass.m * s;
  for (Index p = 0; p < pass.m; ++p) {
    const std::complex<T> w = pass.twiddles[std::size_t(p)];
    for (Index q = 0; q < s; ++q, ++a) {
      Bundle<T> sum, difference;
      add(a[0], a[far], sum, difference);
      rotate(difference, w);
      b[q] = sum;
      b[q + s] = difference;
    }
    b += 2 * s;
  }
}
template <class T>
INLINE void pass3(const Pass<T>& pass, const Bundle<T>* a, Bundle<T>* b) {
  const Index s = pass.stride, far = pass.m * s;
  const T sin60 = T(0.86602540378443864676);
  for (Index p = 0; p < pass.m; ++p) {
    const std::complex<T>* w = &pass.twiddles[std::size_t(2 * p)];
    for (Index q = 0; q < s; ++q, ++a) {
      Bundle<T> sum, difference, y1, y2;
      add(a[far], a[2 * far], sum, difference);
      const auto re = a[0].re - sum.re * T(0.5), im = a[0].im - sum.im * T(0.5);
      b[q].re = a[0].re + sum.re;
      b[q].im = a[0].im + sum.im;
      y1.re = re + difference.im * sin60;
      y1.im = im - difference.re * sin60;
      y2.re = re - difference.im * sin60;
      y2.im = im + difference.re * sin60;
      rotate(y1, w[0]);
      rotate(y2, w[1]);
      b[q + s] = y1;
      b[q + 2 * s] = y2;
    }
    b += 3 * s;
  }
}
template <class T>
INLINE void pass4(const Pass<T>& pass, const Bundle<T>* a, Bundle<T>* b) {
  const Index s = pass.stride, far = pass.m * s;
  for (Index p = 0; p < pass.m; ++p) {
    const std::complex<T>* w = &pass.twiddles[std::size_t(3 * p)];
    for (Index q = 0; q < s; ++q, ++a) {
      Bundle<T> s02, d02, s13, d13, y0, y1, y2, y3;
      add(a[0], a[2 * far], s02, d02);
      add(a[far], a[3 * far], s13, d13);
      add(s02, s13, y0, y2);
      y1.re = d02.re + d13.im;  // d02 - i d13
      y1.im = d02.im - d13.re;
      y3.re = d02.re - d13.im;
      y3.im = d02.im + d13.re;
      rotate(y1, w[0]);
      rotate(y2, w[1]);
      rotate(y3, w[2]);
      b[q] = y0;
      b[q + s] = y1;
      b[q + 2 * s] = y2;
      b[q + 3 * s] = y3;
    }
    b += 4 * s;
  }
}
template <class T>
INLINE void pass5(const Pass<T>& pass, const Bundle<T>* a, Bundle<T>* b) {
  const Index s = pass.stride, far = pass.m * s;
  const T c1 = T(0.30901699437494742410), c2 = T(-0.80901699437494742410),
          s1 = T(0.95105651629515357212), s2 = T(0.58778525229247312917);
  for (Index p = 0; p < pass.m; ++p) {
    const std::complex<T>* w = &pass.twiddles[std::size_t(4 * p)];
    for (Index q = 0; q < s; ++q, ++a) {
      Bundle<T> s14, d14, s23, d23, y[4];
      add(a[far], a[4 * far], s14, d14);
      add(a[2 * far], a[3 * far], s23, d23);
      const auto re1 = a[0].re + s14.re * c1 + s23.re * c2,
                 im1 = a[0].im + s14.im * c1 + s23.im * c2,
                 re2 = a[0].re + s14.re * c2 + s23.re * c1,
                 im2 = a[0].im + s14.im * c2 + s23.im * c1, tre1 = d14.im * s1 + d23.im * s2,
                 tim1 = d14.re * s1 + d23.re * s2, tre2 = d14.im * s2 - d23.im * s1,
                 tim2 = d14.re * s2 - d23.re * s1;
      b[q].re = a[0].re + s14.re + s23.re;
      b[q].im = a[0].im + s14.im + s23.im;
      y[0].re = re1 + tre1;
      y[0].im = im1 - tim1;
      y[3].re = re1 - tre1;
      y[3].im = im1 + tim1;
      y[1].re = re2 + tre2;
      y[1].im = im2 - tim2;
      y[2].re = re2 - tre2;
      y[2].im = im2 + tim2;
      for (int k = 0; k < 4; ++k) {
        rotate(y[k], w[k]);
        b[q + (k + 1) * s] = y[k];
      }
    }
    b += 5 * s;
  }
}
template <class T>
INLINE void pass_of_any_radix(const Pass<T>& pass, const Bundle<T>* a, Bundle<T>* b) {
  const Index s = pass.stride, r = pass.radix, far = pass.m * s;
  for (Index p = 0; p < pass.m; ++p) {
    for (Index q = 0; q < s; ++q, ++a)
      for (Index k = 0; k < r; ++k) {
        Bundle<T> y = a[0];
        for (Index l = 1; l < r; ++l) {
          Bundle<T> x = a[l * far];
          rotate(x, pass.matrix[std::size_t(k * r + l)]);
          y.re += x.re;
          y.im += x.im;
        }
        if (k > 0) rotate(y, pass.twiddles[std::size_t(p * (r - 1) + k - 1)]);
        b[q + k * s] = y;
      }
    b += r * s;
  }
}
// Transforms the bundle in a; the result is in the buffer returned.
template <class T>
INLINE Bundle<T>* smooth(const Plan<T>& plan, Bundle<T>* a, Bundle<T>* b) {
  for (const Pass<T>& pass : plan.passes) {
    switch (pass.radix) {
      case 2: pass2(pass, a, b); break;
      case 3: pass3(pass, a, b); break;
      case 4: pass4(pass, a, b); break;
      case 5: pass5(pass, a, b); break;
      default: pass_of_any_radix(pass, a, b);
    }
    std::swap(a, b);
  }
  return a;
}
template <class T>
INLINE Bundle<T>* transform(const Plan<T>& plan, Bundle<T>* a, Bundle<T>* b) {
  if (!plan.inner) return smooth(plan, a, b);
  const Index n = plan.n, m = plan.inner->n;
  for (Index j = 0; j < n; ++j) rotate(a[j], plan.chirp[std::size_t(j)]);
  for (Index j = n; j < m; ++j) a[j] = Bundle<T>{};
  Bundle<T>* y = smooth(*plan.inner, a, b);
  for (Index j = 0; j < m; ++j) {
    rotate(y[j], plan.kernel[std::size_t(j)]);
    std::swap(y[j].re, y[j].im);
  }
  Bundle<T>* z = smooth(*plan.inner, y, y == a ? b : a);
  for (Index k = 0; k < n; ++k) {
    std::swap(z[k].re, z[k].im);
    rotate(z[k], plan.chirp[std::size_t(k)]);
  }
  return z;
}

// ---- Between arrays and bundles: element j of transform l lies at data[2 (j by + l lane_by)]
template <class T>
struct Place {
  T* data;
  Index by, lane_by;
  bool exchanged;  // real and imaginary parts: the inverse transform
};
template <class T>
INLINE void load(const Place<const T>& from, Index n, Index lanes, Bundle<T>* a) {
  T* to = reinterpret_cast<T*>(a);
  constexpr Index L = kLanes<T>;
  const Index re = from.exchanged ? L : 0, im = L - re;
  if (lanes < L)
    for (Index j = 0; j < n; ++j) a[j] = Bundle<T>{};
  if (from.lane_by == 1) {
    for (Index j = 0; j < n; ++j) {
      const T* x = from.data + 2 * j * from.by;
      T* y = to + 2 * L * j;
      for (Index l = 0; l < lanes; ++l) {
        y[re + l] = x[2 * l];
        y[im + l] = x[2 * l + 1];
      }
    }
    return;
  }
  constexpr Index block = 16;
  for (Index j0 = 0; j0 < n; j0 += block) {
    const Index j1 = std::min(n, j0 + block);
    for (Index l = 0; l < lanes; ++l) {
      const T* x = from.data + 2 * l * from.lane_by;
      for (Index j = j0; j < j1; ++j) {
        to[2 * L * j + re + l] = x[2 * j * from.by];
        to[2 * L * j + im + l] = x[2 * j * from.by + 1];
      }
    }
  }
}
template <class T>
INLINE void store(const Bundle<T>* a, Index n, Index lanes, T scale, const Place<T>& to) {
  const T* from = reinterpret_cast<const T*>(a);
  constexpr Index L = kLanes<T>;
  const Index re = to.exchanged ? L : 0, im = L - re;
  if (to.lane_by == 1) {
    for (Index j = 0; j < n; ++j) {
      T* y = to.data + 2 * j * to.by;
      const T* x = from + 2 * L * j;
      for (Index l = 0; l < lanes; ++l) {
        y[2 * l] = x[re + l] * scale;
        y[2 * l + 1] = x[im + l] * scale;
      }
    }
    return;
  }
  constexpr Index block = 16;
  for (Index j0 = 0; j0 < n; j0 += block) {
    const Index j1 = std::min(n, j0 + block);
    for (Index l = 0; l < lanes; ++l) {
      T* y = to.data + 2 * l * to.lane_by;
      for (Index j = j0; j < j1; ++j) {
        y[2 * j * to.by] = from[2 * L * j + re + l] * scale;
        y[2 * j * to.by + 1] = from[2 * L * j + im + l] * scale;
      }
    }
  }
}
// Result k of the column first + l of a long transform is rotated by exp(-2 pi i k (first + l) / n).  With k = 16 c + d, that
// is a product of two roots, of which few are needed.
template <class T>
INLINE void rotate_columns(const Plan<T>& whole, Bundle<T>* a, Index n, Index first, Index lanes) {
  constexpr Index step = 16;
  std::array<Bundle<T>, step> fine;
  auto roots = [&](Index k, Bundle<T>& w) {
    for (Index l = 0; l < lanes; ++l) {
      const std::complex<double> z = whole.rotation(k * (first + l) % whole.n);
      w.re[l] = T(z.real());
      w.im[l] = T(z.imag());
    }
  };
  for (Index d = 0; d < step; ++d) {
    fine[std::size_t(d)] = Bundle<T>{};
    roots(d, fine[std::size_t(d)]);
  }
  for (Index k = 0; k < n; k += step) {
    Bundle<T> coarse{};
    roots(k, coarse);
    for (Index d = 0; d < std::min(step, n - k); ++d) {
      const Bundle<T>& f = fine[std::size_t(d)];
      Bundle<T>& x = a[k + d];
      const auto wre = coarse.re * f.re - coarse.im * f.im,
                 wim = coarse.re * f.im + coarse.im * f.re;
      const auto re = x.re * wre - x.im * wim;
      x.im = x.re * wim + x.im * wre;
      x.re = re;
    }
  }
}

/// One bundle, from array to array.
template <class T>
struct Job {
  const Plan<T>* plan;
  Place<const T> from;
  Place<T> to;
  Index lanes;
  T scale;
  const Plan<T>* whole = nullptr;  // of the columns of a long transform
  Index first_column = 0;
};
template <class T>
INLINE void run_bundle(const Job<T>& job, Bundle<T>* a, Bundle<T>* b) {
  load(job.from, job.plan->n, job.lanes, a);
  Bundle<T>* y = transform(*job.plan, a, b);
  if (job.whole) rotate_columns(*job.whole, y, job.plan->n, job.first_column, job.lanes);
  store(y, job.plan->n, job.lanes, job.scale, job.to);
}
#if defined(__x86_64__)
#define VERSIONS(T)                                                                            \
  __attribute__((target("avx512f,avx512dq,avx512vl"))) void run_avx512(                        \
      const Job<T>& j, Bundle<T>* a, Bundle<T>* b) {                                           \
    run_bundle(j, a, b);                                                                       \
  }                                                                                            \
  __attribute__((target("avx2"))) void run_avx2(const Job<T>& j, Bundle<T>* a, Bundle<T>* b) { \
    run_bundle(j, a, b);                                                                       \
  }
VERSIONS(float)
VERSIONS(double)
#undef VERSIONS
#endif
template <class T>
void run_any(const Job<T>& j, Bundle<T>* a, Bundle<T>* b) {
  run_bundle(j, a, b);
}
template <class T>
void run(const Job<T>& job) {
  using Run = void (*)(const Job<T>&, Bundle<T>*, Bundle<T>*);
  static const Run best = []() -> Run {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl"))
      return run_avx512;
    if (__builtin_cpu_supports("avx2")) return run_avx2;
#endif
    return run_any<T>;
  }();
  struct Free {
    void operator()(void* p) const { std::free(p); }
  };
  thread_local std::unique_ptr<void, Free> buffer;
  thread_local std::size_t capacity = 0;
  const Index n = job.plan->inner ? job.plan->inner->n : job.plan->n;
  const std::size_t bytes = 2 * sizeof(Bundle<T>) * std::size_t(n);
  if (bytes > capacity) {
    buffer.reset(std::aligned_alloc(64, bytes));
    if (!buffer) throw std::bad_alloc();
    capacity = bytes;
  }
  auto* a = static_cast<Bundle<T>*>(buffer.get());
  best(job, a, a + n);
}

// ---- Transforms of arrays
template <class T>
void long_transform(const Plan<T>& plan, const T* x, T* y, Index by, bool inverse, T scale);

// x[(o n + j) inner + i] -> y, for every o and i, along j.
template <class T>
void transform_axis(const T* x, T* y, Index outer, Index n, Index inner, bool inverse, T scale) {
  const auto plan = plan_of<T>(n);
  const bool rows = inner == 1;  // transforms lie one after the other, not side by side
  const Index count = rows ? outer : inner, bundles = (count + kLanes<T> - 1) / kLanes<T>,
              groups = rows ? 1 : outer;
  if (plan->columns && (n > kLongest || 2 * count < kLanes<T>)) {
    for (Index o = 0; o < outer; ++o)
      for (Index i = 0; i < inner; ++i) {
        const Index at = 2 * (o * n * inner + i);
        long_transform(*plan, x + at, y + at, inner, inverse, scale);
      }
    return;
  }
  auto bundle = [&](Index t) {
    const Index first = t % bundles * kLanes<T>, group = t / bundles,
                at = 2 * (rows ? first * n : group * n * inner + first);
    const Index lane_by = rows ? n : 1;
    run(Job<T>{plan.get(),
               {x + at, inner, lane_by, inverse},
               {y + at, inner, lane_by, inverse},
               std::min(kLanes<T>, count - first),
               scale});
  };
  const Index jobs = groups * bundles;
  if (double(jobs) * double(n) * std::log2(double(n) + 1) * 2 < host::kSerialNanoseconds)
    for (Index t = 0; t < jobs; ++t) bundle(t);
  else
    host::parallel_for(jobs, bundle);
}
// n = rows x columns: element (i, j) is x[i columns + j]; result (k, l) is y[k + l rows].
template <class T>
void long_transform(const Plan<T>& plan, const T* x, T* y, Index by, bool inverse, T scale) {
  const Index n = plan.n;
  if (plan.inner) {
    const Index m = plan.inner->n;
    std::vector<T> a(std::size_t(2 * m)), b(std::size_t(2 * m));
    auto times = [](T* z, std::complex<T> w) {
      const std::complex<T> v(z[0] * w.real() - z[1] * w.imag(), z[0] * w.imag() + z[1] * w.real());
      z[0] = v.real();
      z[1] = v.imag();
    };
    for (Index j = 0; j < n; ++j) {
      a[std::size_t(2 * j)] = x[2 * j * by + inverse];
      a[std::size_t(2 * j + 1)] = x[2 * j * by + !inverse];
      times(&a[std::size_t(2 * j)], plan.chirp[std::size_t(j)]);
    }
    transform_axis(a.data(), b.data(), 1, m, 1, false, T(1));
    for (Index j = 0; j < m; ++j) times(&b[std::size_t(2 * j)], plan.kernel[std::size_t(j)]);
    transform_axis(b.data(), a.data(), 1, m, 1, true, scale);
    for (Index k = 0; k < n; ++k) {
      times(&a[std::size_t(2 * k)], plan.chirp[std::size_t(k)]);
      y[2 * k * by + inverse] = a[std::size_t(2 * k)];
      y[2 * k * by + !inverse] = a[std::size_t(2 * k + 1)];
    }
    return;
  }
  const Index a = plan.columns->n, b = plan.rows->n;  // lengths of columns, of rows
  const std::unique_ptr<T[]> middle(new T[std::size_t(2 * n)]);
  host::parallel_for((b + kLanes<T> - 1) / kLanes<T>, [&](Index t) {
    const Index first = t * kLanes<T>;
    run(Job<T>{plan.columns.get(),
               {x + 2 * first * by, b * by, by, inverse},
               {middle.get() + 2 * first, b, 1, false},
               std::min(kLanes<T>, b - first),
               T(1),
               &plan,
               first});
  });
  host::parallel_for((a + kLanes<T> - 1) / kLanes<T>, [&](Index t) {
    const Index first = t * kLanes<T>;
    run(Job<T>{plan.rows.get(),
               {middle.get() + 2 * first * b, 1, b, false},
               {y + 2 * first * by, a * by, by, inverse},
               std::min(kLanes<T>, a - first),
               scale});
  });
}

template <class T>
std::shared_ptr<const Plan<T>> plan_of(Index n) {
  static std::mutex mutex;
  static auto& plans = *new std::map<Index, std::shared_ptr<const Plan<T>>>;
  {
    std::lock_guard lock(mutex);
    if (auto it = plans.find(n); it != plans.end()) return it->second;
  }
  auto plan = make_plan<T>(n);
  const Index longest_direct = 64;
  if (plan->passes.empty() && n > 1) {
    Index m = 1;
    while (m < 2 * n - 1) m *= 2;
    plan->inner = plan_of<T>(m);
    std::vector<T> wave(std::size_t(2 * m)), spectrum(std::size_t(2 * m));
    for (Index j = 0; j < n; ++j) {
      const std::complex<double> c = root(j * j % (2 * n), 2 * n);
      plan->chirp.emplace_back(c);
      for (Index at : {j, (m - j) % m}) {
        wave[std::size_t(2 * at)] = T(c.real());
        wave[std::size_t(2 * at + 1)] = T(-c.imag());
      }
    }
    transform_axis(wave.data(), spectrum.data(), 1, m, 1, false, T(1) / T(m));
    for (Index k = 0; k < m; ++k)
      plan->kernel.emplace_back(spectrum[std::size_t(2 * k)], spectrum[std::size_t(2 * k + 1)]);
    if (n > longest_direct)
      plan->columns = plan->rows = plan->inner;  // there is a way for one alone
  } else if (n > longest_direct) {
    Index a = Index(std::sqrt(double(n)));
    while (n % a != 0) --a;
    if (a > 1) {
      plan->columns = plan_of<T>(a);
      plan->rows = plan_of<T>(n / a);
      rotations(*plan);
    }
  }
  std::lock_guard lock(mutex);
  if (plans.size() >= 128) plans.clear();
  return plans.emplace(n, std::move(plan)).first->second;
}

// ---- The primitive
// Along one of the last dimensions of an array of complex numbers.
template <class T>
void along(const T* x, T* y, const Shape& shape, std::size_t axis, bool inverse, T scale) {
  Index outer = 1, inner = 1;
  for (std::size_t i = 0; i < axis; ++i) outer *= shape[i];
  for (std::size_t i = axis + 1; i < shape.size(); ++i) inner *= shape[i];
  transform_axis(x, y, outer, shape[axis], inner, inverse, scale);
}
template <class T>
T* numbers(const Array& x) {
  return static_cast<T*>(x.data<void>());
}
template <class T>
void fft_as(const FftParams& p, const Array& x, Array& y) {
  if (y.size() == 0) return;
  const std::size_t rank = x.shape().size(), count = p.fft_lengths.size();
  const Index n = p.fft_lengths.back();
  double size = 1;
  for (auto length : p.fft_lengths) size *= double(length);
  const T scale = T(1 / size);
  const bool inverse = p.fft_type == FftType::IFFT || p.fft_type == FftType::IRFFT;
  if (p.fft_type == FftType::RFFT) {
    Shape shape = x.shape();
    const Index kept = n / 2 + 1, rows = x.size() / n;
    std::vector<T> whole(std::size_t(2 * x.size()));
    const T* from = numbers<T>(x);
    for (Index i = 0; i < x.size(); ++i) whole[std::size_t(2 * i)] = from[i];
    along(whole.data(), whole.data(), shape, rank - 1, false, T(1));
    T* to = numbers<T>(y);
    for (Index i = 0; i < rows; ++i)
      std::copy(&whole[std::size_t(2 * i * n)], &whole[std::size_t(2 * i * n)] + 2 * kept,
                to + 2 * i * kept);
    for (std::size_t d = rank - count; d + 1 < rank; ++d)
      along<T>(to, to, y.shape(), d, false, T(1));
    return;
  }
  if (p.fft_type == FftType::IRFFT) {
    const Index kept = n / 2 + 1, rows = y.size() / n;
    const T* from = numbers<T>(x);
    std::vector<T> half;
    for (std::size_t d = rank - count; d + 1 < rank; ++d) {
      const bool first = half.empty();
      if (first) half.resize(std::size_t(2 * x.size()));
      along<T>(first ? from : half.data(), half.data(), x.shape(), d, true, T(1));
    }
    if (!half.empty()) from = half.data();
    std::vector<T> whole(std::size_t(2 * y.size()));
    for (Index i = 0; i < rows; ++i) {
      const T* z = from + 2 * i * kept;
      T* w = &whole[std::size_t(2 * i * n)];
      std::copy(z, z + 2 * kept, w);
      w[1] = 0;  // of a real array these are real
      if (n % 2 == 0) w[n + 1] = 0;
      for (Index k = kept; k < n; ++k) {
        w[2 * k] = z[2 * (n - k)];
        w[2 * k + 1] = -z[2 * (n - k) + 1];
      }
    }
    along<T>(whole.data(), whole.data(), y.shape(), rank - 1, true, scale);
    T* to = numbers<T>(y);
    for (Index i = 0; i < y.size(); ++i) to[i] = whole[std::size_t(2 * i)];
    return;
  }
  for (std::size_t k = 0; k < count; ++k)
    along<T>(k == 0 ? numbers<T>(x) : numbers<T>(y), numbers<T>(y), x.shape(), rank - 1 - k,
             inverse, inverse && k == 0 ? scale : T(1));
}
void fft_kernel(Args x, Params params, Array* y) {
  const auto& p = params.as<FftParams>();
  if (real_of(x[0].dtype()) == DType::f64)
    fft_as<double>(p, x[0], *y);
  else
    fft_as<float>(p, x[0], *y);
}

}  // namespace

void install_fft_kernels() { install<fft_kernel>(fft_p); }

}  // namespace jaxpp::internal
