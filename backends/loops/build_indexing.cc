// build_indexing.cc -- windows at computed positions.
//
// A gather reads x at  window + clip(index): a view.  Where an index out of bounds gives a fill value, it is a statement
// that selects.  An update (scatter, dynamic_update_slice, add_slice) writes the same way, into the very value of its
// operand if nobody reads that later; else into a copy.  So a loop that updates its carry costs the update, not the carry.
//
// Windows that combine (scatter-add, ...) may meet, in any order that an executor fixes.  Windows that are set may only if
// indices are unique; otherwise the last one has to win, and a serial loop goes over them.
#include <algorithm>
#include "backends/eager/kernels.h"
#include "backends/loops/build.h"
#include "jaxpp/ops/indexing.h"

namespace jaxpp::loops::fusion {
namespace {

std::size_t sz(std::int64_t n) { return static_cast<std::size_t>(n); }
bool has(const Dims& d, std::size_t i) { return position(d, std::int64_t(i)) >= 0; }
E both(const E& a, const E& b) { return a ? operation(bitwise_and_p, b1, {a, b}) : b; }

// What a gather gives outside of its operand, unless it is told.
Element fill_value(const GatherParams& p, DType d) {
  const auto real = [&](double v) { return Element::of(d, v); };
  if (p.mode == IndexMode::ONE_HOT) return real(0);
  if (!p.fill_value)
    return by_dtype(d, [&](auto t) {
      using T = decltype(t);
      using L = std::numeric_limits<T>;
      if constexpr (std::is_same_v<T, bool>) {
        return real(1);
      } else if constexpr (std::is_integral_v<T>) {
        const T v = std::is_signed_v<T> ? L::min() : L::max();
        return Element::at(d, &v);
      } else {
        return real(std::numeric_limits<double>::quiet_NaN());
      }
    });
  return std::visit(
      [&](auto v) {
        using V = decltype(v);
        return by_dtype(d, [&](auto t) {
          using T = decltype(t);
          if constexpr (is_complex_type<T>) {
            using R = typename T::value_type;
            const std::complex<double> z(v);
            const T x(R(z.real()), R(z.imag()));
            return Element::at(d, &x);
          } else if constexpr (is_complex_type<V>) {
            return real(v.real());
          } else if constexpr (is_half<T>) {
            return real(double(v));
          } else {
            const T x = T(v);
            return Element::at(d, &x);
          }
        });
      },
      *p.fill_value);
}

}  // namespace

// The window at the index vectors of `indices`, as the array with a window for each of them is indexed by `dense`.
// guarded: `inside` says whether it is in bounds; else it is moved there.
Builder::Window Builder::window(Scope& s, const Atom& indices, const GatherDims& d, const Shape& x,
                                const Dims& sizes, const Subscripts& dense, bool guarded) {
  Subscripts batch, in_window;
  for (std::size_t i = 0; i < dense.size(); ++i)
    (has(d.offset_dims, i) ? in_window : batch).push_back(dense[i]);
  Window w;
  std::size_t next = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const std::int64_t paired = position(d.operand_batching_dims, std::int64_t(i)),
                       component = position(d.start_index_map, std::int64_t(i));
    Affine at;
    if (paired >= 0)
      at = batch[sz(d.start_indices_batching_dims[sz(paired)])].at;
    else if (!has(d.collapsed_slice_dims, i))
      at = in_window[next++].at;
    if (component < 0) {
      w.at.push_back(std::move(at));
      continue;
    }
    Subscripts vector = batch;
    vector.push_back(Affine(component));
    const E index = get(s, indices, vector);
    const std::int64_t last = x[i] - sizes[i];
    w.at.push_back(offset(std::move(at), index, 0, last));
    if (!guarded || inside(index, 0, last)) continue;
    const E most = nearest(index->dtype, last);
    if (is_signed(index->dtype))
      w.inside = both(w.inside, operation(ge_p, b1, {index, nearest(index->dtype, 0)}));
    w.inside = both(w.inside, operation(le_p, b1, {index, most}));
  }
  return w;
}

