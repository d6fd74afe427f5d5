// library.h -- BLAS and LAPACK of this machine, found when first wanted.
//
// OpenBLAS (Debian: libopenblas0-pthread), or the library that JAXPP_BLAS names by path; JAXPP_BLAS=0: none.  Nothing
// is linked: without the library Eigen computes.  It is told to use one thread, for work is divided over our own (pool.h).
#pragma once
#include <complex>
#include <concepts>
#include <cstdint>
#include <string>

namespace jaxpp::host {

template <class T>
inline constexpr bool is_complex_v = false;
template <std::floating_point T>
inline constexpr bool is_complex_v<std::complex<T>> = true;

template <class T>
struct RealOf {
  using Type = T;
};
template <class T>
struct RealOf<std::complex<T>> {
  using Type = T;
};
template <class T>
using Real = typename RealOf<T>::Type;

/// The routines for elements of type T (float, double and their complex numbers) as Fortran sees them: every argument is
/// a pointer, matrices are in columns.  The lengths of texts come last.
template <class T>
struct Blas {
  using Int = const int*;
  using Text = const char*;
  using Length = std::size_t;

  void (*gemm)(Text transa, Text transb, Int m, Int n, Int k, const T* alpha, const T* a, Int lda,
               const T* b, Int ldb, const T* beta, T* c, Int ldc, Length, Length) = nullptr;
  void (*gemv)(Text trans, Int m, Int n, const T* alpha, const T* a, Int lda, const T* x, Int incx,
               const T* beta, T* y, Int incy, Length) = nullptr;
  void (*trsm)(Text side, Text uplo, Text transa, Text diag, Int m, Int n, const T* alpha,
               const T* a, Int lda, T* b, Int ldb, Length, Length, Length, Length) = nullptr;
};
template <class T>
struct Lapack {
  using Int = const int*;
  using Text = const char*;
  using Length = std::size_t;

  void (*potrf)(Text uplo, Int n, T* a, Int lda, int* info, Length) = nullptr;
  void (*getrf)(Int m, Int n, T* a, Int lda, int* pivots, int* info) = nullptr;
  void (*geqrf)(Int m, Int n, T* a, Int lda, T* tau, T* work, Int lwork, int* info) = nullptr;
  void (*orgqr)(Int m, Int n, Int k, T* a, Int lda, const T* tau, T* work, Int lwork,
                int* info) = nullptr;  // ungqr
  void (*hetrd)(Text uplo, Int n, T* a, Int lda, Real<T>* d, Real<T>* e, T* tau, T* work, Int lwork,
                int* info, Length) = nullptr;  // sytrd
  void (*stedc)(Text compz, Int n, Real<T>* d, Real<T>* e, Real<T>* z, Int ldz, Real<T>* work,
                Int lwork, int* iwork, Int liwork, int* info,
                Length) = nullptr;  // of real matrices
  void (*laed1)(Int n, Real<T>* d, Real<T>* q, Int ldq, int* indxq, const Real<T>* rho, Int cutpnt,
                Real<T>* work, int* iwork,
                int* info) = nullptr;  // of real matrices; may be missing
  void (*unmtr)(Text side, Text uplo, Text trans, Int m, Int n, const T* a, Int lda, const T* tau,
                T* c, Int ldc, T* work, Int lwork, int* info, Length, Length,
                Length) = nullptr;  // ormtr
  // The arguments of complex matrices differ from those of real ones (lapack.cc).
  void* syevd = nullptr;  // heevd
  void* gesdd = nullptr;
  void* gees = nullptr;  // may be missing
};

/// Null where there is none.  Throws Error [E58] if JAXPP_BLAS names a file that is no BLAS.
template <class T>
const Blas<T>* blas();
template <class T>
const Lapack<T>* lapack();

/// What computes matrices here, in words: "OpenBLAS 0.3.21 SkylakeX (libopenblas.so.0)", "Eigen: ...".
std::string libraries();

}  // namespace jaxpp::host
