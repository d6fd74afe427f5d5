// diagonals.cc -- arrays that are made from an identity matrix element by element, written as what they are.
//
// A Jacobian by vmap pushes a basis, eq(iota, iota), through a program.  Where elements depend on few neighbours, what
// comes of it has one value off some diagonals and another on each of them:
//     x[i, j]  =  on_c[j]  where i = j + c,  rest[j]  elsewhere
// Elementwise operations, views and paddings of such arrays are the same operations on `rest` and each `on`, which lack
// an axis: n numbers, not n^2.  This pass follows them through the program, and where one is stored (a result, or the
// operand of a kernel) makes it from these parts, by a broadcast and a scatter for each diagonal.  Exact: every element
// comes from the same operations on the same numbers, 0 * inf included.  Readers that fuse keep the dense program.
#include <algorithm>
#include <map>
#include <unordered_map>
#include "backends/passes/local.h"
#include "backends/passes/passes.h"
#include "jaxpp/core/rewrite.h"
#include "jaxpp/ops/rules.h"

namespace jaxpp::passes {
namespace {

using Axis = std::size_t;
using Offset = std::int64_t;
constexpr std::size_t kMost = 16;    // diagonals of an array
constexpr std::int64_t kSparse = 8;  // an axis is that many times longer; at least 2

Axis at(std::int64_t i) { return static_cast<Axis>(i); }

// Where index_a = index_b + c it is on[c], elsewhere `rest`.  These have the array's rank (or 0) and size 1 along what
// they do not depend on: always along a, or always along b.
struct Banded {
  Axis a, b;
  Atom rest;
  std::map<Offset, Atom> on;

  const Atom& along(Offset c) const {
    const auto it = on.find(c);
    return it == on.end() ? rest : it->second;
  }
};
using Form = std::optional<Banded>;

// One operand of an equation: banded (after `offset` was added to what is meant by its diagonals), or the same for all.
struct Operand {
  const Banded* banded = nullptr;
  Atom plain;
  Offset offset = 0;
  const Atom& along(Offset c) const { return banded ? banded->along(c - offset) : plain; }
  const Atom& rest() const { return banded ? banded->rest : plain; }
};

class Diagonals {
 public:
  explicit Diagonals(const JaxprBody& from) : from_(from), b_(from, kFold | kSimplify | kMerge) {}
  JaxprPtr run();

 private:
  Type type(const Atom& a) const { return b_.type(a); }
  const Banded* form(const Atom& old) const {
    const auto it = old.is_var() ? forms_.find(old.var()) : forms_.end();
    return it == forms_.end() ? nullptr : &it->second;
  }
  const Shape& old_shape(const Atom& old) const { return from_.type(old)->shape; }

  Form of(const Equation&);
  Form basis(const Equation&);
  Form elementwise(const Equation&);
  Form renamed(const Equation&, std::span<const Axis> to);
  Form regrouped(const Equation&);
  Form broadcast(const Equation&);
  Form transposed(const Equation&);
  Form sliced(const Equation&);
  Form padded(const Equation&);
  Form concatenated(const Equation&);
  Form stacked(const Equation&);
  Form added_slice(const Equation&);
  Form reduced(const Equation&);

  /// The operands of e, if one is banded and all others are as narrow as its parts.
  bool operands(const Equation& e, std::size_t n, std::vector<Operand>&, Axis* a, Axis* b);
  Result narrow(const Atom&, Axis a, Axis b);
  /// The parts of a result, each by `make` from the same parts of the operands.
  template <class Make>
  Form combined(Axis a, Axis b, std::span<const Operand>, const Shape&, const Make& make);
  Form checked(Banded, const Shape&);
  Atom widened(const Atom&, const Shape&);
  Shape spanned(std::span<const Atom>) const;

  Atom assembled(const Banded&, Type);
  Atom with_diagonal(const Atom& x, const Banded&, Offset c, Type);
  bool worth(const Banded&, const Shape&) const;
  void assemble(const Atom& old);

