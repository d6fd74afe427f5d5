// views.cc -- operations that move elements and compute none: of several forms that mean the same, always one.
//
// A view of a view is one view where there is a primitive for it; a view that only adds or removes axes of size 1 is an
// expand_dims or a squeeze; views of a broadcast are broadcasts.  So later patterns, and merging, see equal things as equal.
#include <algorithm>
#include <numeric>
#include "backends/passes/local.h"
#include "jaxpp/lax.h"
#include "jaxpp/ops/rules.h"

namespace jaxpp::passes {
namespace {

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

// The axes of `larger` that must have size 1 for it to be `smaller` with those axes put in; none if it is not.
std::optional<Dims> unit_axes(const Shape& larger, const Shape& smaller) {
  Dims added;
  std::size_t k = 0;
  for (std::size_t i = 0; i < larger.size(); ++i) {
    if (k < smaller.size() && larger[i] == smaller[k])
      ++k;
    else if (larger[i] == 1)
      added.push_back(std::int64_t(i));
    else
      return {};
  }
  if (k < smaller.size()) return {};
  return added;
}
Shape without_units(const Shape& s) {
  Shape r;
  for (auto n : s)
    if (n != 1) r.push_back(n);
  return r;
}
bool all_ones(const std::optional<Dims>& strides) {
  return !strides || std::all_of(strides->begin(), strides->end(), [](auto v) { return v == 1; });
}
// Is a an equation that keeps all elements in row-major order?
const Equation* reshape_like(const Local& b, const Atom& a) {
  const Equation* d = b.maker(a);
  if (!d) return nullptr;
  if (d->prim == &squeeze_p || d->prim == &expand_dims_p) return d;
  return d->prim == &reshape_p && !d->params().as<ReshapeParams>().dimensions ? d : nullptr;
}

}  // namespace

template <class P>
Atom Local::view(const Primitive& p, P params, const Atom& x, const Shape& shape) {
  const Type t = make_type(type(x)->dtype, shape);
  Operands in;
  in.push_back(x);
  return Atom::var(
      push({&p, std::make_shared<P>(std::move(params)), p.params, std::move(in), 0, 1, loc_},
           {&t, 1}, true));
}

Atom Local::reshaped(const Atom& from, const Shape& shape) {
  Atom x = from;
  while (const Equation* d = reshape_like(*this, x)) x = Atom(d->in[0]);
  const Shape s = type(x)->shape;
  if (s == shape) return x;
  if (Result v = uniform(*this, x)) return broadcast(*v, shape, {});
  if (const Equation* d = made_by(x, broadcast_in_dim_p)) {
    const Atom source = d->in[0];
    const Dims dims = d->params().as<BroadcastParams>().broadcast_dimensions;
    if (without_units(s) == without_units(shape)) {
      // Axes of the source that go to an axis of size 1 have size 1 themselves: they are dropped.
      std::vector<std::int64_t> to_axis;
      for (std::size_t i = 0; i < shape.size(); ++i)
        if (shape[i] != 1) to_axis.push_back(std::int64_t(i));
      Shape kept;
      Dims moved;
      for (std::size_t i = 0; i < dims.size(); ++i) {
        if (s[at(dims[i])] == 1) continue;
        std::size_t rank = 0;  // among the axes of other sizes
        for (std::int64_t k = 0; k < dims[i]; ++k) rank += s[at(k)] != 1;
        kept.push_back(type(source)->shape[i]);
        moved.push_back(to_axis[rank]);
      }
      return broadcast(reshaped(source, kept), shape, moved);
    }
  }
  if (auto added = unit_axes(shape, s))
    return view(expand_dims_p, DimensionsParams{*added}, x, shape);
  if (auto gone = unit_axes(s, shape)) return view(squeeze_p, DimensionsParams{*gone}, x, shape);
  return view(reshape_p, ReshapeParams{std::nullopt, shape}, x, shape);
}

Atom Local::broadcast(const Atom& from, const Shape& shape, const Dims& dims_of) {
  Atom x = from;
  Dims dims = dims_of;
  for (;;) {
    if (const Equation* d = made_by(x, broadcast_in_dim_p)) {
      Dims through;
      for (auto i : d->params().as<BroadcastParams>().broadcast_dimensions)
        through.push_back(dims[at(i)]);
      x = Atom(d->in[0]);
      dims = through;
    } else if (const Equation* e = made_by(x, expand_dims_p)) {
      const Dims& added = e->params().as<DimensionsParams>().dimensions;
      Dims rest;
      for (std::size_t i = 0; i < dims.size(); ++i)
        if (position(added, std::int64_t(i)) < 0) rest.push_back(dims[i]);
      x = Atom(e->in[0]);
      dims = rest;
    } else {
      break;
    }
  }
  const Type t = type(x), wanted = make_type(t->dtype, shape);
  if (t == wanted && (shape.empty() || dims == iota_dims(shape.size()))) return x;
  if (t->size == wanted->size && !t->shape.empty()) return reshaped(x, shape);
  return view(broadcast_in_dim_p, BroadcastParams{dims, shape}, x, shape);
}

Atom Local::transposed(const Atom& from, const Dims& permutation) {
  Atom x = from;
  Dims p = permutation;
  if (const Equation* d = made_by(x, transpose_p)) {
    const Dims& inner = d->params().as<TransposeParams>().permutation;
    for (auto& i : p) i = inner[at(i)];
    x = Atom(d->in[0]);
  }
  const Shape s = type(x)->shape, shape = pick(s, p);
  Dims order;  // of the axes that are not of size 1
  for (auto i : p)
    if (s[at(i)] != 1) order.push_back(i);
  if (std::is_sorted(order.begin(), order.end())) return reshaped(x, shape);
  const Dims to_axis = inverse(p);
  if (const Equation* d = made_by(x, broadcast_in_dim_p)) {
    const Atom source = d->in[0];
    Dims moved;
    for (auto i : d->params().as<BroadcastParams>().broadcast_dimensions)
      moved.push_back(to_axis[at(i)]);
    Dims by = iota_dims(moved.size());
    std::sort(by.begin(), by.end(), [&](auto i, auto k) { return moved[at(i)] < moved[at(k)]; });
    std::sort(moved.begin(), moved.end());
    return broadcast(transposed(source, by), shape, moved);
  }
  if (const Equation* d = made_by(x, expand_dims_p)) {
    const Dims added = d->params().as<DimensionsParams>().dimensions;
    const Atom source = d->in[0];
    Dims inner;  // the axes of the source, in their new order
    for (auto i : p)
      if (position(added, i) < 0)
        inner.push_back(i -
                        std::count_if(added.begin(), added.end(), [&](auto k) { return k < i; }));
    return reshaped(transposed(source, inner), shape);
  }
  return view(transpose_p, TransposeParams{p}, x, shape);
}

Atom Local::full(Type t, double v) {
  Scope now(nullptr);
  return broadcast(Atom(lax::full(scalar_type(t->dtype), v)), t->shape, {});
}

namespace {

// ---- reshape, squeeze, expand_dims, broadcast_in_dim, transpose
Result one_reshape(const Match& m) {
  const Dims* first = nullptr;
  if (m.e.prim == &reshape_p)
    if (const auto& p = m.params<ReshapeParams>(); p.dimensions) first = &*p.dimensions;
  return m.b.reshaped(first ? m.b.transposed(m.in(0), *first) : m.in(0), m.type->shape);
}
Result one_broadcast(const Match& m) {
  const auto& p = m.params<BroadcastParams>();
  return m.b.broadcast(m.in(0), p.shape, p.broadcast_dimensions);
}
Result one_transpose(const Match& m) {
  return m.b.transposed(m.in(0), m.params<TransposeParams>().permutation);
}

// ---- slice
// A range of one axis: of the operand of a slice, or of what that was made from.
struct Range {
  std::int64_t start, limit, stride;
  std::int64_t size() const { return limit > start ? (limit - start + stride - 1) / stride : 0; }
};
using Ranges = SmallVec<Range, 4>;
Ranges ranges_of(const SliceParams& p) {
  Ranges r;
  for (std::size_t i = 0; i < p.start_indices.size(); ++i)
    r.push_back(Range{p.start_indices[i], p.limit_indices[i], p.strides ? (*p.strides)[i] : 1});
  return r;
}
Atom sliced(Local& b, const Atom& x, const Ranges& ranges) {
  SliceParams p;
  p.strides.emplace();
  for (const Range& r : ranges) {
    p.start_indices.push_back(r.start);
    p.limit_indices.push_back(r.limit);
    p.strides->push_back(r.stride);
  }
  if (all_ones(p.strides)) p.strides.reset();
  return b.add(slice_p, std::move(p), {x});
}
Result whole_slice(const Match& m) {
  if (m.in_type(0) != m.type || !all_ones(m.params<SliceParams>().strides)) return {};
  return m.in(0);
}
Result slice_of_slice(const Match& m) {
  const Equation* d = m.made_by(0, slice_p);
  if (!d) return {};
  Ranges outer = ranges_of(m.params<SliceParams>()),
         inner = ranges_of(d->params().as<SliceParams>());
  for (std::size_t i = 0; i < outer.size(); ++i) {
    const std::int64_t n = outer[i].size();
    const Range in = inner[i];
    inner[i].start = in.start + outer[i].start * in.stride;
    inner[i].stride = in.stride * outer[i].stride;
    inner[i].limit = n ? inner[i].start + (n - 1) * inner[i].stride + 1 : inner[i].start;
  }
  return sliced(m.b, Atom(d->in[0]), inner);
}
Result slice_of_broadcast(const Match& m) {
  const Equation* d = m.made_by(0, broadcast_in_dim_p);
  if (!d) return {};
  const Atom source = d->in[0];
  const Dims dims = d->params().as<BroadcastParams>().broadcast_dimensions;
  const Ranges ranges = ranges_of(m.params<SliceParams>());
  const Shape& s = m.b.type(source)->shape;
  Ranges inner;
  for (std::size_t i = 0; i < dims.size(); ++i)
    inner.push_back(s[i] == 1 ? Range{0, 1, 1} : ranges[at(dims[i])]);
  return m.b.broadcast(dims.empty() ? source : sliced(m.b, source, inner), m.type->shape, dims);
}
Result slice_of_expand_dims(const Match& m) {
  const Equation* d = m.made_by(0, expand_dims_p);
  if (!d) return {};
  const Atom source = d->in[0];
  const Dims added = d->params().as<DimensionsParams>().dimensions;
  const Ranges ranges = ranges_of(m.params<SliceParams>());
  Ranges inner;
  for (std::size_t i = 0; i < ranges.size(); ++i)
    if (position(added, std::int64_t(i)) < 0)
      inner.push_back(ranges[i]);
    else if (ranges[i].size() != 1)
      return {};
  return m.b.reshaped(sliced(m.b, source, inner), m.type->shape);
}
Result slice_of_transpose(const Match& m) {
  const Equation* d = m.made_by(0, transpose_p);
  if (!d) return {};
  const Atom source = d->in[0];
  const Dims p = d->params().as<TransposeParams>().permutation;
  const Ranges ranges = ranges_of(m.params<SliceParams>());
  Ranges inner = ranges;
  for (std::size_t i = 0; i < p.size(); ++i) inner[at(p[i])] = ranges[i];
  return m.b.transposed(sliced(m.b, source, inner), p);
}
Result slice_of_iota(const Match& m) {
  const Equation* d = m.made_by(0, iota_p);
  if (!d) return {};
  IotaParams p = d->params().as<IotaParams>();
  const Range r = ranges_of(m.params<SliceParams>())[at(p.dimension)];
  if (r.start != 0 || r.stride != 1) return {};
  p.shape = m.type->shape;
  return m.b.add(iota_p, std::move(p), {});
}
Result slice_of_concatenate(const Match& m) {
  const Equation* d = m.made_by(0, concatenate_p);
  if (!d) return {};
  const std::size_t axis = at(d->params().as<ConcatenateParams>().dimension);
  Ranges ranges = ranges_of(m.params<SliceParams>());
  Range& r = ranges[axis];
  if (!r.size()) return {};
  const std::int64_t last = r.start + (r.size() - 1) * r.stride;
  std::int64_t from = 0;
  for (const Atom& piece : d->in) {
    const std::int64_t to = from + m.b.type(piece)->shape[axis];
    if (r.start >= from && last < to) {
      r = {r.start - from, last - from + 1, r.stride};
      return sliced(m.b, Atom(piece), ranges);
    }
    from = to;
  }
  return {};
}
Result slice_of_stack(const Match& m) {
  const Equation* d = m.made_by(0, stack_p);
  if (!d) return {};
  const std::size_t axis = at(d->params().as<AxisParams>().axis);
  Ranges ranges = ranges_of(m.params<SliceParams>());
  if (ranges[axis].size() != 1) return {};
  const Atom piece = d->in[at(ranges[axis].start)];
  Ranges rest;
  for (std::size_t i = 0; i < ranges.size(); ++i)
    if (i != axis) rest.push_back(ranges[i]);
  return m.b.reshaped(rest.empty() ? piece : sliced(m.b, piece, rest), m.type->shape);
}
// Inside the operand, or in the padding of one axis.
Result slice_of_pad(const Match& m) {
  const Equation* d = m.made_by(0, pad_p);
  if (!d) return {};
  const auto& config = d->params().as<PadParams>().padding_config;
  const Shape& s = m.b.type(d->in[0])->shape;
  Ranges ranges = ranges_of(m.params<SliceParams>());
  bool inside = true;
  for (std::size_t i = 0; i < ranges.size(); ++i) {
    Range& r = ranges[i];
    if (!r.size() || config[i][2] != 0) return {};
    const std::int64_t low = config[i][0], last = r.start + (r.size() - 1) * r.stride;
    if (last < low || r.start >= low + s[i])
      return m.b.broadcast(Atom(d->in[1]), m.type->shape, {});
    inside = inside && r.start >= low && last < low + s[i];
    r = {r.start - low, last - low + 1, r.stride};
  }
  if (!inside) return {};
  return sliced(m.b, Atom(d->in[0]), ranges);
}

// ---- dynamic slices
// Literal start indices, clamped so that a window of those sizes fits.
std::optional<Dims> known_starts(const Match& m, std::size_t first, const Shape& window) {
  const Shape& s = m.in_type(0)->shape;
  Dims starts;
  for (std::size_t i = 0; i < s.size(); ++i) {
    const auto v = number(m.b, m.in(first + i));
    if (!v) return {};
    starts.push_back(std::clamp<std::int64_t>(std::int64_t(*v), 0, s[i] - window[i]));
  }
  return starts;
}
Result whole_dynamic_slice(const Match& m) {
  return m.in_type(0) == m.type ? Result(m.in(0)) : Result();
}
Result known_dynamic_slice(const Match& m) {
  const Shape& sizes = m.params<DynamicSliceParams>().slice_sizes;
  const auto starts = known_starts(m, 1, sizes);
  if (!starts) return {};
  Ranges r;
  for (std::size_t i = 0; i < sizes.size(); ++i)
    r.push_back(Range{(*starts)[i], (*starts)[i] + sizes[i], 1});
  return sliced(m.b, m.in(0), r);
}
Result whole_update(const Match& m) { return m.in_type(1) == m.type ? Result(m.in(1)) : Result(); }

// ---- rev, concatenate, stack, pad, tile, iota
Result rev_any(const Match& m) {
  Dims dims;
  for (auto i : m.params<DimensionsParams>().dimensions)
    if (m.type->shape[at(i)] != 1) dims.push_back(i);
  Atom x = m.in(0);
  bool found = dims.size() < m.params<DimensionsParams>().dimensions.size();
  if (const Equation* d = m.b.made_by(x, rev_p)) {
    for (auto i : d->params().as<DimensionsParams>().dimensions)
      if (const auto k = position(dims, i); k >= 0)
        dims.erase(at(k));
      else
        dims.push_back(i);
    std::sort(dims.begin(), dims.end());
    x = Atom(d->in[0]);
    found = true;
  } else if (const Equation* v = m.b.made_by(x, broadcast_in_dim_p)) {
    const Dims to = v->params().as<BroadcastParams>().broadcast_dimensions;
    const Atom source = v->in[0];
    Dims inner;
    for (std::size_t i = 0; i < to.size(); ++i)
      if (position(dims, to[i]) >= 0) inner.push_back(std::int64_t(i));
    return m.b.broadcast(inner.empty() ? source : m.b.add(rev_p, DimensionsParams{inner}, {source}),
                         m.type->shape, to);
  }
  if (!found) return {};
  return dims.empty() ? x : m.b.add(rev_p, DimensionsParams{dims}, {x});
}
// Without empty pieces, and with the pieces of pieces.
Result flat_concatenate(const Match& m) {
  const auto& p = m.params<ConcatenateParams>();
  Operands pieces;
  bool found = m.size() == 1;
  for (const Atom& a : m.e.in) {
    const Equation* d = m.b.made_by(a, concatenate_p);
    if (m.b.type(a)->shape[at(p.dimension)] == 0) {
      found = true;
    } else if (d && d->params().as<ConcatenateParams>() == p) {
      pieces.append(d->in.begin(), d->in.end());
      found = true;
    } else {
      pieces.push_back(a);
    }
  }
  if (!found || pieces.empty()) return {};
  return pieces.size() == 1 ? pieces[0] : m.b.add(concatenate_p, p, std::move(pieces));
}
Result same_value_everywhere(const Match& m) {
  const Result v = uniform(m.b, m.in(0));
  if (!v) return {};
  for (const Atom& a : m.e.in) {
    const Result w = uniform(m.b, a);
    if (!w || !same_value(*v, *w)) return {};
  }
  return m.b.broadcast(*v, m.type->shape, {});
}
Result stack_of_equals(const Match& m) {
  for (const Atom& a : m.e.in)
    if (!same_value(a, m.in(0))) return {};
  return m.b.broadcast(m.in(0), m.type->shape,
                       without(m.type->shape.size(), {m.params<AxisParams>().axis}));
}
Result pad_by_nothing(const Match& m) {
  for (const Dims& c : m.params<PadParams>().padding_config)
    if (c != Dims{0, 0, 0}) return {};
  return m.in(0);
}
Result tile_once(const Match& m) {
  if (Result v = uniform(m.b, m.in(0))) return m.b.broadcast(*v, m.type->shape, {});
  return m.in_type(0) == m.type ? Result(m.in(0)) : Result();
}
Result iota_of_one(const Match& m) {
  if (m.type->shape[at(m.params<IotaParams>().dimension)] != 1) return {};
  return m.b.full(m.type, 0);
}

// ---- add_slice: a sum of cotangents, in which a zero stands for nothing
Result add_slice_to_zero(const Match& m) {
  if (!is_number(m.b, m.in(0), 0)) return {};
  const auto& p = m.params<SliceParams>();
  if (m.in_type(1) == m.type && all_ones(p.strides)) return m.in(1);
  PadParams pad;
  const Shape& s = m.in_type(1)->shape;
  for (std::size_t i = 0; i < s.size(); ++i) {
    const std::int64_t stride = p.strides ? (*p.strides)[i] : 1, low = p.start_indices[i];
    if (s[i] == 0) return {};
    pad.padding_config.push_back(
        {low, m.type->shape[i] - low - (s[i] - 1) * stride - 1, stride - 1});
  }
  const Result zero = uniform(m.b, m.in(0));
  return m.b.add(pad_p, std::move(pad), {m.in(1), *zero});
}
Result add_whole_slice(const Match& m) {
  if (m.in_type(1) != m.type || !all_ones(m.params<SliceParams>().strides)) return {};
  return m.b.add(add_any_p, {m.in(0), m.in(1)});
}
Result add_zero_slice(const Match& m) {
  return is_number(m.b, m.in(1), 0) ? Result(m.in(0)) : Result();
}

// ---- add_any: a window of cotangents at a place that only the run knows is added where it belongs
template <std::size_t I>
Result add_window(const Match& m) {
  const Equation* d = m.made_by(I, dynamic_update_slice_p);
  if (!d || m.b.uses(m.in(I)) > 1 || !is_number(m.b, d->in[0], 0)) return {};
  const Atom update = d->in[1];
  Operands read{m.in(1 - I)}, write;
  read.append(d->in.begin() + 2, d->in.end());
  DynamicSliceParams window;
  for (auto n : m.b.type(update)->shape) window.slice_sizes.push_back(n);
  const Atom there = m.b.add(dynamic_slice_p, std::move(window), read);
  write.push_back(m.in(1 - I));
  write.push_back(m.b.add(add_any_p, {there, update}));
  write.append(read.begin() + 1, read.end());
  return m.b.add(dynamic_update_slice_p, std::move(write));
}
template <std::size_t I>
Result add_scattered(const Match& m) {
  const Equation* d = m.made_by(I, scatter_add_p);
  if (!d || m.b.uses(m.in(I)) > 1 || !is_number(m.b, d->in[0], 0)) return {};
  return m.b.add(scatter_add_p, d->params_data, {m.in(1 - I), d->in[1], d->in[2]});
}

// ---- Axes of size 1 that a view added: the view comes after.
Result pad_of_expand_dims(const Match& m) {
  const Equation* d = m.made_by(0, expand_dims_p);
  if (!d) return {};
  const Dims added = d->params().as<DimensionsParams>().dimensions;
  const Atom source = d->in[0];
  PadParams inner;
  const auto& config = m.params<PadParams>().padding_config;
  for (std::size_t i = 0; i < config.size(); ++i)
    if (position(added, std::int64_t(i)) < 0)
      inner.padding_config.push_back(config[i]);
    else if (config[i] != Dims{0, 0, 0})
      return {};
  return m.b.reshaped(m.b.add(pad_p, std::move(inner), {source, m.in(1)}), m.type->shape);
}
Result add_slice_of_expand_dims(const Match& m) {
  const Equation *x = m.made_by(0, expand_dims_p), *y = m.made_by(1, expand_dims_p);
  if (!x || !y) return {};
  Dims both;
  for (auto i : x->params().as<DimensionsParams>().dimensions)
    if (position(y->params().as<DimensionsParams>().dimensions, i) >= 0) both.push_back(i);
  if (both.empty()) return {};
  const Dims kept = without(m.type->shape.size(), both);
  SliceParams p = m.params<SliceParams>();
  p.start_indices = pick(p.start_indices, kept);
  p.limit_indices = pick(p.limit_indices, kept);
  if (p.strides) p.strides = pick(*p.strides, kept);
  const Shape large = pick(m.type->shape, kept), small = pick(m.in_type(1)->shape, kept);
  const Atom to = m.b.reshaped(m.in(0), large);
  return m.b.reshaped(m.b.add(add_slice_p, std::move(p), {to, m.b.reshaped(m.in(1), small)}),
                      m.type->shape);
}

// Slices added one after the other, disjoint and side by side along one axis until nothing is left out: each element is
// added to once.  Onto zeros, a slice may come again: the sum starts with it.
Result add_slices_side_by_side(const Match& m) {
  constexpr std::size_t kMost = 64;
  struct Piece {
    std::int64_t at, size;
    Atom x;
  };
  std::vector<Piece> pieces;  // the last that was added comes first
  std::ptrdiff_t axis = -1;
  std::int64_t covered = 0;
  bool again = false;
  const Shape& whole = m.type->shape;
  const auto take = [&](const Atom& x, const Dims& start) {
    const Shape& s = m.b.type(x)->shape;
    for (std::size_t i = 0; i < s.size(); ++i) {
      if (s[i] == whole[i]) continue;
      if (axis >= 0 && at(axis) != i) return false;
      axis = std::ptrdiff_t(i);
    }
    if (axis < 0) return false;
    Piece p{start[at(axis)], s[at(axis)], x};
    bool known = false;
    for (const Piece& q : pieces) {
      if (p.at + p.size <= q.at || q.at + q.size <= p.at) continue;
      if (p.at != q.at || p.size != q.size) return false;
      known = true;
    }
    again = again || known;
    covered += known ? 0 : p.size;
    pieces.push_back(std::move(p));
    return pieces.size() <= kMost;
  };
  if (!all_ones(m.params<SliceParams>().strides) ||
      !take(m.in(1), m.params<SliceParams>().start_indices))
    return {};
  Atom base = m.in(0);
  bool onto_zeros = false;
  while (covered < whole[at(axis)] || again) {
    const Equation* d = m.b.maker(base);
    if (!d) return {};
    if (d->prim == &pad_p && is_number(m.b, d->in[1], 0)) {
      Dims start;
      for (const Dims& c : d->params().as<PadParams>().padding_config) {
        if (c[0] < 0 || c[1] < 0 || c[2] != 0) return {};
        start.push_back(c[0]);
      }
      if (!take(d->in[0], start)) return {};
      onto_zeros = true;
      break;
    }
    if (d->prim != &add_slice_p || m.b.uses(base) > 1) return {};
    const auto& p = d->params().as<SliceParams>();
    if (!all_ones(p.strides) || !take(d->in[1], p.start_indices)) return {};
    base = Atom(d->in[0]);
  }
  if (covered < whole[at(axis)] || (again && !onto_zeros)) return {};
  std::reverse(pieces.begin(), pieces.end());
  std::stable_sort(pieces.begin(), pieces.end(), [](auto& a, auto& b) { return a.at < b.at; });
  Operands in;
  for (std::size_t i = 0; i < pieces.size();) {
    Atom sum = pieces[i].x;
    std::size_t k = i + 1;
    for (; k < pieces.size() && pieces[k].at == pieces[i].at; ++k)
      sum = m.b.add(add_any_p, {sum, pieces[k].x});
    in.push_back(std::move(sum));
    i = k;
  }
  const Atom all = m.b.add(concatenate_p, ConcatenateParams{axis}, std::move(in));
  return onto_zeros ? all : m.b.add(add_any_p, {base, all});
}
Result concatenate_of_expand_dims(const Match& m) {
  const std::int64_t axis = m.params<ConcatenateParams>().dimension;
  const std::size_t rank = m.type->shape.size();
  for (const Atom& a : m.e.in) {
    if (m.b.type(a)->shape[at(axis)] != 1) return {};
    if (uniform(m.b, a)) continue;
    const Equation* d = m.b.maker(a);
    const bool added =
        d && (d->prim == &expand_dims_p
                  ? position(d->params().as<DimensionsParams>().dimensions, axis) >= 0
                  : d->prim == &broadcast_in_dim_p &&
                        position(d->params().as<BroadcastParams>().broadcast_dimensions, axis) < 0);
    if (!added) return {};
  }
  Operands in;
  for (const Atom& a : m.e.in)
    in.push_back(m.b.reshaped(a, pick(m.b.type(a)->shape, without(rank, {axis}))));
  return m.b.add(stack_p, AxisParams{axis}, std::move(in));
}

constexpr Pattern kPatterns[] = {
    {&reshape_p, "of a reshape, to its own shape; by axes of size 1: expand_dims, squeeze",
     one_reshape},
    {&squeeze_p, "as reshape", one_reshape},
    {&expand_dims_p, "as reshape", one_reshape},
    {&broadcast_in_dim_p, "of a broadcast, to its own shape; to more axes of size 1: expand_dims",
     one_broadcast},
    {&transpose_p,
     "of a transpose, of nothing; of axes of size 1: reshape; of a broadcast: broadcast",
     one_transpose},
    {&slice_p, "the whole", whole_slice},
    {&slice_p, "of a slice", slice_of_slice},
    {&slice_p, "of a broadcast: a broadcast of a slice", slice_of_broadcast},
    {&slice_p, "of expand_dims: first the slice", slice_of_expand_dims},
    {&slice_p, "of a transpose: first the slice", slice_of_transpose},
    {&slice_p, "of iota, from its start: iota", slice_of_iota},
    {&slice_p, "of concatenate, inside one piece: of that piece", slice_of_concatenate},
    {&slice_p, "one entry of stack: that piece", slice_of_stack},
    {&slice_p, "of pad: of the operand, or the padding value", slice_of_pad},
    {&dynamic_slice_p, "the whole", whole_dynamic_slice},
    {&dynamic_slice_p, "with literal indices: slice", known_dynamic_slice},
    {&dynamic_update_slice_p, "of the whole: the update", whole_update},
    {&add_any_p, "0 with an updated window + x: x with that window added to", add_window<0>},
    {&add_any_p, "x + 0 with an updated window", add_window<1>},
    {&add_any_p, "scatter-add to 0 + x: scatter-add to x", add_scattered<0>},
    {&add_any_p, "x + scatter-add to 0", add_scattered<1>},
    {&rev_p, "of rev, of a broadcast, of axes of size 1", rev_any},
    {&concatenate_p, "of one, of concatenate, of nothing", flat_concatenate},
    {&concatenate_p, "of one value: broadcast", same_value_everywhere},
    {&concatenate_p, "of expand_dims along its axis: stack", concatenate_of_expand_dims},
    {&stack_p, "of equal arrays: broadcast", stack_of_equals},
    {&pad_p, "by nothing", pad_by_nothing},
    {&pad_p, "of one value with itself: broadcast", same_value_everywhere},
    {&pad_p, "of expand_dims: first the padding", pad_of_expand_dims},
    {&tile_p, "once, or of one value", tile_once},
    {&iota_p, "along an axis of size 1: 0", iota_of_one},
    {&add_slice_p, "0 + slice: pad", add_slice_to_zero},
    {&add_slice_p, "of two expand_dims: first the sum", add_slice_of_expand_dims},
    {&add_slice_p, "the whole: add_any", add_whole_slice},
    {&add_slice_p, "x + slice of 0 = x", add_zero_slice},
    {&add_slice_p, "side by side until all is covered: add_any of concatenate",
     add_slices_side_by_side},
};
}  // namespace

std::span<const Pattern> view_patterns() { return kPatterns; }

bool forward_pieces(Local& b, const Equation& e, Atom* y) {
  if (e.prim == &unstack_p) {
    const auto& p = e.params().as<UnstackParams>();
    const Equation* d = b.made_by(e.in[0], stack_p);
    if (!d || d->params().as<AxisParams>().axis != p.axis) return false;
    std::copy(d->in.begin(), d->in.end(), y);
    return true;
  }
  if (e.prim == &split_p) {
    const auto& p = e.params().as<SplitParams>();
    const Equation* d = b.made_by(e.in[0], concatenate_p);
    if (!d || d->params().as<ConcatenateParams>().dimension != p.axis ||
        d->in.size() != p.sizes.size())
      return false;
    for (std::size_t i = 0; i < p.sizes.size(); ++i)
      if (b.type(d->in[i])->shape[at(p.axis)] != p.sizes[i]) return false;
    std::copy(d->in.begin(), d->in.end(), y);
    return true;
  }
  return false;
}

}  // namespace jaxpp::passes
