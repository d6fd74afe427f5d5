// build_views.cc -- operations that move elements.
//
// Those that only rename indices are substitutions: no statement, no copy.  A reshape gives both sides the digits of a
// common factorisation (f32[6,4] as f32[3,8]: 3 x 2 x 4); where there is none (f32[2,3] as f32[3,2]), the operand has to be
// in memory, and its row-major order does the rest.  A repetition (tile) is one more digit, on which nothing depends.
// Joins (concatenate, stack, pad) are maps on the side of the store: several statements write disjoint boxes of one value,
// so that no loop has a guard.
#include <algorithm>
#include "backends/loops/build.h"
#include "jaxpp/ops/rules.h"

namespace jaxpp::loops::fusion {
namespace {
std::size_t sz(std::int64_t n) { return static_cast<std::size_t>(n); }
}  // namespace

void Builder::broadcast_in_dim(Scope& s, const Equation& e) {
  const auto& p = e.params().as<BroadcastParams>();
  const Shape& from = s.jaxpr.type(e.in[0])->shape;
  const Space q = space(s, e.out);
  Subscripts at;
  for (std::size_t i = 0; i < from.size(); ++i)
    at.push_back(from[i] == 1 ? Subscript() : q.at[sz(p.broadcast_dimensions[i])]);
  define(s, e.out, q, get(s, e.in[0], at));
}
void Builder::transpose(Scope& s, const Equation& e) {
  if (commute(s, e)) return;
  const Dims& permutation = e.params().as<TransposeParams>().permutation;
  const Space q = space(s, e.out);
  Subscripts at(permutation.size());
  for (std::size_t i = 0; i < at.size(); ++i) at[sz(permutation[i])] = q.at[i];
  define(s, e.out, q, get(s, e.in[0], at));
}
void Builder::squeeze(Scope& s, const Equation& e) {
  const Space q = space(s, e.out);
  Subscripts at(s.jaxpr.type(e.in[0])->shape.size());
  std::size_t k = 0;
  for (auto d : without(at.size(), e.params().as<DimensionsParams>().dimensions))
    at[sz(d)] = q.at[k++];
  define(s, e.out, q, get(s, e.in[0], at));
}
void Builder::expand_dims(Scope& s, const Equation& e) {
  const Space q = space(s, e.out);
  Subscripts at;
  for (auto d : without(q.at.size(), e.params().as<DimensionsParams>().dimensions))
    at.push_back(q.at[sz(d)]);
  define(s, e.out, q, get(s, e.in[0], at));
}
void Builder::slice(Scope& s, const Equation& e) {
  const auto& p = e.params().as<SliceParams>();
  const Space q = space(s, e.out);
  Subscripts at;
  for (std::size_t i = 0; i < q.at.size(); ++i)
    at.push_back(q.at[i].at * (p.strides ? (*p.strides)[i] : 1) + p.start_indices[i]);
  define(s, e.out, q, get(s, e.in[0], at));
}
void Builder::rev(Scope& s, const Equation& e) {
  const Shape& shape = s.jaxpr.types[e.out]->shape;
  const Space q = space(s, e.out);
  Subscripts at = q.at;
  for (auto d : e.params().as<DimensionsParams>().dimensions)
    at[sz(d)] = q.at[sz(d)].at * -1 + (shape[sz(d)] - 1);
  define(s, e.out, q, get(s, e.in[0], at));
}
void Builder::split(Scope& s, const Equation& e) {
  const auto& p = e.params().as<SplitParams>();
  std::int64_t start = 0;
  for (std::size_t k = 0; k < p.sizes.size(); start += p.sizes[k++]) {
    const Var out = e.out + Var(k);
    if (!used(s, out)) continue;
    const Space q = space(s, out);
    Subscripts at = q.at;
    at[sz(p.axis)].at += start;
    define(s, out, q, p.sizes[k] ? get(s, e.in[0], at) : constant(s.jaxpr.types[out]->dtype, 0));
  }
}
void Builder::unstack(Scope& s, const Equation& e) {
  const auto& p = e.params().as<UnstackParams>();
  for (std::int64_t k = 0; k < p.n; ++k) {
    const Var out = e.out + Var(k);
    if (!used(s, out)) continue;
    const Space q = space(s, out);
    Subscripts at = q.at;
    at.insert(at.begin() + p.axis, Affine(k));
    define(s, out, q, get(s, e.in[0], at));
  }
}
void Builder::tile(Scope& s, const Equation& e) {
  const Dims& reps = e.params().as<TileParams>().reps;
  const Shape &from = s.jaxpr.type(e.in[0])->shape, &to = s.jaxpr.types[e.out]->shape;
  std::vector<Dims> digits(to.size());
  for (std::size_t i = 0; i < to.size(); ++i)
    if (reps[i] > 1 && from[i] > 1) digits[i] = {reps[i], from[i]};
  const Space q = space(to, &digits);
  Subscripts at;
  std::size_t k = 0;
  for (std::size_t i = 0; i < to.size(); k += q.parts[i++])
    at.push_back(from[i] == 1 ? Subscript() : q.fine[k + q.parts[i] - 1]);
  define(s, e.out, q, get(s, e.in[0], at));
}

void Builder::iota(Scope& s, const Equation& e) {
  const auto& p = e.params().as<IotaParams>();
  const Space q = space(s, e.out);
  const Affine& i = q.at[sz(p.dimension)].at;
  define(s, e.out, q,
         is_complex(p.dtype) ? convert(make_index(i64, i), p.dtype) : make_index(p.dtype, i));
}
void Builder::iota_2x32_shape(Scope& s, const Equation& e) {
  const Type t = s.jaxpr.types[e.out];
  for (Var out : {e.out, e.out + 1}) {
    if (!used(s, out)) continue;
    const Space q = space(s, out);
    Affine position;
    for (std::size_t i = 0; i < q.at.size(); ++i) position = position * t->shape[i] + q.at[i].at;
    if (out != e.out)
      define(s, out, q, make_index(u32, position));
    else if (t->size <= std::int64_t(1) << 32)
      define(s, out, q, constant(u32, 0));
    else
      define(s, out, q,
             convert(operation(shift_right_logical_p, u64,
                               {make_index(u64, position), constant(u64, 32)}),
                     u32));
  }
}
void Builder::empty(Scope& s, const Equation& e) {
  define(s, e.out, space(s, e.out), constant(s.jaxpr.types[e.out]->dtype, 0));
}

// ---- reshape
namespace {
// The weight of a position in row-major order, from the last dimension up; sizes of 1 are left out.
void weights(std::span<const std::int64_t> sizes, std::vector<std::int64_t>& out) {
  std::int64_t n = 1;
  for (std::size_t i = sizes.size(); i-- > 0;)
    if (sizes[i] != 1) {
      out.push_back(n);
      n *= sizes[i];
    }
  out.push_back(n);
}
}  // namespace
Variable Builder::reshaped(Scope& s, const Variable& w, const Shape& to) {
  Shape from;
  for (const Dim& d : w.params) from.push_back(d.extent);
  std::vector<std::int64_t> cuts;  // the weights of the digits, least first; then the size
  weights({from.data(), from.size()}, cuts);
  weights({to.data(), to.size()}, cuts);
  std::sort(cuts.begin(), cuts.end());
  cuts.erase(std::unique(cuts.begin(), cuts.end()), cuts.end());
  bool common = true;
  for (std::size_t i = 1; i < cuts.size(); ++i) common &= cuts[i] % cuts[i - 1] == 0;
  if (!common) {  // one dimension in memory
    Variable flat = w;
    flat.parts = {std::uint8_t(w.params.size())};
    flat = unsplit(s, flat);
    const Space q = space(to);
    Affine position;
    for (std::size_t i = 0; i < to.size(); ++i) position = position * to[i] + q.at[i].at;
    const Subscript index(position);
    return {q.params, {}, substitute(flat.e, flat.params, {&index, 1})};
  }
  // to's dimensions in these digits, and where each digit is
  std::vector<Dims> digits;
  std::int64_t base = 1;
  for (std::size_t i = to.size(); i-- > 0; base *= to[i]) {
    Dims own;
    for (std::size_t k = cuts.size() - 1; k-- > 0;)
      if (cuts[k] >= base && cuts[k] < base * to[i]) own.push_back(cuts[k + 1] / cuts[k]);
    digits.insert(digits.begin(), own.size() > 1 ? own : Dims());
  }
  const Space q = space(to, &digits);
  std::map<std::int64_t, Affine> digit;  // by weight
  base = 1;
  for (std::size_t i = q.params.size(); i-- > 0; base *= q.params[i].extent)
    if (q.params[i].extent != 1) digit[base] = q.fine[i].at;
  Subscripts at(from.size());
  base = 1;
  for (std::size_t i = from.size(); i-- > 0; base *= from[i])
    for (auto it = digit.lower_bound(base); it != digit.end() && it->first < base * from[i]; ++it)
      at[i].at += it->second * (it->first / base);
  return {q.params, q.parts, substitute(w.e, w.params, at)};
}
void Builder::reshape(Scope& s, const Equation& e) {
  const auto& p = e.params().as<ReshapeParams>();
  Variable w = variable(s, e.in[0]);
  if (p.dimensions) {  // a transpose first
    std::vector<Dim> params;
    for (auto d : *p.dimensions) {
      std::size_t k = 0, n = w.parts.empty() ? 1 : w.parts[sz(d)];
      for (std::size_t i = 0; i < sz(d); ++i) k += w.parts.empty() ? 1 : w.parts[i];
      params.insert(params.end(), w.params.begin() + std::ptrdiff_t(k),
                    w.params.begin() + std::ptrdiff_t(k + n));
    }
    w.params = std::move(params);
  }
  bind(s, e.out, reshaped(s, w, s.jaxpr.types[e.out]->shape));
}

// ---- Boxes of one value
void Builder::concatenate(Scope& s, const Equation& e) {
  const auto d = sz(e.params().as<ConcatenateParams>().dimension);
  const Type t = s.jaxpr.types[e.out];
  for (const Atom& a : e.in)
    if (s.jaxpr.type(a)->size == t->size) return bind(s, e.out, variable(s, a));
  const int v = value(&s, t->dtype, t->shape);
  std::int64_t start = 0;
  for (const Atom& a : e.in) {
    const Type part = s.jaxpr.type(a);
    if (part->size == 0) continue;
    const Space q = space(s, a);
    Subscripts at = q.at;
    at[d].at += start;
    store(*s.region, {.value = v, .at = std::move(at), .rhs = get(s, a, q.at)}, q.dims);
    start += part->shape[d];
  }
  bind(s, e.out, whole(v));
}
void Builder::stack(Scope& s, const Equation& e) {
  const std::int64_t axis = e.params().as<AxisParams>().axis;
  const Type t = s.jaxpr.types[e.out];
  const int v = value(&s, t->dtype, t->shape);
  for (std::size_t i = 0; i < e.in.size(); ++i) {
    const Space q = space(s, e.in[i]);
    Subscripts at = q.at;
    at.insert(at.begin() + axis, Affine(std::int64_t(i)));
    store(*s.region, {.value = v, .at = std::move(at), .rhs = get(s, e.in[i], q.at)}, q.dims);
  }
  bind(s, e.out, whole(v));
}
void Builder::pad(Scope& s, const Equation& e) {
  const auto& config = e.params().as<PadParams>().padding_config;
  const Shape &from = s.jaxpr.type(e.in[0])->shape, &to = s.jaxpr.types[e.out]->shape;
  // Element first + k of the operand lands on start + step * k, for k < count.
  struct Axis {
    std::int64_t first, count, start, step;
  };
  std::vector<Axis> axes;
  Shape counts;
  bool nothing = false, no_padding = true;
  for (std::size_t i = 0; i < to.size(); ++i) {
    const std::int64_t low = config[i][0], step = config[i][2] + 1;
    const std::int64_t first = low < 0 ? (-low + step - 1) / step : 0;
    const std::int64_t end = to[i] > low ? std::min(from[i], (to[i] - 1 - low) / step + 1) : 0;
    axes.push_back({first, std::max<std::int64_t>(end - first, 0), low + first * step, step});
    counts.push_back(axes[i].count);
    nothing |= axes[i].count == 0;
    no_padding &= axes[i].count == to[i];
  }
  const E padding = get(s, e.in[1], {});
  if (nothing) return define(s, e.out, space(s, e.out), padding);
  const Space q = counts == from ? space(s, e.in[0]) : space(counts);
  Subscripts at, own;
  for (std::size_t i = 0; i < to.size(); ++i) {
    own.push_back(q.at[i].at + axes[i].first);
    at.push_back(q.at[i].at * axes[i].step + axes[i].start);
  }
  if (no_padding) return define(s, e.out, q, get(s, e.in[0], own));

  const int v = value(&s, padding->dtype, to);
  // The frame, axis by axis: axes in front run over the operand's positions, those behind over all.
  for (std::size_t i = 0; i < to.size(); ++i) {
    const Axis& a = axes[i];
    const auto box = [&](std::int64_t start, std::int64_t n, std::int64_t repeats) {
      Shape shape;
      for (std::size_t k = 0; k < to.size(); ++k)
        shape.push_back(k < i ? axes[k].count : k == i ? n : to[k]);
      shape.push_back(repeats);
      if (n <= 0 || repeats <= 0) return;
      const Space b = space(shape);
      Subscripts where(b.at.begin(), b.at.end() - 1);
      for (std::size_t k = 0; k < i; ++k) where[k].at = b.at[k].at * axes[k].step + axes[k].start;
      where[i].at += b.at.back().at * a.step + start;
      store(*s.region, {.value = v, .at = std::move(where), .rhs = padding}, b.dims);
    };
    const std::int64_t end = a.start + (a.count - 1) * a.step + 1;
    box(0, a.start, 1);
    box(a.start + 1, a.step - 1, a.count - 1);
    box(end, to[i] - end, 1);
  }
  store(*s.region, {.value = v, .at = std::move(at), .rhs = get(s, e.in[0], own)}, q.dims);
  bind(s, e.out, whole(v));
}

}  // namespace jaxpp::loops::fusion
