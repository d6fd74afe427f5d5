// math_internal.cc -- promotion of operands, axes, and the error messages the numpy surface has in
// common.
//
// lax functions are strict: equal element types, equal ranks or rank 0.  Everything friendlier
// happens here, before them.
#include "jaxpp/math_internal.h"
#include <algorithm>
#include <tuple>

namespace jaxpp {
namespace internal {

void need_array(const Array& x, const char* op, Loc loc) {
  if (!x.defined()) [[unlikely]]
    fail(std::string(op) + ": an operand is null.", user_loc(loc), "E04");
}
DType sum_type(DType d) {
  return is_unsigned(d) ? DType::u64 : is_bool(d) || is_signed(d) ? DType::i64 : d;
}
Array inexact(const Array& x, const char* op, Loc loc) {
  need_array(x, op, loc);
  return is_inexact(x.dtype()) ? x : lax::convert_element_type(x, to_inexact(x.dtype()), loc);
}
Array numeric(const Array& x, const char* op, Loc loc) {
  need_array(x, op, loc);
  return is_bool(x.dtype()) ? lax::convert_element_type(x, DType::i32, loc) : x;
}
Array truth(const Array& x, const char* op, Loc loc) {
  need_array(x, op, loc);
  return is_bool(x.dtype()) ? x : lax::ne(x, number_like(x, 0, loc), loc);
}

std::int64_t axis_of(std::int64_t axis, std::int64_t rank, const Array& x, const char* op,
                     Loc loc) {
  if (axis < -rank || axis >= rank) [[unlikely]]
    fail(std::string(op) + ": axis " + std::to_string(axis) + " is out of range for " +
             x.type()->str() + ".",
         user_loc(loc), "E73");
  return axis < 0 ? axis + rank : axis;
}
Dims axes_of(const Axes& axes, const Array& x, const char* op, Loc loc) {
  need_array(x, op, loc);
  Dims d;
  if (axes.all()) {
    for (int i = 0; i < x.ndim(); ++i) d.push_back(i);
    return d;
  }
  for (auto a : axes.values()) {
    a = axis_of(a, x, op, loc);
    if (std::find(d.begin(), d.end(), a) != d.end())
      fail(std::string(op) + ": axis " + std::to_string(a) + " is given twice for " +
               x.type()->str() + ".",
           user_loc(loc), "E74");
    d.push_back(a);
  }
  return d;
}

void promote(const char* op, Array& x, Array& y, Loc loc) {
  need_array(x, op, loc);
  need_array(y, op, loc);
  if (x.type() == y.type()) [[likely]]
    return;
  if (x.dtype() != y.dtype()) std::tie(x, y) = promote(x, y, loc);
  if (x.shape() != y.shape()) std::tie(x, y) = broadcast_pair(x, y, op, loc);
}
void promote_types_of(const char* op, std::span<Array> x, Loc loc) {
  for (auto& a : x) need_array(a, op, loc);
  if (x.empty()) return;
  DType d = x[0].dtype();
  for (auto& a : x) d = promote_types(d, a.dtype());
  for (auto& a : x) a = lax::convert_element_type(a, d, loc);
}
void promote_inexact(const char* op, Array& x, Array& y, Loc loc) {
  promote(op, x, y, loc);
  if (is_inexact(x.dtype())) return;
  x = inexact(x, op, loc);
  y = inexact(y, op, loc);
}
void promote_numeric(const char* op, Array& x, Array& y, Loc loc) {
  promote(op, x, y, loc);
  x = numeric(x, op, loc);
  y = numeric(y, op, loc);
}

void weaken(std::span<Array> x, std::span<const bool> is_number) {
  std::optional<DType> d;
  for (std::size_t i = 0; i < x.size(); ++i)
    if (!is_number[i] && x[i].defined()) d = d ? promote_types(*d, x[i].dtype()) : x[i].dtype();
  if (!d) return;
  for (std::size_t i = 0; i < x.size(); ++i)
    if (is_number[i]) x[i] = weak_number(x[i], *d);
}

std::vector<Array> real_operands(const char* op, std::initializer_list<const Operand*> x) {
  std::vector<Array> a;
  SmallVec<bool, 8> is_number;
  const Loc loc = (*x.begin())->loc;
  for (const Operand* o : x) {
    if (!o->node) need_array(Array(), op, o->loc);
    a.push_back(Array::share(o->node));
    is_number.push_back(o->weak);
  }
  weaken(a, {is_number.data(), is_number.size()});
  promote_types_of(op, a, loc);
  for (Array& v : a) v = inexact(v, op, loc);
  if (is_complex(a[0].dtype()))
    fail(
        std::string(op) + ": not for complex numbers; the operands are " + a[0].type()->str() + ".",
        user_loc(loc), "E76");
  return a;
}

Array number_like(const Array& x, double v, Loc loc) {
  return lax::full(scalar_type(x.dtype()), v, loc);
}

Array at_index(const Array& x, std::int64_t i, std::int64_t axis, Loc loc) {
  if (i < 0) i += x.shape()[std::size_t(axis)];
  return lax::squeeze(lax::slice_in_dim(x, i, i + 1, axis, loc), Dims{axis}, loc);
}
Array elements_at(const Array& a, const Array& indices, Loc loc) {
  GatherParams p;
  p.dimension_numbers.collapsed_slice_dims = p.dimension_numbers.start_index_map = Dims{0};
  p.slice_sizes = Dims{1};
  p.mode = IndexMode::PROMISE_IN_BOUNDS;
  return lax::gather(a, lax::expand_dims(indices, Dims{indices.ndim()}, loc), p, loc);
}
Array keep_axes(const Array& reduced, const Dims& axes, bool keepdims, Loc loc) {
  if (!keepdims || axes.empty()) return reduced;
  Dims sorted = axes;
  std::sort(sorted.begin(), sorted.end());
  return lax::expand_dims(reduced, sorted, loc);
}

}  // namespace internal

Array Array::astype(DType d, Loc loc) const {
  internal::need_array(*this, "astype", loc);
  return lax::convert_element_type(*this, d, loc);
}
Array Array::reshape(const Shape& shape, Loc loc) const {
  return jaxpp::reshape(*this, shape, loc);
}

}  // namespace jaxpp
