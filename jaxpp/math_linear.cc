// math_linear.cc -- products of vectors, matrices and stacks of them: all are dot_general after
// some bookkeeping.
#include <algorithm>
#include "jaxpp/math_internal.h"

namespace jaxpp {

using namespace internal;

namespace {
/// dot_general of operands of one type; bools: whether any product is true.
Array contract(const Array& x, const Array& y, const DotDims& dims, Loc loc) {
  if (!is_bool(x.dtype())) return lax::dot_general(x, y, dims, {}, loc);
  Array n = lax::dot_general(lax::convert_element_type(x, DType::i32, loc),
                             lax::convert_element_type(y, DType::i32, loc), dims, {}, loc);
  return truth(n, "dot", loc);
}
void need_equal_sizes(const char* op, const Array& x, std::int64_t i, const Array& y,
                      std::int64_t j, Loc loc) {
  const auto n = x.shape()[std::size_t(i)], m = y.shape()[std::size_t(j)];
  if (n == m) return;
  fail(std::string(op) + ": inner dimensions differ: " + x.type()->str() + " has " +
           std::to_string(n) + " on axis " + std::to_string(i) + ", " + y.type()->str() + " has " +
           std::to_string(m) + " on axis " + std::to_string(j) + ".",
       user_loc(loc), "E94");
}
void promote_pair(const char* op, Array& x, Array& y, Loc loc) {
  Array v[] = {x, y};
  promote_types_of(op, v, loc);
  x = v[0], y = v[1];
}
Array product(const char* op, const Array& x, const Array& y, const Dims& x_axes,
              const Dims& y_axes, Loc loc) {
  if (x_axes.size() != y_axes.size())
    fail(std::string(op) + ": " + std::to_string(x_axes.size()) +
             " axes of the first operand cannot meet " + std::to_string(y_axes.size()) +
             " of the second.",
         user_loc(loc), "E88");
  for (std::size_t i = 0; i < x_axes.size(); ++i)
    need_equal_sizes(op, x, x_axes[i], y, y_axes[i], loc);
  DotDims d;
  d.lhs_contracting = x_axes;
  d.rhs_contracting = y_axes;
  return contract(x, y, d, loc);
}
}  // namespace

Array dot(const Array& x, const Array& y, Loc loc) {
  Array a = x, b = y;
  promote_pair("dot", a, b, loc);
  if (a.ndim() == 0 || b.ndim() == 0) return multiply(a, b, loc);
  return product("dot", a, b, Dims{a.ndim() - 1}, Dims{std::max(0, b.ndim() - 2)}, loc);
}
Array inner(const Array& x, const Array& y, Loc loc) {
  Array a = x, b = y;
  promote_pair("inner", a, b, loc);
  if (a.ndim() == 0 || b.ndim() == 0) return multiply(a, b, loc);
  return product("inner", a, b, Dims{a.ndim() - 1}, Dims{b.ndim() - 1}, loc);
}
Array vdot(const Array& x, const Array& y, Loc loc) {
  Array a = ravel(conj(x, loc), loc), b = ravel(y, loc);
  promote_pair("vdot", a, b, loc);
  return product("vdot", a, b, Dims{0}, Dims{0}, loc);
}
Array outer(const Array& x, const Array& y, Loc loc) {
  return multiply(expand_dims(ravel(x, loc), 1, loc), expand_dims(ravel(y, loc), 0, loc), loc);
}
Array tensordot(const Array& x, const Array& y, int axes, Loc loc) {
  Array a = x, b = y;
  promote_pair("tensordot", a, b, loc);
  if (axes < 0 || axes > std::min(a.ndim(), b.ndim()))
    fail("tensordot: " + std::to_string(axes) + " axes to contract in " + a.type()->str() +
             " and " + b.type()->str() + ".",
         user_loc(loc), "E88");
  Dims of_a, of_b;
  for (int i = 0; i < axes; ++i) {
    of_a.push_back(a.ndim() - axes + i);
    of_b.push_back(i);
  }
  return product("tensordot", a, b, of_a, of_b, loc);
}
Array tensordot(const Array& x, const Array& y, const Axes& x_axes, const Axes& y_axes, Loc loc) {
  Array a = x, b = y;
  promote_pair("tensordot", a, b, loc);
  return product("tensordot", a, b, axes_of(x_axes, a, "tensordot", loc),
                 axes_of(y_axes, b, "tensordot", loc), loc);
}

// Batch axes of size 1 broadcast: they are left out of the contraction on their side, and the
// result is put in order.
Array matmul(const Array& x, const Array& y, Loc loc) {
  Array a = x, b = y;
  promote_pair("matmul", a, b, loc);
  for (auto* v : {&a, &b})
    if (v->ndim() == 0)
      fail("matmul: needs at least vectors, not " + v->type()->str() + ".", user_loc(loc), "E86",
           "To scale, write x * y.");
  const bool a_matrix = a.ndim() > 1, b_matrix = b.ndim() > 1;
  const int a_batch = std::max(0, a.ndim() - 2), b_batch = std::max(0, b.ndim() - 2),
            rank = std::max(a_batch, b_batch);
  need_equal_sizes("matmul", a, a.ndim() - 1, b, b_batch, loc);
  DotDims d;
  Dims a_ones, b_ones;                  // batch axes that only the other operand has
  Dims batch, a_only, b_only, neither;  // positions in the result's batch axes
  for (int i = 0; i < rank; ++i) {
    const int ai = i - (rank - a_batch), bi = i - (rank - b_batch);
    const std::int64_t n = ai < 0 ? 1 : a.shape()[std::size_t(ai)],
                       m = bi < 0 ? 1 : b.shape()[std::size_t(bi)];
    if (n == m && ai >= 0 && bi >= 0 && n != 1) {
      batch.push_back(i);
      d.lhs_batch.push_back(ai - std::int64_t(a_ones.size()));
      d.rhs_batch.push_back(bi - std::int64_t(b_ones.size()));
      continue;
    }
    if (n != m && n != 1 && m != 1)
      fail("matmul: batch sizes do not broadcast: " + a.type()->str() + " and " + b.type()->str() +
               ".",
           user_loc(loc), "E75");
    if (n == 1 && ai >= 0) a_ones.push_back(ai);
    if (m == 1 && bi >= 0) b_ones.push_back(bi);
    (n != 1 ? a_only : m != 1 ? b_only : neither).push_back(i);
  }
  if (!a_ones.empty()) a = lax::squeeze(a, a_ones, loc);
  if (!b_ones.empty()) b = lax::squeeze(b, b_ones, loc);
  d.lhs_contracting = Dims{a.ndim() - 1};
  d.rhs_contracting = Dims{b.ndim() - 1 - b_matrix};
  Array z = contract(a, b, d, loc);
  // z: batch, a_only, rows, b_only, columns
  Dims place =
      batch;  // of each axis of z in the result, before the axes of size 1 in `neither` come back
  place.append(a_only.begin(), a_only.end());
  if (a_matrix) place.push_back(rank);
  place.append(b_only.begin(), b_only.end());
  if (b_matrix) place.push_back(rank + a_matrix);
  Dims permutation;
  for (std::int64_t i = 0; i < rank + a_matrix + b_matrix; ++i) {
    auto at = std::find(place.begin(), place.end(), i);
    if (at != place.end()) permutation.push_back(at - place.begin());
  }
  z = lax::transpose(z, permutation, loc);
  return neither.empty() ? z : lax::expand_dims(z, neither, loc);
}

Array trace(const Array& x, std::int64_t offset, int axis1, int axis2, Loc loc) {
  return sum(diagonal(x, offset, axis1, axis2, loc), -1, false, loc);
}
Array cross(const Array& x, const Array& y, int axis, Loc loc) {
  Array a = x, b = y;
  promote_pair("cross", a, b, loc);
  UserLine line(loc);
  a = moveaxis(a, axis_of(axis, a, "cross", loc), -1);
  b = moveaxis(b, axis_of(axis, b, "cross", loc), -1);
  const auto n = a.shape(-1), m = b.shape(-1);
  if ((n != 2 && n != 3) || (m != 2 && m != 3))
    fail("cross: takes vectors of size 2 or 3 along the axis, not " + x.type()->str() + " and " +
             y.type()->str() + ".",
         user_loc(loc), "E86");
  auto part = [&](const Array& v, int i) {
    const auto last = v.ndim() - 1;
    return i < v.shape(-1) ? at_index(v, i, last, loc) : lax::zeros_like(at_index(v, 0, last, loc));
  };
  Array third = part(a, 0) * part(b, 1) - part(a, 1) * part(b, 0);
  if (n == 2 && m == 2) return third;
  Array first = part(a, 1) * part(b, 2) - part(a, 2) * part(b, 1);
  Array second = part(a, 2) * part(b, 0) - part(a, 0) * part(b, 2);
  return stack({first, second, third}, axis);
}
Array kron(const Array& x, const Array& y, Loc loc) {
  Array a = x, b = y;
  promote_pair("kron", a, b, loc);
  const std::size_t rank = std::size_t(std::max(a.ndim(), b.ndim()));
  Shape sa, sb, result;  // a[i, 1, j, 1, ...] * b[1, p, 1, q, ...]
  for (std::size_t i = 0; i < rank; ++i) {
    auto size = [&](const Array& v) {
      const std::size_t lead = rank - v.shape().size();
      return i < lead ? 1 : v.shape()[i - lead];
    };
    for (auto n : {size(a), std::int64_t(1)}) sa.push_back(n);
    for (auto n : {std::int64_t(1), size(b)}) sb.push_back(n);
    result.push_back(size(a) * size(b));
  }
  return lax::reshape(multiply(lax::reshape(a, sa, loc), lax::reshape(b, sb, loc), loc), result,
                      loc);
}

}  // namespace jaxpp
