// linalg_norms.cc -- norms of vectors and of matrices, and the array API's names of products.
#include <cmath>
#include "jaxpp/linalg.h"
#include "jaxpp/linalg_internal.h"
#include "jaxpp/ops/rules.h"

namespace jaxpp::linalg {
using namespace internal;

namespace {
constexpr const char* kOrders =
    "Orders of matrices are 1, -1, 2, -2, INFINITY, -INFINITY, \"fro\" and \"nuc\".";

Array root_of_squares(const Array& x, const Axes& axes, bool keepdims) {
  return sqrt(
      sum(is_complex(x.dtype()) ? square(real(x)) + square(imag(x)) : square(x), axes, keepdims));
}
Array norm_of_vectors(const Array& x, double p, const Axes& axes, bool keepdims) {
  if (p == 2) return root_of_squares(x, axes, keepdims);
  const Array size = abs(x);
  if (std::isinf(p) && p < 0) return min(size, axes, keepdims);
  if (std::isinf(p)) {  // of no elements it is 0
    const Dims which = axes.all() ? Dims() : axes_of(axes, x, "linalg::norm", Loc());
    bool empty = axes.all() && x.size() == 0;
    for (auto d : which) empty |= x.shape()[std::size_t(d)] == 0;
    return empty ? sum(size, axes, keepdims) : max(size, axes, keepdims);
  }
  if (p == 0) return sum((x != 0).astype(size.dtype()), axes, keepdims);
  if (p == 1) return sum(size, axes, keepdims);
  return pow(sum(pow(size, p), axes, keepdims), 1 / p);
}
Array of_singular_values(const Array& s, const Order& order) {
  if (order.kind == Order::nuclear) return sum(s, -1);
  if (order.p < 0) return min(s, -1);
  return s.shape(-1) == 0 ? sum(s, -1) : max(s, -1);
}
Array norm_of_matrices(const Array& x, const Order& order, std::int64_t row, std::int64_t col,
                       bool keepdims, Loc loc) {
  if (order.kind != Order::nuclear && order.kind != Order::number)
    return root_of_squares(x, Dims{row, col}, keepdims);
  if (order.kind == Order::nuclear || std::abs(order.p) == 2) {
    const Array y =
        of_singular_values(svdvals(moveaxis(x, Dims{row, col}, {-2, -1}, loc), false, loc), order);
    return keepdims ? expand_dims(y, Dims{std::min(row, col), std::max(row, col)}, loc) : y;
  }
  const bool columns = std::abs(order.p) == 1;
  if (!columns && !std::isinf(order.p))
    linalg_error("norm: the order " + std::to_string(order.p) + " of a matrix is not known.", loc,
                 kOrders);
  const Array sums = sum(abs(x), columns ? row : col, true);
  const std::int64_t along = columns ? col : row;
  const bool none = sums.shape()[std::size_t(along)] == 0;
  const Array y = order.p < 0 ? min(sums, along, true)
                  : none      ? sum(sums, along, true)
                              : max(sums, along, true);
  return keepdims ? y : squeeze(y, Dims{row, col}, loc);
}
}  // namespace

Order::Order(const char* name, Loc loc) {
  if (std::string_view(name) == "fro")
    kind = frobenius;
  else if (std::string_view(name) == "nuc")
    kind = nuclear;
  else
    linalg_error(std::string("norm: no order \"") + name + "\".", loc,
                 "It is a number, \"fro\", \"nuc\", or None.");
}

Array norm(const Array& a, Order order, const Axes& axes, bool keepdims, Loc loc) {
  const UserLine line(loc);
  const Array x = inexact(a, "linalg::norm", loc);
  if (order.kind == Order::usual && axes.all()) return root_of_squares(x, axes, keepdims);
  const Dims which = axes.all() ? iota_dims(std::size_t(x.ndim())) : axes_of(axes, x, "norm", loc);
  if (which.size() == 1) {
    if (order.kind == Order::frobenius || order.kind == Order::nuclear)
      linalg_error("norm: \"fro\" and \"nuc\" are norms of matrices, not of vectors.", loc);
    return norm_of_vectors(x, order.p, which[0], keepdims);
  }
  if (which.size() != 2)
    linalg_error("norm: needs one axis, or two different ones, not " + to_string(which) + ".", loc);
  return norm_of_matrices(x, order, which[0], which[1], keepdims, loc);
}
Array vector_norm(const Array& a, Order order, const Axes& axes, bool keepdims, Loc loc) {
  const UserLine line(loc);
  const Array x = inexact(a, "linalg::vector_norm", loc);
  if (order.kind == Order::frobenius || order.kind == Order::nuclear)
    linalg_error("vector_norm: \"fro\" and \"nuc\" are norms of matrices, not of vectors.", loc);
  return norm_of_vectors(x, order.p, axes, keepdims);
}
Array matrix_norm(const Array& x, Order order, bool keepdims, Loc loc) {
  return norm(x, order, {-2, -1}, keepdims, loc);
}

Array matmul(const Array& x, const Array& y, Loc loc) { return jaxpp::matmul(x, y, loc); }
Array tensordot(const Array& x, const Array& y, int axes, Loc loc) {
  return jaxpp::tensordot(x, y, axes, loc);
}
Array vecdot(const Array& x, const Array& y, int axis, Loc loc) {
  const UserLine line(loc);
  const Array a = moveaxis(x, axis, -1, loc), b = moveaxis(y, axis, -1, loc);
  if (a.shape(-1) != b.shape(-1))
    linalg_error("vecdot: the vectors of " + x.type()->str() + " and " + y.type()->str() +
                     " differ in size.",
                 loc);
  return squeeze(
      jaxpp::matmul(expand_dims(is_complex(a.dtype()) ? conj(a) : a, -2), expand_dims(b, -1), loc),
      {-2, -1});
}
Array outer(const Array& x, const Array& y, Loc loc) {
  need_array(x, "linalg::outer", loc);
  need_array(y, "linalg::outer", loc);
  if (x.ndim() != 1 || y.ndim() != 1)
    linalg_error("outer: needs vectors, not " + x.type()->str() + " and " + y.type()->str() + ".",
                 loc, "jaxpp::outer flattens arrays.");
  return jaxpp::outer(x, y, loc);
}
Array cross(const Array& x, const Array& y, int axis, Loc loc) {
  for (const Array* v : {&x, &y}) {
    need_array(*v, "linalg::cross", loc);
    if (v->shape()[std::size_t(axis_of(axis, *v, "linalg::cross", loc))] != 3)
      linalg_error("cross: needs vectors of 3 along the axis, not " + v->type()->str() + ".", loc);
  }
  return jaxpp::cross(x, y, axis, loc);
}
Array matrix_transpose(const Array& x, Loc loc) { return jaxpp::matrix_transpose(x, loc); }
Array diagonal(const Array& x, std::int64_t offset, Loc loc) {
  return jaxpp::diagonal(x, offset, -2, -1, loc);
}
Array trace(const Array& x, std::int64_t offset, Loc loc) {
  return jaxpp::trace(x, offset, -2, -1, loc);
}

}  // namespace jaxpp::linalg
