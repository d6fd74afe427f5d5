// matrices.h -- small steps on batches of matrices (the last two dimensions) that the rules of linear algebra share.
#pragma once
#include "jaxpp/ops/rules.h"

namespace jaxpp::internal {

inline std::int64_t rows(Type t) { return t->shape[t->shape.size() - 2]; }
inline std::int64_t cols(Type t) { return t->shape.back(); }
inline Dims batch_dims(const Array& x) { return iota_dims(std::size_t(x.ndim()) - 2); }
/// x y
Array matmul(const Array& x, const Array& y);
Array swapped(const Array& x);
/// x^H
Array adjoint(const Array& x);
/// Column minus row of each element of an m x n matrix, i32.
Array diagonal_number(std::int64_t m, std::int64_t n);
/// Elements on and below (above, if upper) diagonal k; zeros elsewhere.
Array triangle(const Array& x, std::int64_t k, bool upper = false);
/// The unit matrix, n x n.
Array eye(DType d, std::int64_t n);
/// x plus the unit matrix.
Array add_eye(const Array& x);
/// The diagonals of square matrices: [..., n, n] -> [..., n].
Array diagonals(const Array& x);
/// The upper left m x n part.
Array first_rows(const Array& x, std::int64_t m, std::int64_t n);
Array solve_triangular(const Array& a, const Array& b, bool left, bool lower, bool unit = false,
                       bool adjoint = false);
/// a^-1 b, by lu.
Array solve_square(const Array& a, const Array& b);

/// Throw unless x has matrices of floats or complex numbers (of at least 4 bytes a real number), square ones.
void need_rank(const char* op, Type x, std::size_t rank);
void need_matrix(const char* op, Type x, bool halves = false);
void need_square(const char* op, Type x, bool halves = false);
/// One operand; results have the batch in front too.
void leading_batch(BatchRule& r);

}  // namespace jaxpp::internal