  const JaxprBody& from_;
  Local b_;
  std::unordered_map<Var, Banded> forms_;
};

std::int64_t extent(const Shape& s, Axis i) { return s.empty() ? 1 : s[i]; }

// x with these sizes where it has them or 1; of rank 0 it gets the rank.
Atom Diagonals::widened(const Atom& x, const Shape& s) {
  return b_.broadcast(x, s, iota_dims(type(x)->shape.size()));
}
// The sizes of all of them together; of rank 0 if they are.
Shape Diagonals::spanned(std::span<const Atom> parts) const {
  Shape s;
  for (const Atom& x : parts) {
    const Shape& own = type(x)->shape;
    if (s.size() < own.size()) s.resize(own.size(), 1);
    for (std::size_t i = 0; i < own.size(); ++i)
      if (own[i] != 1) s[i] = own[i];
  }
  return s;
}

template <class Make>
Form Diagonals::combined(Axis a, Axis b, std::span<const Operand> in, const Shape& shape,
                         const Make& make) {
  Banded y{a, b, {}, {}};
  std::vector<Atom> parts;
  for (const Operand& x : in) {
    parts.push_back(x.rest());
    if (x.banded)
      for (auto& [c, v] : x.banded->on) y.on.emplace(c + x.offset, Atom());
  }
  if (y.on.size() > kMost) return {};
  y.rest = make(parts);
  for (auto& [c, v] : y.on) {
    for (std::size_t i = 0; i < in.size(); ++i) parts[i] = in[i].along(c);
    v = make(parts);
  }
  return checked(std::move(y), shape);
}
// Parts that depend on both axes are no parts; diagonals that miss the array, or are like the rest, are dropped.
Form Diagonals::checked(Banded y, const Shape& shape) {
  if (std::min(shape[y.a], shape[y.b]) < kSparse) return {};
  if (y.a > y.b) {
    std::swap(y.a, y.b);
    std::map<Offset, Atom> on;
    for (auto& [c, v] : y.on) on.emplace(-c, v);
    y.on = std::move(on);
  }
  std::erase_if(y.on, [&](const auto& d) {
    return d.first >= shape[y.a] || -d.first >= shape[y.b] || same_value(d.second, y.rest);
  });
  bool by_a = false, by_b = false;
  const auto look = [&](const Atom& x) {
    by_a |= extent(type(x)->shape, y.a) != 1;
    by_b |= extent(type(x)->shape, y.b) != 1;
  };
  look(y.rest);
  for (auto& [c, v] : y.on) look(v);
  if ((by_a && by_b) || y.on.empty()) return {};
  return y;
}

// x without the size along a or b that only broadcasting gave it.
Result Diagonals::narrow(const Atom& x, Axis a, Axis b) {
  const auto fits = [&](const Shape& s) { return s.empty() || s[a] == 1 || s[b] == 1; };
  if (fits(type(x)->shape)) return x;
  if (const Result v = uniform(b_, x)) return v;
  const Equation* d = b_.made_by(x, broadcast_in_dim_p);
  if (!d) return {};
  const Dims dims = d->params().as<BroadcastParams>().broadcast_dimensions;
  const Atom source = d->in[0];
  Shape s(type(x)->shape.size(), 1);
  for (std::size_t i = 0; i < dims.size(); ++i) s[at(dims[i])] = type(source)->shape[i];
  if (!fits(s)) return {};
  return b_.reshaped(source, s);
}
bool Diagonals::operands(const Equation& e, std::size_t n, std::vector<Operand>& in, Axis* a,
                         Axis* b) {
  const Banded* first = nullptr;
  for (std::size_t i = 0; i < n; ++i)
    if (const Banded* f = form(e.in[i])) {
      if (first && (f->a != first->a || f->b != first->b)) return false;
      first = f;
    }
  if (!first) return false;
  *a = first->a, *b = first->b;
  for (std::size_t i = 0; i < n; ++i) {
    if (const Banded* f = form(e.in[i])) {
      in.push_back({f, {}, 0});
      continue;
    }
    Result x = narrow(b_.get(e.in[i]), *a, *b);
    if (!x) return false;
    in.push_back({nullptr, std::move(*x), 0});
  }
  return true;
}

// ---- What is banded
Form Diagonals::basis(const Equation& e) {
  const Shape& s = from_.types[e.out]->shape;
  if (old_shape(e.in[0]).size() != s.size() || old_shape(e.in[1]).size() != s.size()) return {};
  const auto x = ramp(b_, b_.get(e.in[0])), y = ramp(b_, b_.get(e.in[1]));
  if (!x || !y || x->axis == y->axis) return {};
  const auto truth = [&](bool v) { return b_.full(scalar_type(DType::b1), v); };
  return checked({x->axis, y->axis, truth(false), {{y->c - x->c, truth(true)}}}, s);
}
Form Diagonals::elementwise(const Equation& e) {
  std::vector<Operand> in;
  Axis a, b;
  if (!operands(e, e.in.size(), in, &a, &b)) return {};
  const bool of_one_shape = e.in.size() > 2;  // select_n, clamp
  return combined(a, b, in, from_.types[e.out]->shape, [&](std::span<const Atom> parts) {
    Operands args(parts.begin(), parts.end());
    const Shape shape = spanned(parts);
    if (of_one_shape && !shape.empty())
      for (Atom& x : args) x = widened(x, shape);
    return b_.add(*e.prim, e.params_data, std::move(args));
  });
}

// ---- Views
// Axis i of the operand is axis to[i] of the result.
Form Diagonals::renamed(const Equation& e, std::span<const Axis> to) {
  const Banded* x = form(e.in[0]);
  const Shape& shape = from_.types[e.out]->shape;
  const Operand in{x, {}, 0};
  return combined(to[x->a], to[x->b], {&in, 1}, shape, [&](std::span<const Atom> parts) {
    const Shape s = type(parts[0])->shape;
    if (s.empty()) return parts[0];
    Shape narrow(shape.size(), 1);
    Dims order;  // of the axes of the operand that are not of size 1
    for (std::size_t i = 0; i < s.size(); ++i)
      if (s[i] != 1) narrow[to[i]] = s[i];
    for (std::size_t i = 0; i < s.size(); ++i) order.push_back(std::int64_t(i));
    std::stable_sort(order.begin(), order.end(),
                     [&](auto i, auto k) { return to[at(i)] < to[at(k)]; });
    return b_.reshaped(b_.transposed(parts[0], order), narrow);
  });
}
Form Diagonals::transposed(const Equation& e) {
  const Dims& order = e.params().as<TransposeParams>().permutation;
  std::vector<Axis> to(order.size());
  for (std::size_t i = 0; i < order.size(); ++i) to[at(order[i])] = i;
  return renamed(e, to);
}
// Only axes of size 1 come and go.
Form Diagonals::regrouped(const Equation& e) {
  const Shape &from = old_shape(e.in[0]), &shape = from_.types[e.out]->shape;
  std::vector<Axis> to(from.size(), 0);
  std::size_t k = 0;
  for (std::size_t i = 0; i < from.size(); ++i) {
    if (from[i] == 1) continue;
    while (k < shape.size() && shape[k] == 1) ++k;
    if (k == shape.size() || shape[k] != from[i]) return {};
    to[i] = k++;
  }
  for (; k < shape.size(); ++k)
    if (shape[k] != 1) return {};
  if (e.prim == &reshape_p && e.params().as<ReshapeParams>().dimensions) return {};
  return renamed(e, to);
}
Form Diagonals::broadcast(const Equation& e) {
  const Banded* x = form(e.in[0]);
  std::vector<Axis> to;
  for (auto i : e.params().as<BroadcastParams>().broadcast_dimensions) to.push_back(at(i));
  const Shape& shape = from_.types[e.out]->shape;
  for (Axis i : {x->a, x->b})
    if (shape[to[i]] != old_shape(e.in[0])[i]) return {};
  return renamed(e, to);
}
Form Diagonals::sliced(const Equation& e) {
  const auto& p = e.params().as<SliceParams>();
  const Banded* x = form(e.in[0]);
  const Shape &from = old_shape(e.in[0]), &shape = from_.types[e.out]->shape;
  for (Axis i : {x->a, x->b})
    if ((p.strides && (*p.strides)[i] != 1) || shape[i] == 0) return {};
  const Operand in{x, {}, p.start_indices[x->b] - p.start_indices[x->a]};
  return combined(x->a, x->b, {&in, 1}, shape, [&](std::span<const Atom> parts) {
    const Shape& s = type(parts[0])->shape;
    if (s.empty()) return parts[0];
    SliceParams own = p;
    for (std::size_t i = 0; i < s.size(); ++i)
      if (s[i] != from[i]) {
        own.start_indices[i] = 0;
        own.limit_indices[i] = 1;
        if (own.strides) (*own.strides)[i] = 1;
      }
    return b_.add(slice_p, std::move(own), {parts[0]});
  });
}

// ---- What joins arrays
// They join along the axis that the parts depend on, or along one that is neither a nor b.
Form Diagonals::padded(const Equation& e) {
  const auto& config = e.params().as<PadParams>().padding_config;
  const Banded* x = form(e.in[0]);
  const Shape &from = old_shape(e.in[0]), &shape = from_.types[e.out]->shape;
  const auto kept = [&](std::size_t i) { return config[i] == Dims{0, 0, 0}; };
  if (!x || config[x->a][2] || config[x->b][2] || (!kept(x->a) && !kept(x->b))) return {};
  const Operand in{x, {}, config[x->a][0] - config[x->b][0]};
  const Atom value = b_.get(e.in[1]);
  return combined(x->a, x->b, {&in, 1}, shape, [&](std::span<const Atom> parts) {
    Shape s = type(parts[0])->shape;
    s.resize(from.size(), 1);
    PadParams own;
    for (std::size_t i = 0; i < s.size(); ++i) {
      if (!kept(i)) s[i] = from[i];
      own.padding_config.push_back(config[i]);
    }
    return b_.add(pad_p, std::move(own), {widened(parts[0], s), value});
  });
}
Form Diagonals::concatenated(const Equation& e) {
  const Axis d = at(e.params().as<ConcatenateParams>().dimension);
  std::vector<Operand> in;
  Axis a, b;
  if (!operands(e, e.in.size(), in, &a, &b)) return {};
  std::int64_t start = 0;
  for (std::size_t k = 0; k < in.size(); start += old_shape(e.in[k++])[d])
    if (in[k].banded) in[k].offset = d == a ? start : d == b ? -start : 0;
  return combined(a, b, in, from_.types[e.out]->shape, [&](std::span<const Atom> parts) {
    Shape s = spanned(parts);
    s.resize(from_.types[e.out]->shape.size(), 1);
    Operands args;
    for (std::size_t k = 0; k < parts.size(); ++k) {
      s[d] = old_shape(e.in[k])[d];
      args.push_back(widened(parts[k], s));
    }
    return b_.add(concatenate_p, ConcatenateParams{std::int64_t(d)}, std::move(args));
  });
}
Form Diagonals::stacked(const Equation& e) {
  const Axis d = at(e.params().as<AxisParams>().axis);
  std::vector<Operand> in;
  Axis a, b;
  if (!operands(e, e.in.size(), in, &a, &b)) return {};
  return combined(a + (a >= d), b + (b >= d), in, from_.types[e.out]->shape,
                  [&](std::span<const Atom> parts) {
                    Shape s = spanned(parts);
                    s.resize(old_shape(e.in[0]).size(), 1);
                    Operands args;
                    for (const Atom& x : parts) args.push_back(widened(x, s));
                    return b_.add(stack_p, e.params_data, std::move(args));
                  });
}
Form Diagonals::added_slice(const Equation& e) {
  const auto& p = e.params().as<SliceParams>();
  std::vector<Operand> in;
  Axis a, b;
  if (p.strides || !operands(e, 2, in, &a, &b)) return {};
  const Shape &x = old_shape(e.in[0]), &y = old_shape(e.in[1]);
  const auto depends = [&](Axis i) {
    const auto is_long = [&](const Atom& v) { return extent(type(v)->shape, i) != 1; };
    return std::any_of(in.begin(), in.end(), [&](const Operand& o) {
      return is_long(o.rest()) ||
             (o.banded && std::any_of(o.banded->on.begin(), o.banded->on.end(),
                                      [&](auto& d) { return is_long(d.second); }));
    });
  };
  const Axis free = x[a] != y[a] || depends(a) ? b : a;
  if (x[free] != y[free] || depends(free)) return {};
  if (in[1].banded) in[1].offset = p.start_indices[a] - p.start_indices[b];
  return combined(a, b, in, x, [&](std::span<const Atom> parts) {
    Shape wide = x, window = y;
    SliceParams own = p;
    wide[free] = window[free] = own.limit_indices[free] = 1;
    own.start_indices[free] = 0;
    return b_.add(add_slice_p, std::move(own),
                  {widened(parts[0], wide), widened(parts[1], window)});
  });
}
// Over other axes.
Form Diagonals::reduced(const Equation& e) {
  const Dims& axes = e.params().as<AxesParams>().axes;
  const Banded* x = form(e.in[0]);
  const Shape& from = old_shape(e.in[0]);
  const auto below = [&](Axis i) {
    return i - Axis(std::count_if(axes.begin(), axes.end(), [&](auto k) { return at(k) < i; }));
  };
  for (auto i : axes)
    if (at(i) == x->a || at(i) == x->b) return {};
  const Operand in{x, {}, 0};
  return combined(below(x->a), below(x->b), {&in, 1}, from_.types[e.out]->shape,
                  [&](std::span<const Atom> parts) {
                    Shape s = type(parts[0])->shape;
                    s.resize(from.size(), 1);
                    for (auto i : axes) s[at(i)] = from[at(i)];
                    return b_.add(*e.prim, e.params_data, {widened(parts[0], s)});
                  });
}
Form Diagonals::of(const Equation& e) {
  if (e.n_out != 1) return {};
  if (e.prim == &eq_p && is_integer(from_.type(e.in[0])->dtype))
    if (Form f = basis(e)) return f;
  if (std::none_of(e.in.begin(), e.in.end(), [&](const Atom& x) { return form(x); })) return {};
  if (is_elementwise(*e.prim)) return elementwise(e);
  using Rule = Form (Diagonals::*)(const Equation&);
  static const std::unordered_map<const Primitive*, Rule> rules = {
      {&transpose_p, &Diagonals::transposed},
      {&expand_dims_p, &Diagonals::regrouped},
      {&squeeze_p, &Diagonals::regrouped},
      {&reshape_p, &Diagonals::regrouped},
      {&broadcast_in_dim_p, &Diagonals::broadcast},
      {&slice_p, &Diagonals::sliced},
      {&pad_p, &Diagonals::padded},
      {&concatenate_p, &Diagonals::concatenated},
      {&stack_p, &Diagonals::stacked},
      {&add_slice_p, &Diagonals::added_slice},
      {&reduce_sum_p, &Diagonals::reduced},
      {&reduce_max_p, &Diagonals::reduced},
      {&reduce_min_p, &Diagonals::reduced},
      {&reduce_prod_p, &Diagonals::reduced}};
  const auto it = rules.find(e.prim);
  return it == rules.end() ? Form() : (this->*it->second)(e);
}

// ---- Where one is stored
bool Diagonals::worth(const Banded& x, const Shape& s) const {
  return std::min(s[x.a], s[x.b]) >= kSparse * std::int64_t(x.on.size());
}
Atom Diagonals::with_diagonal(const Atom& x, const Banded& f, Offset c, Type t) {
  const Shape& s = t->shape;
  const std::int64_t first = std::max<std::int64_t>(0, -c),  // of index_b
      size = std::min(s[f.b], s[f.a] - c) - first;
  Shape window{size};  // of the updates: the diagonal, then the other axes
  ScatterParams p;
  ScatterDims& d = p.dimension_numbers;
  Dims order;
  Atom v = f.on.at(c);
  const bool by_a = extent(type(v)->shape, f.a) != 1;
  const Axis along = by_a ? f.a : f.b, free = by_a ? f.b : f.a;
  order = {std::int64_t(along)};
  for (std::size_t i = 0; i < s.size(); ++i)
    if (i != f.a && i != f.b) {
      d.update_window_dims.push_back(std::int64_t(window.size()));
      window.push_back(s[i]);
      order.push_back(std::int64_t(i));
    }
  d.inserted_window_dims = d.scatter_dims_to_operand_dims = {std::int64_t(f.a), std::int64_t(f.b)};
  p.mode = IndexMode::CLIP;  // all are in bounds
  p.unique_indices = true;
  if (const Shape own = type(v)->shape; !own.empty()) {
    if (own[along] != 1) {
      const std::int64_t from = first + (by_a ? c : 0);
      SliceParams part{own, Dims(own.size(), 0), {}};
      part.start_indices[along] = from;
      part.limit_indices[along] = from + size;
      v = b_.add(slice_p, std::move(part), {v});
    }
    order.push_back(std::int64_t(free));
    v = b_.transposed(v, order);
    Shape narrow = type(v)->shape;
    narrow.pop_back();
    v = b_.reshaped(v, narrow);
  }
  v = widened(v, window);
  // [i, 0] = i + first + c,  [i, 1] = i + first.
  const Shape indices{size, 2};
  const auto iota = [&](std::int64_t axis) {
    return b_.add(iota_p, IotaParams{axis, DType::i64, indices}, {});
  };
  const auto number = [&](std::int64_t n) { return b_.full(scalar_type(DType::i64), double(n)); };
  const Atom shift = b_.add(sub_p, {number(first + c), b_.add(mul_p, {number(c), iota(1)})});
  return b_.add(scatter_p, std::move(p), {x, b_.add(add_p, {iota(0), shift}), v});
}
Atom Diagonals::assembled(const Banded& f, Type t) {
  Atom x = widened(f.rest, t->shape);
  for (auto& [c, v] : f.on) x = with_diagonal(x, f, c, t);
  return x;
}
void Diagonals::assemble(const Atom& old) {
  const Banded* f = form(old);
  if (!f || !worth(*f, old_shape(old))) return;
  b_.set(old.var(), assembled(*f, from_.type(old)));
  forms_.erase(old.var());
}

// Has it a kernel, whose operands are stored?  Loops read the operands of the others element by element.
bool takes_arrays(const Primitive& p) {
  static constexpr const Primitive* by_loops[] = {
      &reduce_sum_p, &reduce_prod_p, &reduce_max_p, &reduce_min_p,  &reduce_and_p,
      &reduce_or_p,  &reduce_xor_p,  &argmax_p,     &argmin_p,      &cumsum_p,
      &cumprod_p,    &cummax_p,      &cummin_p,     &cumlogsumexp_p};
  return weight(p) == kMuch &&
         std::find(std::begin(by_loops), std::end(by_loops), &p) == std::end(by_loops);
}
JaxprPtr Diagonals::run() {
  for (const Equation& e : from_.eqns) {
    if (takes_arrays(*e.prim))
      for (const Atom& x : e.in) assemble(x);
    if (Form f = of(e)) forms_.emplace(e.out, std::move(*f));
    if (nests(e)) {
      Equation inner = e;
      inner.params_data = map_sub_jaxprs(e, [](const JaxprPtr& j) {
        return compares_indices(*j) ? on_nested("diagonals", diagonals, j) : j;
      });
      b_.step(inner);
    } else {
      b_.step(e);
    }
  }
  for (const Atom& x : from_.outs) assemble(x);
  return b_.finish();
}
}  // namespace

bool compares_indices(const JaxprBody& j) {
  return std::any_of(j.eqns.begin(), j.eqns.end(), [&](const Equation& e) {
    if (e.prim == &eq_p && j.types[e.out]->shape.size() > 1 && is_integer(j.type(e.in[0])->dtype))
      return true;
    if (!nests(e)) return false;
    for (const JaxprPtr& s : sub_jaxprs(e))
      if (*s->memo<bool>("compares indices", [&] { return compares_indices(*s); })) return true;
    return false;
  });
}
JaxprPtr diagonals(const JaxprBody& j) { return dce(*Diagonals(j).run()); }

}  // namespace jaxpp::passes
