// eigen.h -- Eigen matrices as Arrays and Arrays as Eigen maps.  Opt-in: jaxpp.h does not include it.
//
//   Eigen::MatrixXd M = ...;
//   Array r = 2. * M + x;           // a matrix or an expression becomes an Array: one copy, row-major
//   Array dM = grad(loss)(M);
//   Array v = view(R);              // R's memory itself: R is row-major, outlives v and stays unchanged
//   Array a = adopt(std::move(R));  // the same, and the Array keeps the matrix alive
//   auto m = as_eigen<double>(x);   // an Eigen::Map onto x's elements, valid while x lives
//   Eigen::MatrixXd C = to_eigen<double>(x);  // a copy, in Eigen's own layout
//
// A matrix [n, m] is an Array of rank 2; a vector type (one compile-time dimension is 1) is an
// Array of rank 1.
#pragma once
#include <Eigen/Core>
#include "jaxpp/math.h"

namespace jaxpp {

namespace internal {

template <class T>
concept EigenExpression = std::is_base_of_v<Eigen::EigenBase<T>, T>;
template <class T>
concept EigenMatrix = EigenExpression<T> && std::is_base_of_v<Eigen::MatrixBase<T>, T>;
template <class T>  // deduced from an rvalue: a matrix, not a map onto somebody's memory
concept EigenOwner = EigenExpression<T> && std::is_base_of_v<Eigen::PlainObjectBase<T>, T>;

// Eigen's scalar types, and the ones jaxpp has for them: the halves differ in name only.
template <class S>
struct EigenScalar {
  using type = S;
};
template <>
struct EigenScalar<Eigen::half> {
  using type = float16;
};
template <>
struct EigenScalar<Eigen::bfloat16> {
  using type = bfloat16;
};
template <class M>
inline constexpr DType eigen_dtype = dtype_of<typename EigenScalar<typename M::Scalar>::type>;

template <class M>
inline constexpr bool is_eigen_vector = bool(M::IsVectorAtCompileTime);
/// The layout an Array has.  (Eigen wants row vectors row-major and column vectors column-major:
/// the same memory.)
template <class M>
inline constexpr int row_major_option = M::ColsAtCompileTime == 1 && M::RowsAtCompileTime != 1
                                            ? int(Eigen::ColMajor)
                                            : int(Eigen::RowMajor);

template <class M>
Shape eigen_shape(const M& m) {
  if constexpr (is_eigen_vector<M>)
    return {std::int64_t(m.size())};
  else
    return {std::int64_t(m.rows()), std::int64_t(m.cols())};
}
/// Whether the elements lie in memory in the order of an Array, without gaps.
template <class M>
void need_contiguous(const M& m, const char* op, Loc loc) {
  const bool gaps =
      m.size() > 1 && (m.innerStride() != 1 || (!is_eigen_vector<M> && m.outerSize() > 1 &&
                                                m.outerStride() != m.innerSize()));
  if (gaps)
    fail(std::string(op) + ": the elements do not lie in memory without gaps.", loc, "E55",
         "Convert instead, which copies: Array(m).");
}
template <class M>
void release_eigen(void* m) {
  delete static_cast<M*>(m);
}

}  // namespace internal

/// Any Eigen matrix, array, map, block, product or expression converts to an Array: evaluated
/// straight into its buffer.
template <class T>
requires internal::EigenExpression<T>
struct ArrayTraits<T> {
  using S = typename T::Scalar;
  static_assert(internal::Scalar<typename internal::EigenScalar<S>::type>,
                "jaxpp: no element type for this Eigen scalar.");
  static Array to_array(const T& t) {
    if constexpr (std::is_base_of_v<Eigen::DenseBase<T>, T>) {
      Array a = Array::make(make_type(internal::eigen_dtype<T>, internal::eigen_shape(t)));
      using Plain = Eigen::Matrix<S, T::RowsAtCompileTime, T::ColsAtCompileTime,
                                  internal::row_major_option<T>>;
      Eigen::Map<Plain> out(a.template data<S>(), t.rows(), t.cols());
      if constexpr (std::is_base_of_v<Eigen::ArrayBase<T>, T>)
        out.array() = t;
      else
        out.noalias() = t;
      return a;
    } else {  // diagonal, permutation, ... : Eigen makes them dense
      return Array(Eigen::Matrix<S, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>(t.derived()));
    }
  }
};

/// The memory of a row-major matrix, or of a vector, as an Array, without a copy.  The matrix must
/// outlive the Array and must not change meanwhile.
template <class M>
requires internal::EigenExpression<M> Array view(const M& m, Loc loc = Loc::current()) {
  static_assert(bool(M::Flags & Eigen::DirectAccessBit),
                "jaxpp: an Eigen expression has no memory to view; convert it: Array(expression).");
  static_assert(internal::is_eigen_vector<M> || bool(M::IsRowMajor),
                "jaxpp: view: this matrix is column-major, an Array is row-major: use "
                "view_transposed(m), or copy with "
                "Array(m), or declare the matrix Eigen::RowMajor.");
  internal::need_contiguous(m, "view", loc);
  return Array::view(internal::eigen_dtype<M>, internal::eigen_shape(m), m.data());
}
/// The memory of a column-major matrix [n, m] as the Array [m, n], its transpose, without a copy.
template <class M>
requires internal::EigenExpression<M> Array view_transposed(const M& m, Loc loc = Loc::current()) {
  static_assert(bool(M::Flags & Eigen::DirectAccessBit),
                "jaxpp: an Eigen expression has no memory to view.");
  static_assert(!internal::is_eigen_vector<M> && !bool(M::IsRowMajor),
                "jaxpp: view_transposed is for column-major matrices; use view(m).");
  internal::need_contiguous(m, "view_transposed", loc);
  return Array::view(internal::eigen_dtype<M>, Shape{m.cols(), m.rows()}, m.data());
}
/// A temporary matrix would be gone before the Array: adopt it, or give it a name.
template <internal::EigenOwner M>
Array view(M&&, Loc = Loc::current()) = delete;
template <internal::EigenOwner M>
Array view_transposed(M&&, Loc = Loc::current()) = delete;

/// A row-major matrix, or a vector, moved into an Array: the memory changes hands, the elements
/// stay where they are.
template <class S, int R, int C, int O, int MR, int MC>
Array adopt(Eigen::Matrix<S, R, C, O, MR, MC>&& m) {
  using M = Eigen::Matrix<S, R, C, O, MR, MC>;
  static_assert(internal::is_eigen_vector<M> || bool(M::IsRowMajor),
                "jaxpp: adopt: this matrix is column-major, an Array is row-major: use "
                "adopt_transposed, or copy with "
                "Array(m), or declare the matrix Eigen::RowMajor.");
  M* kept = new M(std::move(m));
  return Array::view(internal::eigen_dtype<M>, internal::eigen_shape(*kept), kept->data(), kept,
                     internal::release_eigen<M>);
}
/// A column-major matrix [n, m] moved into the Array [m, n], its transpose.
template <class S, int R, int C, int O, int MR, int MC>
Array adopt_transposed(Eigen::Matrix<S, R, C, O, MR, MC>&& m) {
  using M = Eigen::Matrix<S, R, C, O, MR, MC>;
  static_assert(!internal::is_eigen_vector<M> && !bool(M::IsRowMajor),
                "jaxpp: adopt_transposed is for column-major matrices; use adopt(std::move(m)).");
  M* kept = new M(std::move(m));
  return Array::view(internal::eigen_dtype<M>, Shape{kept->cols(), kept->rows()}, kept->data(),
                     kept, internal::release_eigen<M>);
}

/// The elements of a rank-2 Array as a read-only Eigen map, without a copy.  S must be the element
/// type; the map is valid as long as the Array lives.
template <internal::Scalar S>
auto as_eigen(const Array& x, Loc loc = Loc::current()) {
  using M = Eigen::Matrix<S, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  const auto elements = x.span<S>(loc);
  if (x.ndim() != 2)
    internal::fail("as_eigen: needs rank 2, the array is " + x.type()->str() + ".", loc, "E56",
                   x.ndim() == 1 ? "Use as_eigen_vector." : "Reshape it first.");
  return Eigen::Map<const M>(elements.data(), x.shape()[0], x.shape()[1]);
}
/// The elements of an Array of any rank, row-major, as a read-only column vector, without a copy.
template <internal::Scalar S>
auto as_eigen_vector(const Array& x, Loc loc = Loc::current()) {
  const auto elements = x.span<S>(loc);
  return Eigen::Map<const Eigen::Matrix<S, Eigen::Dynamic, 1>>(elements.data(),
                                                               Eigen::Index(elements.size()));
}
/// The map would outlive a temporary Array: name it, or copy with to_eigen.
template <internal::Scalar S>
auto as_eigen(const Array&&, Loc = Loc::current()) = delete;
template <internal::Scalar S>
auto as_eigen_vector(const Array&&, Loc = Loc::current()) = delete;

/// A copy as an Eigen matrix; a vector becomes a column.
template <internal::Scalar S>
Eigen::Matrix<S, Eigen::Dynamic, Eigen::Dynamic> to_eigen(const Array& x,
                                                          Loc loc = Loc::current()) {
  const Array v = x.defined() && x.dtype() != dtype_of<S> ? x.astype(dtype_of<S>, loc) : x;
  if (v.defined() && v.ndim() == 1) return as_eigen_vector<S>(v, loc);
  return as_eigen<S>(v, loc);
}

/// For Eigen, matrix * x would be the matrix product; for Arrays, * is elementwise.  Neither is
/// guessed.
// clang-format off
template <internal::EigenMatrix M, std::same_as<Array> A>
Array operator*(const M&, const A&) = delete;  // elementwise: M.array() * x;   product: matmul(M, x)
template <internal::EigenMatrix M, std::same_as<Array> A>
Array operator*(const A&, const M&) = delete;  // elementwise: x * M.array();   product: matmul(x, M)
// clang-format on

}  // namespace jaxpp
