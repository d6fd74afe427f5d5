// contraction.cc -- sums and products over axes: reductions and dot_general.
//
// Jacobians are made by pushing a basis through a program: an identity matrix, eq(iota, iota) as numbers.  What meets it is
// diagonal:  d[i,q] = (i = q) w[i,q],  with w as simple as the program.  A sum over q then has one term that counts:
//     sum_q d[i,q] b[q,k]  =  w[i,i] b[i,k]
// and with a one-hot row, (index[i] = q), it is a gather.  These patterns take 0 * x for 0 whatever x is: an infinity or
// NaN in b does not spread to rows that do not touch it.  docs/adr says why this, and only this, is not left as it was.
#include <algorithm>
#include <cmath>
#include <map>
#include "backends/passes/local.h"
#include "jaxpp/ops/rules.h"

namespace jaxpp::passes {
namespace {

using Axis = std::size_t;
Axis at(std::int64_t i) { return static_cast<Axis>(i); }
bool contains(const Dims& d, std::int64_t v) { return position(d, v) >= 0; }
std::int64_t count_below(const Dims& d, std::int64_t v) {
  return std::count_if(d.begin(), d.end(), [v](auto i) { return i < v; });
}

// ---- Reductions
bool idempotent(const Primitive& p) {
  return &p == &reduce_max_p || &p == &reduce_min_p || &p == &reduce_and_p || &p == &reduce_or_p;
}
Atom reduced(Local& b, const Primitive& p, const Atom& x, const Dims& axes) {
  return b.add(p, AxesParams{axes}, {x});
}
Result no_axes(const Match& m) {
  return m.params<AxesParams>().axes.empty() ? Result(m.in(0)) : Result();
}
Result axes_of_one(const Match& m) {
  const Shape& s = m.in_type(0)->shape;
  for (auto i : m.params<AxesParams>().axes)
    if (s[at(i)] != 1) return {};
  return m.b.reshaped(m.in(0), m.type->shape);
}
Result reduce_of_reduce(const Match& m) {
  const Equation* d = m.made_by(0, *m.e.prim);
  const bool rounds = width(m.type->dtype) == 2 && is_float(m.type->dtype);  // in between, too
  if (!d || (rounds && !idempotent(*m.e.prim))) return {};
  const Dims inner = d->params().as<AxesParams>().axes;
  const Dims left = without(m.b.type(d->in[0])->shape.size(), inner);
  Dims axes = inner;
  for (auto i : m.params<AxesParams>().axes) axes.push_back(left[at(i)]);
  std::sort(axes.begin(), axes.end());
  return reduced(m.b, *m.e.prim, Atom(d->in[0]), axes);
}
Result reduce_of_expand_dims(const Match& m) {
  const Equation* d = m.made_by(0, expand_dims_p);
  if (!d) return {};
  const Dims added = d->params().as<DimensionsParams>().dimensions;
  Dims axes;
  for (auto i : m.params<AxesParams>().axes)
    if (!contains(added, i)) axes.push_back(i - count_below(added, i));
  return m.b.reshaped(reduced(m.b, *m.e.prim, Atom(d->in[0]), axes), m.type->shape);
}
Result reduce_of_transpose(const Match& m) {
  const Equation* d = m.made_by(0, transpose_p);
  if (!d) return {};
  const Dims p = d->params().as<TransposeParams>().permutation, axes = m.params<AxesParams>().axes;
  Dims inner, kept;  // axes of the operand: that are reduced; that stay, in the order of the result
  for (std::size_t i = 0; i < p.size(); ++i)
    (contains(axes, std::int64_t(i)) ? inner : kept).push_back(p[i]);
  for (auto& i : kept) i -= count_below(inner, i);
  std::sort(inner.begin(), inner.end());
  return m.b.transposed(reduced(m.b, *m.e.prim, Atom(d->in[0]), inner), kept);
}
// Axes along which all entries are equal: not reduced by max and the like, reduced before the broadcast by all.
Result reduce_of_broadcast(const Match& m) {
  const Equation* d = m.made_by(0, broadcast_in_dim_p);
  if (!d) return {};
  const auto p = d->params().as<BroadcastParams>();
  const Atom source = d->in[0];
  const Dims axes = m.params<AxesParams>().axes;
  const Shape& s = m.b.type(source)->shape;
  Shape shape;  // of the axes that stay in front of the reduction
  Dims dims, inner, after;
  for (std::int64_t i = 0, kept = 0; i < std::int64_t(p.shape.size()); ++i) {
    const std::int64_t k = position(p.broadcast_dimensions, i);
    const bool own = k >= 0 && s[at(k)] == p.shape[at(i)], is_reduced = contains(axes, i);
    if (p.shape[at(i)] == 0) return {};
    if (own || k >= 0 || (is_reduced && !idempotent(*m.e.prim))) {
      // An axis of size 1 that is widened stays as it is unless it is summed over.
      const bool widened = own || (is_reduced && !idempotent(*m.e.prim));
      if (k >= 0) dims.push_back(std::int64_t(shape.size()));
      if (is_reduced) inner.push_back(std::int64_t(shape.size()));
      shape.push_back(widened ? p.shape[at(i)] : 1);
      if (!is_reduced) after.push_back(kept);
    }
    kept += !is_reduced;
  }
  if (shape == p.shape) return {};
  const Atom x = reduced(m.b, *m.e.prim, m.b.broadcast(source, shape, dims), inner);
  return m.b.broadcast(x, m.type->shape, after);
}
// Integers add up exactly, in floats too as long as they fit the mantissa.
Result sum_of_number(const Match& m) {
  const auto c = number(m.b, m.in(0));
  if (!c || *c != std::floor(*c)) return {};
  double n = 1;
  for (auto i : m.params<AxesParams>().axes) n *= double(m.in_type(0)->shape[at(i)]);
  const DType t = m.type->dtype;
  const int bits = t == DType::f64    ? 53
                   : t == DType::f32  ? 24
                   : t == DType::f16  ? 11
                   : t == DType::bf16 ? 8
                                      : int(8 * width(t)) - 1;
  if (std::abs(*c) * n >= std::ldexp(1, std::min(bits, 53))) return {};
  return m.b.full(m.type, *c * n);
}
Result product_of_ones(const Match& m) {
  return is_number(m.b, m.in(0), 1) ? Result(m.b.full(m.type, 1)) : Result();
}

// ---- Diagonals
}  // namespace

std::optional<Ramp> ramp(const Local& b, const Atom& a, int depth) {
  const Equation* d = b.maker(a);
  if (!d || !depth) return {};
  const auto inner = [&](std::size_t i) { return ramp(b, d->in[i], depth - 1); };
  if (d->prim == &iota_p) {
    const Axis axis = at(d->params().as<IotaParams>().dimension);
    const DType t = b.type(a)->dtype;
    if (!is_integer(t) || (width(t) < 4 && b.type(a)->shape[axis] > 127)) return {};
    return Ramp{axis, 0};
  }
  if (d->prim == &convert_element_type_p) {
    const Type from = b.type(d->in[0]), to = b.type(a);
    if (is_integer(from->dtype) && is_integer(to->dtype) && width(to->dtype) >= 4) return inner(0);
    return {};
  }
  if (d->prim == &add_p || d->prim == &sub_p) {
    const bool first = d->prim == &add_p && number(b, d->in[0]);
    const auto c = number(b, d->in[first ? 0 : 1]);
    auto r = c ? inner(first ? 1 : 0) : std::nullopt;
    if (!r || b.type(d->in[first ? 1 : 0]) != b.type(a)) return {};
    r->c += std::int64_t(d->prim == &sub_p ? -*c : *c);
    return r;
  }
  if (d->prim == &expand_dims_p) {
    auto r = inner(0);
    if (r)
      r->axis = at(
          without(b.type(a)->shape.size(), d->params().as<DimensionsParams>().dimensions)[r->axis]);
    return r;
  }
  if (d->prim == &broadcast_in_dim_p) {
    auto r = inner(0);
    if (!r) return {};
    const Axis to = at(d->params().as<BroadcastParams>().broadcast_dimensions[r->axis]);
    if (b.type(d->in[0])->shape[r->axis] != b.type(a)->shape[to]) return {};
    r->axis = to;
    return r;
  }
  if (d->prim == &transpose_p) {
    auto r = inner(0);
    if (r)
      r->axis = at(position(d->params().as<TransposeParams>().permutation, std::int64_t(r->axis)));
    return r;
  }
  return {};
}

namespace {

// The equation behind `a` if a is its bools as numbers: 1 where they hold, 0 elsewhere.
const Equation* comparison(const Local& b, const Atom& a) {
  const Equation* d = b.made_by(a, convert_element_type_p);
  return d && is_bool(b.type(d->in[0])->dtype) ? b.made_by(d->in[0], eq_p) : nullptr;
}

// Where a matrix (of axes p, q of an array) is not zero: on its diagonal.
class Diagonal {
 public:
  Diagonal(Local& b, Axis q) : b_(b), q_(q) {}
  /// The axis p such that a is 0 where the indices along p and q differ; both have the same size.
  std::optional<Axis> of(const Atom& a) { return find(a, q_, kDepth); }
  /// a at index_q = index_p, without axis q: of that shape, or of rank 0.
  Result on(const Atom& a, Axis p) { return restricted(a, p, q_, kDepth); }