void Builder::gather(Scope& s, const Equation& e) {
  const auto& p = e.params().as<GatherParams>();
  const DType d = s.jaxpr.types[e.out]->dtype;
  const bool moved = p.mode == IndexMode::CLIP || p.mode == IndexMode::PROMISE_IN_BOUNDS;
  const Space q = space(s, e.out);
  const Window w = window(s, e.in[1], p.dimension_numbers, s.jaxpr.type(e.in[0])->shape,
                          p.slice_sizes, q.at, !moved);
  E x = get(s, e.in[0], w.at);
  if (w.inside) x = operation(select_n_p, d, {w.inside, make_constant(fill_value(p, d)), x});
  define(s, e.out, q, x);
}
void Builder::dynamic_slice(Scope& s, const Equation& e) {
  const Shape& shape = s.jaxpr.type(e.in[0])->shape;
  const Dims& sizes = e.params().as<DynamicSliceParams>().slice_sizes;
  const Space q = space(s, e.out);
  Subscripts at;
  for (std::size_t i = 0; i < shape.size(); ++i)
    at.push_back(offset(q.at[i].at, get(s, e.in[1 + i], {}), 0, shape[i] - sizes[i]));
  define(s, e.out, q, get(s, e.in[0], at));
}

// ---- Updates
bool is_update(const Primitive& p) {
  for (auto* u : {&dynamic_update_slice_p, &add_slice_p, &scatter_p, &scatter_add_p, &scatter_sub_p,
                  &scatter_mul_p, &scatter_min_p, &scatter_max_p})
    if (&p == u) return true;
  return false;
}
// Moves equations that read the operand of an update, but do not need the update, in front of it.
void Builder::updates_last(const JaxprBody& j, std::vector<std::uint32_t>& order) {
  constexpr std::size_t kWindow = 512;  // equations looked at
  const auto eqn = [&](std::uint32_t i) -> const Equation& { return j.eqns[i]; };
  if (std::none_of(order.begin(), order.end(),
                   [&](std::uint32_t i) { return is_update(*eqn(i).prim); }))
    return;
  std::vector<std::uint32_t> uses(j.types.size()), marked(j.types.size());  // uses: still to come
  for (std::uint32_t i : order)
    for (const Atom& a : eqn(i).in)
      if (a.is_var()) ++uses[a.var()];
  for (const Atom& a : j.outs)
    if (a.is_var()) uses[a.var()] = ~0u / 2;  // more than can be found
  const auto pass = [&](const Equation& e) {
    for (const Atom& a : e.in)
      if (a.is_var()) --uses[a.var()];
  };
  std::uint32_t mark = 0;
  for (std::size_t i = 0; i < order.size(); ++i) {
    const Equation& u = eqn(order[i]);
    pass(u);
    if (!is_update(*u.prim) || !u.in[0].is_var()) continue;
    const Var x = u.in[0].var();
    std::uint32_t left = uses[x];
    const auto reads = [&](const Equation& e) {
      std::uint32_t n = 0;
      for (const Atom& a : e.in) n += a.is_var() && a.var() == x;
      return n;
    };
    if (left == 0 || left > kWindow) continue;
    // Those behind that need the update.
    ++mark;
    std::vector<std::uint32_t> before, after;
    bool possible = true, effects = false;
    for (std::size_t k = i; k < order.size() && k - i < kWindow && left > 0 && possible; ++k) {
      const Equation& e = eqn(order[k]);
      bool depends = k == i;
      for (const Atom& a : e.in) depends |= a.is_var() && marked[a.var()] == mark;
      const bool effect = has_effects(e);
      depends |= effect && effects;
      if (k > i) {
        const std::uint32_t n = reads(e);
        left -= n;
        possible &= !(depends && n);
      }
      (depends ? after : before).push_back(order[k]);
      if (!depends) continue;
      effects |= effect;
      for (Var v = e.out; v < e.out + e.n_out; ++v) marked[v] = mark;
    }
    if (!possible || left > 0) continue;
    std::copy(before.begin(), before.end(), order.begin() + std::ptrdiff_t(i));
    std::copy(after.begin(), after.end(), order.begin() + std::ptrdiff_t(i + before.size()));
    for (std::uint32_t k : before) pass(eqn(k));
    i += before.size();
  }
}

