// product.h -- products of matrices: by BLAS where the machine has it, divided over the threads of pool.h.
//
// What is divided, and where, depends on the sizes only: results have the same bits for any number of threads.
#pragma once
#include <cstdint>

namespace jaxpp::host {

/// y[m, n] = sum over k of a[m, k] b[k, n].
struct ProductSizes {
  std::int64_t m, n, k;
};
/// Element (i, j) of matrix number p lies at data[p * next + i * row + j * col].  A library can use a matrix where it lies
/// if row or col is 1.
template <class T>
struct Matrices {
  const T* data;
  std::int64_t row, col, next = 0;
};

/// `count` products into y, one behind the other, each in rows.  T: float, double, a complex of them, std::int32_t or
/// std::int64_t, which wrap.
template <class T>
void products(std::int64_t count, Matrices<T> a, Matrices<T> b, T* y, ProductSizes);

}  // namespace jaxpp::host
