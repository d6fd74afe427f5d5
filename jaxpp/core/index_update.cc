// index_update.cc -- x.at(...).set, add, mul, min, max.
//
// Integers and slices become dynamic_update_slice and add_slice; index arrays, and slices with steps, one scatter; a mask
// with one value for all it selects a select.  When nothing is traced and nobody else holds x, its buffer is reused.
#include <algorithm>
#include "jaxpp/core/index.h"
#include "jaxpp/core/nan_check.h"
#include "jaxpp/lax.h"
#include "jaxpp/ops/primitives.h"

namespace jaxpp {
namespace {
using namespace internal;

enum class Update { set, add, mul, min, max };
Array combine(Update u, const Array& x, const Array& v, Loc loc) {
  switch (u) {
    case Update::set: break;
    case Update::add: return lax::add(x, v, loc);
    case Update::mul: return lax::mul(x, v, loc);
    case Update::min: return lax::min(x, v, loc);
    case Update::max: return lax::max(x, v, loc);
  }
  return v;
}
const Primitive& scatter_of(Update u) {
  const Primitive* p[] = {&scatter_p, &scatter_add_p, &scatter_mul_p, &scatter_min_p,
                          &scatter_max_p};
  return *p[int(u)];
}
// The operation on x and `rest`; into x's own buffer when nothing is traced and nobody else holds it.
Array updated(const Primitive& p, Array x, Args rest, Params params, Loc loc) {
  Borrowed operands(x);
  operands.append(rest);
  const bool known =
      std::all_of(rest.begin(), rest.end(), [](const Array& a) { return a.concrete(); });
  const Kernel& kernel = kernel_of(p, loc);
  if (context.trace || checking_nans() || !x.unique() || !known || !(kernel.in_place & 1)) {
    Array y;
    p.bind(operands, params, &y, loc);
    return y;
  }
  SmallVec<Type, 6> types;
  for (const Array& a : Args(operands)) types.push_back(a.type());
  try {
    Type t;
    p.shape({types.data(), types.size()}, params, &t);
  } catch (const RuleError& e) {
    fail<TypeError>(e.what(), loc, "E11");
  }
  kernel.run(operands, params, &x);
  return x;
}

Array value_of(const Operand& v, const Array& x) {
  const Array a = Array::share(v.node);
  if (!a.defined()) fail<TypeError>("at: the new value is null.", v.loc, "E51");
  if (is_complex(a.dtype()) && !is_complex(x.dtype()))
    fail<TypeError>(
        "at: a complex value, " + a.type()->str() + ", does not fit in " + x.type()->str() + ".",
        v.loc, "E51", "Take its real part.");
  return lax::convert_element_type(a, x.dtype(), v.loc);
}
// v broadcast to `shape`, numpy's way.
Array broadcast_to(const Array& v, const Shape& shape, Loc loc) {
  if (v.shape() == shape) return v;
  Shape s = v.shape();
  while (s.size() > shape.size() && s[0] == 1) s.erase(0);
  bool fits = s.size() <= shape.size();
  Dims to;
  for (std::size_t i = 0; fits && i < s.size(); ++i) {
    to.push_back(std::int64_t(shape.size() - s.size() + i));
    fits = s[i] == 1 || s[i] == shape[std::size_t(to[i])];
  }
  if (!fits)
    fail<TypeError>("at: " + v.type()->str() + " does not broadcast to the shape " +
                        to_string(shape) + " that the index selects.",
                    loc, "E51");
  return lax::broadcast_in_dim(lax::reshape(v, s, loc), shape, to, loc);
}

Array update_box(Update u, Array x, const IndexBox& b, const IndexItems& items, const Array& value,
                 Loc loc) {
  const Array v = broadcast_to(value, b.result, loc);
  if (u == Update::add || b.unit) {
    Array part = u == Update::set || u == Update::add ? v : combine(u, read_box(x, b, loc), v, loc);
    part = lax::reshape(part, b.sizes, loc);
    if (!b.reversed.empty()) part = lax::rev(part, b.reversed, loc);
    if (u == Update::add)
      return updated(add_slice_p, std::move(x), {&part, 1},
                     SliceParams{b.limit, b.start, b.unit ? std::nullopt : std::optional(b.stride)},
                     loc);
    Results rest{part};
    for (auto s : b.start) rest.push_back(lax::full(scalar_type(i64), double(s), loc));
    return updated(dynamic_update_slice_p, std::move(x), args(rest), {}, loc);
  }
  const IndexWindows w = windows_of(x, items, loc);
  const Array part = u == Update::set ? v : combine(u, read_box(x, b, loc), v, loc);
  const Array rest[] = {w.indices, lax::reshape(part, w.shape, loc)};
  return updated(scatter_p, std::move(x), rest,
                 ScatterParams{.dimension_numbers = {w.dims.offset_dims,
                                                     w.dims.collapsed_slice_dims,
                                                     w.dims.start_index_map,
                                                     {},
                                                     {}},
                               .unique_indices = true},
                 loc);
}

// A mask among whole axes, with a value that does not depend on how many elements it selects: a select.
bool masked_update(Update u, const Array& x, std::span<const Index> index, const Array& value,
                   Loc loc, Array& y) {
  const Index* mask = nullptr;
  std::int64_t before = 0, others = 0;
  bool ellipsis = false, after_ellipsis = false;
  for (const Index& i : index) {
    if (i.kind == Index::array && i.indices.defined() && is_bool(i.indices.dtype()) && !mask) {
      mask = &i;
      before = others;
      after_ellipsis = ellipsis;
    } else if (i.kind == Index::slice && i.range.start.open && i.range.stop.open &&
               i.range.step == 1) {
      ++others;
    } else if (i.kind == Index::ellipsis && !ellipsis) {
      ellipsis = true;
    } else {
      return false;
    }
  }
  if (!mask || mask->indices.ndim() == 0 || mask->indices.ndim() + others > x.ndim()) return false;
  const std::int64_t rank = mask->indices.ndim();
  if (after_ellipsis) before = x.ndim() - rank - (others - before);
  const std::int64_t after = x.ndim() - before - rank;
  for (std::int64_t k = 0; k < rank; ++k)
    if (mask->indices.shape()[std::size_t(k)] != x.shape()[std::size_t(before + k)]) return false;
  Shape s = value.shape();
  if (std::int64_t(s.size()) >
      after) {  // the dimension of selected elements must be 1: it becomes the mask's
    const std::size_t at = s.size() - std::size_t(after) - 1;
    if (s[at] != 1) return false;
    for (std::int64_t k = 1; k < rank; ++k) s.insert(at, 1);
  }
  const Array v = broadcast_to(lax::reshape(value, s, loc), x.shape(), loc);
  Dims to;
  for (std::int64_t k = 0; k < rank; ++k) to.push_back(before + k);
  y = lax::select(lax::broadcast_in_dim(mask->indices, x.shape(), to, loc), combine(u, x, v, loc),
                  x, loc);
  return true;
}

Array update(Update u, Array x, std::span<const Index> index, const Operand& operand) {
  const Loc loc = index.empty() ? operand.loc : index[0].loc;
  if (!x.defined())
    fail<TypeError>("at: the array is null, or was updated in place before.", loc, "E51");
  const Array value = value_of(operand, x);
  Array y;
  if (masked_update(u, x, index, value, loc, y)) return y;
  const IndexItems items = resolve_index(x, index, loc);
  if (!items.arrays) return update_box(u, std::move(x), box_of(x, items), items, value, loc);
  const IndexWindows w = windows_of(x, items, loc);
  const Array rest[] = {w.indices, lax::reshape(broadcast_to(value, w.result, loc), w.shape, loc)};
  const ScatterParams params{.dimension_numbers = {w.dims.offset_dims,
                                                   w.dims.collapsed_slice_dims,
                                                   w.dims.start_index_map,
                                                   {},
                                                   {}},
                             .unique_indices = w.unique};
  return updated(scatter_of(u), std::move(x), rest, params, loc);
}
// The array to be updated: taken out if nobody else holds it, so that its buffer may be reused.
Array taken(Array& x) { return x.defined() && x.unique() ? std::move(x) : x; }
}  // namespace

IndexedArray Array::at(const Index& a) const& { return {*this, Indices{a}}; }
IndexedArray Array::at(const Index& a, const Index& b) const& { return {*this, Indices{a, b}}; }
IndexedArray Array::at(const Index& a, const Index& b, const Index& c) const& {
  return {*this, Indices{a, b, c}};
}
IndexedArray Array::at(const Index& a, const Index& b, const Index& c, const Index& d) const& {
  return {*this, Indices{a, b, c, d}};
}
IndexedArray Array::at(const Index& a) && { return {std::move(*this), Indices{a}}; }
IndexedArray Array::at(const Index& a, const Index& b) && {
  return {std::move(*this), Indices{a, b}};
}
IndexedArray Array::at(const Index& a, const Index& b, const Index& c) && {
  return {std::move(*this), Indices{a, b, c}};
}
IndexedArray Array::at(const Index& a, const Index& b, const Index& c, const Index& d) && {
  return {std::move(*this), Indices{a, b, c, d}};
}

Array IndexedArray::set(const Operand& v) { return update(Update::set, taken(x_), index_, v); }
Array IndexedArray::add(const Operand& v) { return update(Update::add, taken(x_), index_, v); }
Array IndexedArray::mul(const Operand& v) { return update(Update::mul, taken(x_), index_, v); }
Array IndexedArray::min(const Operand& v) { return update(Update::min, taken(x_), index_, v); }
Array IndexedArray::max(const Operand& v) { return update(Update::max, taken(x_), index_, v); }

}  // namespace jaxpp