namespace {
// Does w show every element of its value once?  (Of a reduction: only if it no longer starts by itself.)
bool covers(const Variable& w, const Value& v) {
  if (!is_read(w.e) || !w.parts.empty()) return false;
  for (const Item* d : v.defs)
    if (d->combine != Combine::set && !v.mut) return false;
  std::size_t found = 0, wanted = 0;
  for (const Dim& p : w.params) wanted += p.extent != 1;
  for (std::size_t i = 0; i < v.shape.size(); ++i) {
    if (v.shape[i] == 1) continue;
    bool shown = false;
    for (const Dim& p : w.params) shown |= w.e->at[i].is(p.sym) && p.extent == v.shape[i];
    if (!shown) return false;
    ++found;
  }
  return found == wanted;
}
}  // namespace
Builder::Target Builder::writable(Scope& s, const Equation& e, std::size_t operand) {
  const Atom& a = e.in[operand];
  Variable w = variable(s, a);
  std::size_t uses = 0;
  if (a.is_var())
    for (const Atom& b : e.in) uses += b.is_var() && b.var() == a.var();
  if (uses == 1 && s.last[a.var()] <= s.now && is_read(w.e)) {
    const int v = w.e->read;
    const auto id = std::size_t(v);
    if (covers(w, f_.values[id]) && owners_[id].scope == s.id) {
      // What else shows the value and will be read: small parts of it are kept elsewhere.
      std::vector<Var> still;
      std::int64_t size = 0;
      std::vector<Var> shown = std::move(owners_[id].shown);
      std::sort(shown.begin(), shown.end());
      shown.erase(std::unique(shown.begin(), shown.end()), shown.end());
      for (Var x : shown)
        if (x != a.var() && s.last[x] >= s.now && reads(s.env[x].e, v)) {
          still.push_back(x);
          size += s.jaxpr.types[x]->size;
        }
      owners_[id].shown = shown;
      if (still.empty() || size < s.jaxpr.type(a)->size) {
        for (Var x : still) {
          const std::vector<std::uint8_t> parts = s.env[x].parts;
          Variable kept = whole(materialise(s, s.env[x]));
          kept.parts = parts;
          bind(s, x, std::move(kept));
        }
        owners_[id].shown.clear();
        f_.values[id].mut = true;
        return {std::move(w), v};
      }
    }
  }
  const Type t = s.jaxpr.type(a);
  const int v = value(&s, t->dtype, t->shape);
  f_.values[std::size_t(v)].mut = true;
  const Space q = space(t->shape);
  store(*s.region, {.value = v, .at = q.at, .rhs = get(s, a, q.at), .pinned = true}, q.dims);
  return {whole(v), v};
}
Subscripts Builder::written(const Target& t, const Subscripts& at) const {
  return (*this->at(t.view, at))->at;
}

void Builder::dynamic_update_slice(Scope& s, const Equation& e) {
  const Shape &shape = s.jaxpr.type(e.in[0])->shape, &window = s.jaxpr.type(e.in[1])->shape;
  if (shape == window) return bind(s, e.out, variable(s, e.in[1]));
  const Target t = writable(s, e, 0);
  const Space q = space(s, e.in[1]);
  Subscripts at;
  for (std::size_t i = 0; i < shape.size(); ++i)
    at.push_back(offset(q.at[i].at, get(s, e.in[2 + i], {}), 0, shape[i] - window[i]));
  store(*s.region,
        {.value = t.value, .at = written(t, at), .rhs = get(s, e.in[1], q.at), .pinned = true},
        q.dims);
  bind(s, e.out, t.view);
}
void Builder::add_slice(Scope& s, const Equation& e) {
  const auto& p = e.params().as<SliceParams>();
  const Target t = writable(s, e, 0);
  const Space q = space(s, e.in[1]);
  Subscripts at;
  for (std::size_t i = 0; i < q.at.size(); ++i)
    at.push_back(q.at[i].at * (p.strides ? (*p.strides)[i] : 1) + p.start_indices[i]);
  at = written(t, at);
  const E update = get(s, e.in[1], q.at);
  const E sum = operation(add_p, update->dtype, {make_read(t.value, update->dtype, at), update});
  store(*s.region, {.value = t.value, .at = std::move(at), .rhs = sum, .pinned = true}, q.dims);
  bind(s, e.out, t.view);
}

