// index.cc -- x(...): numpy's index expressions.
//
// Integers, slices, None and Ellipsis become slice, rev, squeeze and expand_dims, whose transposes add to a part of the
// cotangent in place.  Index arrays become one gather or scatter: arrays and integers are the components of its index
// vectors, slices of step 1 its windows, other slices arrays of their own.  Numbers that C++ knows are checked; arrays
// wrap negative values, reads beyond the ends are clamped.
#include "jaxpp/core/index.h"
#include <algorithm>
#include <limits>
#include "jaxpp/lax.h"

namespace jaxpp {
using namespace internal;
namespace internal {
namespace {

[[noreturn]] void index_error(const std::string& what, Loc loc) {
  fail<TypeError>("index: " + what, loc, "E50");
}

// numpy's start:stop:step on a dimension of size n.
IndexItem resolve_slice(const Slice& s, std::int64_t dim, std::int64_t n, Loc loc) {
  if (s.step == 0) index_error("a slice needs a step other than 0.", loc);
  const std::int64_t step = std::clamp(s.step, -n - 1, n + 1);
  const std::int64_t low = step > 0 ? 0 : -1, high = step > 0 ? n : n - 1;
  auto bound = [&](const Slice::Bound& b, std::int64_t open) {
    return b.open ? open : std::clamp(b.value < 0 ? b.value + n : b.value, low, high);
  };
  std::int64_t start = bound(s.start, step > 0 ? low : high);
  const std::int64_t stop = bound(s.stop, step > 0 ? high : low);
  const std::int64_t count = std::max<std::int64_t>(
      0, step > 0 ? (stop - start + step - 1) / step : (start - stop - step - 1) / -step);
  if (count == 0) start = 0;
  return {IndexItem::range, dim, start, count, count <= 1 ? 1 : step};
}

// The positions of the true elements of a mask, one array for each of its dimensions.
std::vector<Array> nonzero(const Array& mask) {
  const Shape& shape = mask.shape();
  const bool* m = mask.data<bool>();
  const std::int64_t n = mask.size(), count = std::count(m, m + n, true);
  std::vector<Array> positions;
  std::int64_t below = n;
  for (auto size : shape) {
    if (size) below /= size;
    Array p = Array::make(make_type(i64, {count}));
    std::int64_t* to = p.data<std::int64_t>();
    for (std::int64_t i = 0; i < n; ++i)
      if (m[i]) *to++ = i / below % size;
    positions.push_back(p);
  }
  return positions;
}
std::string axis_of(const Array& x, std::int64_t dim) {
  return "axis " + std::to_string(dim) + " of " + x.type()->str();
}

void resolve_array(const Array& x, const Index& i, std::int64_t& dim, IndexItems& out) {
  out.arrays = true;
  if (!i.indices.defined()) index_error("an index array is null.", i.loc);
  const DType d = i.indices.dtype();
  if (is_integer(d)) {
    out.add({.kind = IndexItem::indices, .dim = dim++, .array = i.indices});
    return;
  }
  if (!is_bool(d))
    index_error("an index array holds integers or bools, not " + i.indices.type()->str() + ".",
                i.loc);
  if (!i.indices.concrete())
    fail<ConcretizationError>(
        "index: the elements of the mask " + i.indices.type()->str() +
            " are not known, so the shape of the result is not either.",
        i.loc, "E52", "Use where(mask, x, other), or x.at(mask).set(v) with one v for all.");
  const Shape& mask = i.indices.shape();
  for (std::size_t k = 0; k < mask.size(); ++k)
    if (mask[k] != x.shape()[std::size_t(dim) + k])
      index_error("the mask " + i.indices.type()->str() + " does not fit " +
                      axis_of(x, dim + std::int64_t(k)) + ".",
                  i.loc);
  if (mask.empty()) {  // a new axis of size 1 or 0
    const std::int64_t n = *i.indices.data<bool>();
    out.add({.kind = IndexItem::indices, .array = lax::full(make_type(i64, {n}), 0)});
    return;
  }
  for (const Array& p : nonzero(i.indices))
    out.add({.kind = IndexItem::indices, .dim = dim++, .array = p});
}

}  // namespace

IndexItems resolve_index(const Array& x, std::span<const Index> index, Loc loc) {
  std::int64_t taken = 0, ellipses = 0;
  for (const Index& i : index) {
    if (i.kind == Index::integer || i.kind == Index::slice) ++taken;
    if (i.kind == Index::array && i.indices.defined())
      taken += is_bool(i.indices.dtype()) ? i.indices.ndim() : 1;
    ellipses += i.kind == Index::ellipsis;
  }
  if (ellipses > 1) index_error("more than one Ellipsis.", loc);
  if (taken > x.ndim())
    index_error("too many indices: " + std::to_string(taken) + " for " + x.type()->str() + ".",
                loc);
  IndexItems out;
  std::int64_t dim = 0;
  auto whole_axes = [&] {
    for (std::int64_t n = x.ndim() - taken; n > 0; --n, ++dim)
      out.add({.kind = IndexItem::range, .dim = dim, .count = x.shape()[std::size_t(dim)]});
  };
  for (const Index& i : index) switch (i.kind) {
      case Index::integer: {
        const std::int64_t n = x.shape()[std::size_t(dim)],
                           at = i.value < 0 ? i.value + n : i.value;
        if (at < 0 || at >= n)
          index_error(std::to_string(i.value) + " is out of range for " + axis_of(x, dim) + ".",
                      i.loc);
        out.add({.kind = IndexItem::point, .dim = dim++, .start = at});
        break;
      }
      case Index::slice:
        out.add(resolve_slice(i.range, dim, x.shape()[std::size_t(dim)], i.loc));
        ++dim;
        break;
      case Index::new_axis: out.add({.kind = IndexItem::new_axis}); break;
      case Index::ellipsis: whole_axes(); break;
      case Index::array: resolve_array(x, i, dim, out); break;
    }
  if (!ellipses) whole_axes();
  return out;
}

// ---- Integers and slices

IndexBox box_of(const Array& x, const IndexItems& items) {
  IndexBox b;
  for (const IndexItem& i : items) {
    if (i.kind == IndexItem::new_axis) {
      b.added.push_back(std::int64_t(b.result.size()));
      b.result.push_back(1);
      continue;
    }
    const std::int64_t last = i.start + (i.count - 1) * i.step,
                       low = i.count ? std::min(i.start, last) : 0;
    const std::int64_t stride = std::abs(i.step), n = x.shape()[std::size_t(i.dim)];
    b.start.push_back(low);
    b.limit.push_back(i.count ? std::max(i.start, last) + 1 : 0);
    b.stride.push_back(stride);
    b.sizes.push_back(i.count);
    b.unit &= stride == 1;
    b.whole &= i.count == n;
    if (i.step < 0) b.reversed.push_back(i.dim);
    if (i.kind == IndexItem::point)
      b.points.push_back(i.dim);
    else
      b.result.push_back(i.count);
  }
  return b;
}
Array read_box(const Array& x, const IndexBox& b, Loc loc) {
  Array y = x;
  if (!b.whole) y = lax::slice(y, b.start, b.limit, b.unit ? Dims{} : b.stride, loc);
  if (!b.reversed.empty()) y = lax::rev(y, b.reversed, loc);
  if (!b.points.empty()) y = lax::squeeze(y, b.points, loc);
  if (!b.added.empty()) y = lax::expand_dims(y, b.added, loc);
  return y;
}

// ---- Index arrays
namespace {
// Integers in one type wide enough for positions in x, negative ones counted from the end.
Array positions(const Array& a, std::int64_t n, DType d, Loc loc) {
  const bool may_wrap = is_signed(a.dtype());
  const Array p = lax::convert_element_type(a, d, loc);
  if (!may_wrap) return p;
  if (p.concrete()) {
    auto none_negative = [&]<class I>(const I* v) {
      return std::none_of(v, v + p.size(), [](I i) { return i < 0; });
    };
    if (d == i32 ? none_negative(p.data<std::int32_t>()) : none_negative(p.data<std::int64_t>()))
      return p;
  }
  auto constant = [&](std::int64_t v) { return lax::full(scalar_type(d), double(v), loc); };
  return lax::select(lax::lt(p, constant(0), loc), lax::add(p, constant(n), loc), p, loc);
}
DType position_type(const Array& x, const IndexItems& items) {
  bool wide = false;
  for (auto n : x.shape()) wide |= n > std::numeric_limits<std::int32_t>::max();
  for (const IndexItem& i : items)
    if (i.kind == IndexItem::indices) wide |= width(i.array.dtype()) == 8 || i.array.dtype() == u32;
  return wide ? i64 : i32;
}
Shape broadcast(const Shape& a, const Shape& b, Loc loc) {
  Shape s(std::max(a.size(), b.size()), 1);
  for (std::size_t i = 0; i < s.size(); ++i) {
    const std::int64_t m = i < a.size() ? a[a.size() - 1 - i] : 1,
                       n = i < b.size() ? b[b.size() - 1 - i] : 1;
    if (m != n && m != 1 && n != 1)
      index_error("index arrays of shapes " + to_string(a) + " and " + to_string(b) +
                      " do not broadcast together.",
                  loc);
    s[s.size() - 1 - i] = m == 1 ? n : m;
  }
  return s;
}

}  // namespace

IndexWindows windows_of(const Array& x, const IndexItems& items, Loc loc) {
  // Where the common dimensions of index arrays stand (numpy's rule): in place of the arrays if they, and the integers
  // among them, are neighbours; in front otherwise.
  Shape block;
  std::int64_t first = -1, last = -1, advanced = 0;
  for (std::int64_t k = 0; k < std::int64_t(items.size()); ++k) {
    const IndexItem& i = items[std::size_t(k)];
    if (i.kind == IndexItem::indices) block = broadcast(block, i.array.shape(), loc);
    if (i.kind != IndexItem::indices && i.kind != IndexItem::point) continue;
    if (first < 0) first = k;
    last = k;
    ++advanced;
  }
  const bool front = last - first + 1 != advanced;

  IndexWindows w;
  Shape batch;                                           // leading dimensions of the index vectors
  std::int64_t block_at = -1;                            // the block among them
  SmallVec<std::int64_t, 6> batch_at(items.size(), -1);  // of a strided slice
  auto place_block = [&] {
    block_at = std::int64_t(batch.size());
    batch.append(block.begin(), block.end());
    w.shape.append(block.begin(), block.end());
    w.result.append(block.begin(), block.end());
    for (auto n : block) w.unique &= n <= 1;
  };
  w.sizes.resize(x.shape().size(), 1);
  if (front) place_block();
  for (std::size_t k = 0; k < items.size(); ++k) {
    const IndexItem& i = items[k];
    if (i.kind == IndexItem::new_axis) {
      w.added.push_back(std::int64_t(w.result.size()));
      w.result.push_back(1);
    } else if (i.kind == IndexItem::range) {
      if (i.step == 1) {
        w.dims.offset_dims.push_back(std::int64_t(w.shape.size()));
        w.sizes[std::size_t(i.dim)] = i.count;
      } else {
        batch_at[k] = std::int64_t(batch.size());
        batch.push_back(i.count);
        w.dims.collapsed_slice_dims.push_back(i.dim);
      }
      w.shape.push_back(i.count);
      w.result.push_back(i.count);
    } else {
      if (!front && std::int64_t(k) == first) place_block();
      if (i.dim >= 0) w.dims.collapsed_slice_dims.push_back(i.dim);
    }
  }

  const DType d = position_type(x, items);
  Shape full = batch;
  full.push_back(1);
  auto constant = [&](std::int64_t v) { return lax::full(make_type(d, full), double(v), loc); };
  Results parts;
  for (std::size_t k = 0; k < items.size(); ++k) {
    const IndexItem& i = items[k];
    if (i.dim < 0) continue;
    const std::int64_t n = x.shape()[std::size_t(i.dim)];
    if (i.kind == IndexItem::range && i.step == 1 && (i.count == n || i.count == 0)) continue;
    w.dims.start_index_map.push_back(i.dim);
    if (i.kind == IndexItem::indices) {
      const Array p = positions(i.array, n, d, loc);
      Dims to;
      for (int a = 0; a < p.ndim(); ++a)
        to.push_back(block_at + std::int64_t(block.size()) - p.ndim() + a);
      parts.push_back(lax::broadcast_in_dim(p, full, to, loc));
    } else if (i.step == 1) {
      parts.push_back(constant(i.start));
    } else {
      auto number = [&](std::int64_t v) { return lax::full(scalar_type(d), double(v), loc); };
      const Array steps = lax::mul(lax::iota(d, full, batch_at[k], loc), number(i.step), loc);
      parts.push_back(lax::add(steps, number(i.start), loc));
    }
  }
  if (parts.empty()) {
    full.back() = 0;
    w.indices = lax::full(make_type(d, full), 0, loc);
  } else {
    w.indices = parts.size() == 1 ? parts[0]
                                  : lax::concatenate(args(parts), std::int64_t(batch.size()), loc);
  }
  std::sort(w.dims.collapsed_slice_dims.begin(), w.dims.collapsed_slice_dims.end());
  return w;
}

namespace {
// x(i, 2:4, j) with integers that only run time knows: a dynamic slice.
bool is_dynamic_box(const IndexItems& items) {
  return std::all_of(items.begin(), items.end(), [](const IndexItem& i) {
    return i.step == 1 && (i.kind != IndexItem::indices || (i.dim >= 0 && i.array.ndim() == 0));
  });
}
Array read_dynamic_box(const Array& x, const IndexItems& items, Loc loc) {
  const DType d = position_type(x, items);
  Results starts;
  Dims sizes, squeezed, added;
  std::int64_t rank = 0;
  for (const IndexItem& i : items) {
    if (i.kind == IndexItem::new_axis) added.push_back(rank);
    rank += i.kind == IndexItem::new_axis || i.kind == IndexItem::range;
    if (i.dim < 0) continue;
    starts.push_back(i.kind == IndexItem::indices
                         ? positions(i.array, x.shape()[std::size_t(i.dim)], d, loc)
                         : lax::full(scalar_type(d), double(i.start), loc));
    sizes.push_back(i.count);
    if (i.kind != IndexItem::range) squeezed.push_back(i.dim);
  }
  Array y = lax::squeeze(lax::dynamic_slice(x, args(starts), sizes, loc), squeezed, loc);
  return added.empty() ? y : lax::expand_dims(y, added, loc);
}

}  // namespace
}  // namespace internal

Index::Index(std::initializer_list<int> a, Loc l)
    : kind(array), indices(Array(std::span<const int>(a.begin(), a.size()))), loc(l) {}

Array index(const Array& x, std::span<const Index> i, Loc loc) {
  using namespace internal;
  if (!x.defined()) index_error("the array is null.", loc);
  const IndexItems items = resolve_index(x, i, loc);
  if (!items.arrays) return read_box(x, box_of(x, items), loc);
  if (is_dynamic_box(items)) return read_dynamic_box(x, items, loc);
  const IndexWindows w = windows_of(x, items, loc);
  const Array y = lax::gather(x, w.indices,
                              {.dimension_numbers = w.dims,
                               .fill_value = {},
                               .indices_are_sorted = false,
                               .mode = IndexMode::PROMISE_IN_BOUNDS,
                               .slice_sizes = w.sizes,
                               .unique_indices = w.unique},
                              loc);
  return w.added.empty() ? y : lax::expand_dims(y, w.added, loc);
}

Array Array::operator()(const Index& a) const { return index(*this, {&a, 1}, a.loc); }
Array Array::operator()(const Index& a, const Index& b) const {
  const Index i[] = {a, b};
  return index(*this, i, a.loc);
}
Array Array::operator()(const Index& a, const Index& b, const Index& c) const {
  const Index i[] = {a, b, c};
  return index(*this, i, a.loc);
}
Array Array::operator()(const Index& a, const Index& b, const Index& c, const Index& d) const {
  const Index i[] = {a, b, c, d};
  return index(*this, i, a.loc);
}
Array Array::operator()(const Index& a, const Index& b, const Index& c, const Index& d,
                        const Index& e) const {
  const Index i[] = {a, b, c, d, e};
  return index(*this, i, a.loc);
}
}  // namespace jaxpp