 private:
  static constexpr int kDepth = 16;
  std::optional<Axis> find(const Atom& a, Axis q, int depth);
  Result restricted(const Atom& a, Axis p, Axis q, int depth);
  Result build(const Equation& d, Type t, Axis p, Axis q, int depth);

  Local& b_;
  const Axis q_;
  int budget_ = 64;                                     // of equations to look at
  std::map<std::array<std::size_t, 3>, Result> known_;  // variable, p, q
};

std::optional<Axis> Diagonal::find(const Atom& a, Axis q, int depth) {
  const Equation* d = b_.maker(a);
  if (!d || !depth || --budget_ < 0) return {};
  const Shape& s = b_.type(a)->shape;
  const auto inner = [&](std::size_t i) -> std::optional<Axis> {
    const Shape& in = b_.type(d->in[i])->shape;
    if (in.size() != s.size() || in[q] != s[q]) return {};
    const auto p = find(d->in[i], q, depth - 1);
    return p && in[*p] == s[*p] ? p : std::nullopt;
  };
  if (const Equation* e = comparison(b_, a)) {
    const auto x = ramp(b_, e->in[0]), y = ramp(b_, e->in[1]);
    if (!x || !y || x->c != y->c || x->axis == y->axis) return {};
    if (b_.type(e->in[0])->shape.size() != s.size() || b_.type(e->in[1])->shape.size() != s.size())
      return {};
    const Axis p = x->axis == q ? y->axis : x->axis;
    if ((x->axis != q && y->axis != q) || s[p] != s[q]) return {};
    return p;
  }
  if (d->prim == &mul_p) {
    if (auto p = inner(0)) return p;
    return inner(1);
  }
  if (d->prim == &neg_p || d->prim == &div_p) return inner(0);
  if (d->prim == &convert_element_type_p)
    return is_inexact(b_.type(a)->dtype) ? inner(0) : std::nullopt;
  if (d->prim == &add_any_p || d->prim == &add_p || d->prim == &sub_p) {
    const auto p = inner(0);
    return p && p == inner(1) ? p : std::nullopt;
  }
  if (d->prim == &transpose_p) {
    const Dims permutation = d->params().as<TransposeParams>().permutation;
    const auto p = find(d->in[0], at(permutation[q]), depth - 1);
    if (!p) return {};
    return at(position(permutation, std::int64_t(*p)));
  }
  if (d->prim == &expand_dims_p || d->prim == &broadcast_in_dim_p) {
    const Dims to = d->prim == &expand_dims_p
                        ? without(s.size(), d->params().as<DimensionsParams>().dimensions)
                        : d->params().as<BroadcastParams>().broadcast_dimensions;
    const auto k = position(to, std::int64_t(q));
    if (k < 0 || b_.type(d->in[0])->shape[at(k)] != s[q]) return {};
    const auto p = find(d->in[0], at(k), depth - 1);
    if (!p || b_.type(d->in[0])->shape[*p] != s[at(to[*p])]) return {};
    return at(to[*p]);
  }
  return {};
}

Result Diagonal::restricted(const Atom& a, Axis p, Axis q, int depth) {
  const Shape s = b_.type(a)->shape;
  if (s.empty()) return a;
  if (Result v = uniform(b_, a)) return v;
  Shape rest = s;
  rest.erase(q);
  if (s[q] == 1) return b_.reshaped(a, rest);
  if (s[p] == 1) {  // axis q takes the place of p
    Dims order = iota_dims(s.size());
    order.erase(q);
    order[p - (q < p)] = std::int64_t(q);
    Shape moved = s;
    moved.erase(p);
    for (auto& i : order) i -= i > std::int64_t(p);
    return b_.transposed(b_.reshaped(a, moved), order);
  }
  const Equation* d = b_.maker(a);
  if (!d || !depth || --budget_ < 0) return {};
  const auto [it, fresh] = known_.try_emplace({a.var(), p, q});
  if (!fresh) return it->second;
  const Equation copy = *d;  // what is built moves the equations
  return it->second = build(copy, b_.type(a), p, q, depth - 1);
}

Result Diagonal::build(const Equation& d, Type t, Axis p, Axis q, int depth) {
  const Shape& s = t->shape;
  Shape rest = s;
  rest.erase(q);
  if (d.prim == &convert_element_type_p && is_bool(b_.type(d.in[0])->dtype))
    if (const Equation* e = b_.made_by(d.in[0], eq_p)) {
      const auto x = ramp(b_, e->in[0]), y = ramp(b_, e->in[1]);
      if (x && y && x->c == y->c &&
          ((x->axis == p && y->axis == q) || (x->axis == q && y->axis == p)))
        return b_.full(scalar_type(t->dtype), 1);
    }
  if (is_elementwise(*d.prim) && d.prim != &select_n_p && d.prim != &clamp_p) {
    Operands in;
    for (const Atom& a : d.in) {
      Result x = restricted(a, p, q, depth);
      if (!x) return {};
      in.push_back(std::move(*x));
    }
    return b_.add(*d.prim, d.params_data, std::move(in));
  }
  if (d.prim == &transpose_p) {
    const Dims permutation = d.params().as<TransposeParams>().permutation;
    Result x = restricted(d.in[0], at(permutation[p]), at(permutation[q]), depth);
    if (!x || b_.type(*x)->shape.empty()) return x;
    Dims order = permutation;
    order.erase(q);
    for (auto& i : order) i -= i > permutation[q];
    return b_.transposed(*x, order);
  }
  if (d.prim == &expand_dims_p || d.prim == &broadcast_in_dim_p) {
    Dims to = d.prim == &expand_dims_p
                  ? without(s.size(), d.params().as<DimensionsParams>().dimensions)
                  : d.params().as<BroadcastParams>().broadcast_dimensions;
    const Atom source = d.in[0];
    const Shape from = b_.type(source)->shape;
    // The axes of the source that go to p and to q; none where the entries are equal anyway.
    const auto own = [&](Axis axis) {
      const auto k = position(to, std::int64_t(axis));
      return k >= 0 && from[at(k)] == s[axis] ? k : std::int64_t(-1);
    };
    const auto kp = own(p), kq = own(q);
    Atom x = source;
    Dims dims;
    if (kp >= 0 && kq >= 0) {
      const Result inner = restricted(source, at(kp), at(kq), depth);
      if (!inner) return {};
      x = *inner;
      if (b_.type(x)->shape.empty()) return x;
      dims = to;
      dims.erase(at(kq));
    } else {
      // Axes of size 1 that go to p or q go away; if the source has q and not p, its q is the p of the result.
      Dims drop;
      for (Axis axis : {p, q})
        if (const auto k = position(to, std::int64_t(axis)); k >= 0 && own(axis) < 0)
          drop.push_back(k);
      const Dims kept = without(from.size(), drop);
      x = b_.reshaped(source, pick(from, kept));
      for (auto k : kept) dims.push_back(k == kq ? std::int64_t(p) : to[at(k)]);
      Dims order = iota_dims(dims.size());
      std::sort(order.begin(), order.end(),
                [&](auto i, auto k) { return dims[at(i)] < dims[at(k)]; });
      x = b_.transposed(x, order);
      std::sort(dims.begin(), dims.end());
    }
    for (auto& i : dims) i -= i > std::int64_t(q);
    return b_.broadcast(x, rest, dims);
  }
  return {};
}

Result sum_of_diagonal(const Match& m) {
  const Dims axes = m.params<AxesParams>().axes;
  const Shape s = m.in_type(0)->shape;
  const Atom x = m.in(0);
  for (auto q : axes) {
    Diagonal diagonal(m.b, at(q));
    const auto p = diagonal.of(x);
    const Result on = p ? diagonal.on(x, *p) : Result();
    if (!on) continue;
    Shape rest = s;
    rest.erase(at(q));
    const Atom w = m.b.broadcast(*on, rest, iota_dims(m.b.type(*on)->shape.size()));
    Dims others;
    for (auto i : axes)
      if (i != q) others.push_back(i - (i > q));
    return reduced(m.b, *m.e.prim, w, others);
  }
  return {};
}

// ---- dot_general
// One operand and its dimension numbers.
struct Side {
  Atom x;
  Dims contracting, batch;
};
struct Dot {
  Side side[2];
  explicit Dot(const Match& m) {
    const DotDims& d = m.params<DotParams>().dimension_numbers;
    side[0] = {m.in(0), d.lhs_contracting, d.lhs_batch};
    side[1] = {m.in(1), d.rhs_contracting, d.rhs_batch};
  }
  Atom emit(Local& b, const Match& m) const {
    return b.add(dot_general_p,
                 DotParams{{side[0].contracting, side[1].contracting, side[0].batch, side[1].batch},
                           m.params<DotParams>().preferred_element_type},
                 {side[0].x, side[1].x});
  }
};
Dims free_axes(Local& b, const Side& s) {
  return without(b.type(s.x)->shape.size(), s.contracting, s.batch);
}
bool one_dtype(const Match& m) {
  return !is_bool(m.type->dtype) && m.in_type(0)->dtype == m.type->dtype &&
         m.in_type(1)->dtype == m.type->dtype;
}

template <int K>
Result dot_of_transpose(const Match& m) {
  const Equation* d = m.made_by(K, transpose_p);
  if (!d) return {};
  const Dims p = d->params().as<TransposeParams>().permutation;
  Dot dot(m);
  Dims free = free_axes(m.b, dot.side[K]);
  for (auto& i : free) i = p[at(i)];
  if (!std::is_sorted(free.begin(), free.end())) return {};
  dot.side[K].x = d->in[0];
  for (auto& i : dot.side[K].contracting) i = p[at(i)];
  for (auto& i : dot.side[K].batch) i = p[at(i)];
  return dot.emit(m.b, m);
}
// Axes of size 1 of an operand, whatever they are to the product, are put into the result instead.
template <int K>
Result dot_of_expand_dims(const Match& m) {
  const Equation* d = m.made_by(K, expand_dims_p);
  if (!d) return {};
  const Dims added = d->params().as<DimensionsParams>().dimensions;
  const Atom source = d->in[0];
  Dot dot(m);
  Side &mine = dot.side[K], &other = dot.side[1 - K];
  Dims gone;  // axes of the other operand
  const auto drop = [&](Dims& a, Dims& b) {
    for (std::size_t i = a.size(); i-- > 0;)
      if (contains(added, a[i])) {
        gone.push_back(b[i]);
        a.erase(i);
        b.erase(i);
      }
    for (auto& i : a) i -= count_below(added, i);
  };
  drop(mine.contracting, other.contracting);
  drop(mine.batch, other.batch);
  mine.x = source;
  if (!gone.empty()) {
    const Shape s = m.in_type(1 - K)->shape;
    other.x = m.b.reshaped(other.x, pick(s, without(s.size(), gone)));
    for (auto& i : other.contracting) i -= count_below(gone, i);
    for (auto& i : other.batch) i -= count_below(gone, i);
  }
  return m.b.reshaped(dot.emit(m.b, m), m.type->shape);
}
// x, whose axes are (batch..., free...) after that permutation, as one side of a product of that shape.
Atom placed(Local& b, const Shape& shape, const Dot& dot, int side, const Atom& x,
            const Dims& order) {
  const std::size_t nb = dot.side[0].batch.size();
  const std::size_t before = side == 0 ? 0 : free_axes(b, dot.side[0]).size();
  Dims dims;
  for (std::size_t i = 0; i < order.size(); ++i)
    dims.push_back(std::int64_t(i < nb ? i : i + before));
  return b.broadcast(b.transposed(x, order), shape, dims);
}
// A dot_general that sums over nothing: mul.
Atom product(Local& b, const Dot& dot) {
  Shape shape = pick(b.type(dot.side[0].x)->shape, dot.side[0].batch);
  Dims order[2];
  for (int k : {0, 1}) {
    const Dims free = free_axes(b, dot.side[k]);
    const Shape sizes = pick(b.type(dot.side[k].x)->shape, free);
    shape.append(sizes.begin(), sizes.end());
    order[k] = dot.side[k].batch;
    order[k].append(free.begin(), free.end());
  }
  const Atom x = placed(b, shape, dot, 0, dot.side[0].x, order[0]);
  return b.add(mul_p, {x, placed(b, shape, dot, 1, dot.side[1].x, order[1])});
}
// sum over the contracted axes of 1 * y, or a product without a sum.
template <int K>
Result dot_of_number(const Match& m) {
  const Result c = uniform(m.b, m.in(K));
  if (!c || !one_dtype(m)) return {};
  const Dot dot(m);
  const Side& other = dot.side[1 - K];
  const bool one = is_number(m.b, *c, 1);
  if (!other.contracting.empty() && !one) return {};
  Atom y = other.x;
  Dims order = other.batch, free = free_axes(m.b, other);
  order.append(free.begin(), free.end());
  if (!other.contracting.empty()) {
    Dims axes = other.contracting;
    std::sort(axes.begin(), axes.end());
    y = reduced(m.b, reduce_sum_p, y, axes);
    for (auto& i : order) i -= count_below(axes, i);
  }
  y = placed(m.b, m.type->shape, dot, 1 - K, y, order);
  return one ? y : K == 0 ? m.b.add(mul_p, {*c, y}) : m.b.add(mul_p, {y, *c});
}
// With a diagonal operand, the pair of axes (p, of the diagonal; k, contracted on the other side) is a batch axis.
template <int K>
Result dot_of_diagonal(const Match& m) {
  if (!one_dtype(m)) return {};
  Dot dot(m);
  Side &mine = dot.side[K], &other = dot.side[1 - K];
  for (std::size_t i = 0; i < mine.contracting.size(); ++i) {
    const Axis q = at(mine.contracting[i]);
    Diagonal diagonal(m.b, q);
    const auto p = diagonal.of(mine.x);
    if (!p || contains(mine.contracting, std::int64_t(*p)) ||
        contains(mine.batch, std::int64_t(*p)))
      continue;
    const Result on = diagonal.on(mine.x, *p);
    if (!on) continue;
    // Where the axes of the product go: (batch, p, free of the left, free of the right) -> as it was.
    const std::size_t nb = mine.batch.size(), left = free_axes(m.b, dot.side[0]).size();
    const Dims free = free_axes(m.b, mine);
    const std::size_t rank = m.type->shape.size(),
                      now = nb + (K == 0 ? 0 : left) + at(position(free, std::int64_t(*p)));
    Dims to = without(rank, {std::int64_t(now)});
    to.insert(nb, std::int64_t(now));
    const std::int64_t k = other.contracting[i];
    if (mine.contracting.size() == 1 && m.b.type(*on)->shape.empty() && free.size() == 1 &&
        nb == 0) {
      // A multiple of the identity: the other operand, with axis k where p was.
      Dims order = free_axes(m.b, other);
      order.insert(K == 0 ? 0 : order.size(), k);
      const Atom y = m.b.transposed(other.x, order);
      return is_number(m.b, *on, 1) ? y
             : K == 0               ? m.b.add(mul_p, {*on, y})
                                    : m.b.add(mul_p, {y, *on});
    }
    Shape rest = m.b.type(mine.x)->shape;
    rest.erase(q);
    mine.x = m.b.broadcast(*on, rest, iota_dims(m.b.type(*on)->shape.size()));
    mine.contracting.erase(i);
    other.contracting.erase(i);
    for (auto& d : mine.contracting) d -= d > std::int64_t(q);
    for (auto& d : mine.batch) d -= d > std::int64_t(q);
    mine.batch.push_back(std::int64_t(*p) - (*p > q));
    other.batch.push_back(k);
    const Atom y = mine.contracting.empty() ? product(m.b, dot) : dot.emit(m.b, m);
    return m.b.transposed(y, inverse(to));
  }
  return {};
}
Result dot_of_equal_axes(const Match& m) {
  const Dot dot(m);
  const Dims all = iota_dims(m.type->shape.size());
  const bool same = one_dtype(m) && dot.side[0].batch == all && dot.side[1].batch == all &&
                    m.in_type(0) == m.type && m.in_type(1) == m.type;
  return same ? Result(m.b.add(mul_p, {m.in(0), m.in(1)})) : Result();
}
// (index = iota along the contracted axis) selects entries of the other operand; where no entry is meant, the sum is 0.
template <int K>
Result dot_of_one_hot(const Match& m) {
  const Dot dot(m);
  const Side &mine = dot.side[K], &other = dot.side[1 - K];
  if (mine.contracting.size() != 1 || !mine.batch.empty() || !one_dtype(m)) return {};
  const Equation* e = comparison(m.b, mine.x);
  if (!e) return {};
  const Axis q = at(mine.contracting[0]), k = at(other.contracting[0]);
  const Shape s = m.in_type(K)->shape;
  for (int i : {0, 1}) {
    const auto r = ramp(m.b, e->in[i]);
    if (!r || r->axis != q || r->c != 0 || m.b.type(e->in[i])->shape.size() != s.size()) continue;
    Atom index = e->in[1 - i];
    Shape rest = s;  // of what the index depends on
    rest.erase(q);
    const Shape& of = m.b.type(index)->shape;
    if (const Equation* v = m.b.made_by(index, broadcast_in_dim_p)) {
      const auto axis =
          position(v->params().as<BroadcastParams>().broadcast_dimensions, std::int64_t(q));
      if (axis >= 0 && m.b.type(v->in[0])->shape[at(axis)] != 1) return {};
      Dims dims;
      const Dims all = v->params().as<BroadcastParams>().broadcast_dimensions;
      Atom source = v->in[0];
      if (axis >= 0) {
        Shape small = m.b.type(source)->shape;
        small.erase(at(axis));
        source = m.b.reshaped(source, small);
      }
      for (auto d : all)
        if (d != std::int64_t(q)) dims.push_back(d - (d > std::int64_t(q)));
      index = m.b.broadcast(source, rest, dims);
    } else if (!of.empty()) {
      if (of[q] != 1) return {};
      Shape small = of;
      small.erase(q);
      index = m.b.reshaped(index, small);
    }
    index = m.b.broadcast(index, rest, iota_dims(m.b.type(index)->shape.size()));
    Shape column = rest;
    column.push_back(1);
    const Shape of_other = m.b.type(other.x)->shape;
    GatherParams g;
    for (std::size_t d = 0; d + 1 < of_other.size(); ++d)
      g.dimension_numbers.offset_dims.push_back(std::int64_t(rest.size() + d));
    g.dimension_numbers.collapsed_slice_dims = {std::int64_t(k)};
    g.dimension_numbers.start_index_map = {std::int64_t(k)};
    g.mode = IndexMode::FILL_OR_DROP;
    g.fill_value = Number(std::int64_t(0));
    g.slice_sizes = of_other;
    g.slice_sizes[k] = 1;
    Atom y = m.b.add(gather_p, std::move(g), {other.x, m.b.reshaped(index, column)});
    if (K == 0) return y;
    Dims order;  // the free axes of the other operand first
    for (std::size_t d = 0; d + 1 < of_other.size(); ++d)
      order.push_back(std::int64_t(rest.size() + d));
    for (std::size_t d = 0; d < rest.size(); ++d) order.push_back(std::int64_t(d));
    return m.b.transposed(y, order);
  }
  return {};
}

// The operands change places, and with them the axes of the result.  Only instead of the product, not besides it.
Result transpose_of_dot(const Match& m) {
  const Equation* d = m.made_by(0, dot_general_p);
  if (!d || m.b.uses(m.in(0)) > 1) return {};
  DotParams p = d->params().as<DotParams>();
  DotDims& n = p.dimension_numbers;
  const std::size_t rank = m.type->shape.size(), batch = n.lhs_batch.size(),
                    left = m.b.type(d->in[0])->shape.size() - batch - n.lhs_contracting.size();
  Dims swapped = iota_dims(rank);
  std::rotate(swapped.begin() + batch, swapped.begin() + batch + left, swapped.end());
  if (m.params<TransposeParams>().permutation != swapped) return {};
  std::swap(n.lhs_batch, n.rhs_batch);
  std::swap(n.lhs_contracting, n.rhs_contracting);
  const Atom x = d->in[0], y = d->in[1];
  return m.b.add(dot_general_p, std::move(p), {y, x});
}

constexpr const char* kNoAxes = "over no axes";
constexpr const char* kOnes = "over axes of size 1";
constexpr const char* kTwice =
    "of the same reduction: over all axes at once, not where halves round in between";
constexpr const char* kExpand = "of expand_dims: first the reduction";
constexpr const char* kTranspose = "of a transpose: first the reduction";
constexpr const char* kBroadcast =
    "of a broadcast: first the reduction of the axes that are not equal entries";
#define EVERY_REDUCTION(what, f)                                                      \
  {&reduce_sum_p, what, f}, {&reduce_max_p, what, f}, {&reduce_min_p, what, f},       \
      {&reduce_prod_p, what, f}, {&reduce_and_p, what, f}, {&reduce_or_p, what, f}, { \
    &reduce_xor_p, what, f                                                            \
  }
constexpr Pattern kPatterns[] = {
    EVERY_REDUCTION(kNoAxes, no_axes),
    EVERY_REDUCTION(kOnes, axes_of_one),
    EVERY_REDUCTION(kTwice, reduce_of_reduce),
    EVERY_REDUCTION(kExpand, reduce_of_expand_dims),
    EVERY_REDUCTION(kTranspose, reduce_of_transpose),
    {&reduce_sum_p, "of one integer n times: n times it", sum_of_number},
    {&reduce_prod_p, "of ones: 1", product_of_ones},
    EVERY_REDUCTION(kBroadcast, reduce_of_broadcast),
    {&reduce_sum_p, "of a diagonal: the diagonal (0 * x = 0)", sum_of_diagonal},
    {&transpose_p, "of dot_general: its operands change places", transpose_of_dot},
    {&dot_general_p, "of a transpose: other dimension numbers", dot_of_transpose<0>},
    {&dot_general_p, "of a transpose: other dimension numbers", dot_of_transpose<1>},
    {&dot_general_p, "of expand_dims: first the product", dot_of_expand_dims<0>},
    {&dot_general_p, "of expand_dims: first the product", dot_of_expand_dims<1>},
    {&dot_general_p, "with ones: a sum; with a number, without a sum: mul", dot_of_number<0>},
    {&dot_general_p, "with ones: a sum; with a number, without a sum: mul", dot_of_number<1>},
    {&dot_general_p, "with a diagonal: scaling, or a copy (0 * x = 0)", dot_of_diagonal<0>},
    {&dot_general_p, "with a diagonal: scaling, or a copy (0 * x = 0)", dot_of_diagonal<1>},
    {&dot_general_p, "with one-hot rows: gather (0 * x = 0)", dot_of_one_hot<0>},
    {&dot_general_p, "with one-hot rows: gather (0 * x = 0)", dot_of_one_hot<1>},
    {&dot_general_p, "of batch axes alone: mul", dot_of_equal_axes},
};
#undef EVERY_REDUCTION
}  // namespace

std::span<const Pattern> contraction_patterns() { return kPatterns; }

}  // namespace jaxpp::passes