namespace {
Combine combine_of(const Primitive& p, DType d) {
  if (&p == &scatter_p) return Combine::set;
  const bool logical = is_bool(d);
  if (&p == &scatter_add_p) return logical ? Combine::or_ : Combine::add;
  if (&p == &scatter_sub_p) return logical ? Combine::xor_ : Combine::add;
  if (&p == &scatter_mul_p || &p == &scatter_min_p)
    return logical ? Combine::and_ : &p == &scatter_mul_p ? Combine::mul : Combine::min;
  return logical ? Combine::or_ : Combine::max;
}
}  // namespace
void Builder::scatter(Scope& s, const Equation& e) {
  const auto& p = e.params().as<ScatterParams>();
  const GatherDims d = gather_dims(p.dimension_numbers);
  const Type x = s.jaxpr.type(e.in[0]), updates = s.jaxpr.type(e.in[2]);
  if (updates->size == 0) return bind(s, e.out, variable(s, e.in[0]));
  if (is_complex(x->dtype) && (e.prim == &scatter_max_p || e.prim == &scatter_min_p))
    return call(s, e);
  const bool moved = p.mode == IndexMode::CLIP;  // a promise that is not kept drops the update
  const Combine c = combine_of(*e.prim, x->dtype);
  const Target t = writable(s, e, 0);
  const Space q = space(updates->shape);
  const Window w =
      window(s, e.in[1], d, x->shape, window_sizes(p.dimension_numbers, x->shape, updates->shape),
             q.at, !moved);
  E update = get(s, e.in[2], q.at);
  if (e.prim == &scatter_sub_p && c == Combine::add)
    update = operation(neg_p, update->dtype, {update});

  // Dimensions that the windows of different lanes do not share come first, and those in which windows may collide.
  std::vector<Dim> lanes, meeting, others;
  std::int64_t batch = 0;
  for (std::size_t i = 0; i < q.params.size(); ++i) {
    const bool offset = has(d.offset_dims, i);
    const bool paired = !offset && position(d.start_indices_batching_dims, batch++) >= 0;
    if (q.params[i].extent == 1) continue;
    const bool ordered = !offset && !paired && c == Combine::set && !p.unique_indices;
    (paired ? lanes : ordered ? meeting : others).push_back(q.params[i]);
  }
  Store write{.value = t.value,
              .at = written(t, w.at),
              .rhs = update,
              .combine = c,
              .onto = c != Combine::set,
              .guard = w.inside,
              .pinned = true};
  if (meeting.empty()) {
    lanes.insert(lanes.end(), others.begin(), others.end());
    store(*s.region, std::move(write), std::move(lanes));
  } else {
    std::vector<ItemPtr> loops;
    for (const Dim& m : meeting) {
      ItemPtr loop = structured(Item::Kind::scan);
      loop->var = m.sym;
      loop->extent = m.extent;
      loops.push_back(std::move(loop));
    }
    store(*loops.back()->body, std::move(write), std::move(others));
    for (; loops.size() > 1; loops.pop_back())
      finish(*loops[loops.size() - 2]->body, std::move(loops.back()));
    finish(*s.region, std::move(loops[0]), std::move(lanes));
  }
  bind(s, e.out, t.view);
}

}  // namespace jaxpp::loops::fusion
