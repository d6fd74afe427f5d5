// build.cc -- a jaxpr becomes a loop program, equation by equation.
//
// A variable is an expression over the symbols of its index: reading it substitutes subscripts.  Operations that only
// rename indices give new expressions; operations that compute give statements, which Fusion places in a tree of loops,
// and the variable then reads the value of the statement.  A statement loops over those dimensions only that its operands
// depend on: what is computed from broadcast operands is computed once and broadcast itself.
//
// An array without elements is never read, so its expression is any constant.
#include "backends/loops/build.h"
#include <algorithm>
#include <stdexcept>
#include "backends/eager/kernels.h"
#include "backends/loops/loops.h"

namespace jaxpp::loops {

Program build(const JaxprBody& j) { return fusion::Builder(j).run(); }

namespace fusion {

// ---- Expressions
E constant(DType d, double v) { return make_constant(Element::of(d, v)); }
E operation(const Primitive& p, DType d, std::vector<E> args) {
  return make_apply(p, nullptr, d, std::move(args));
}
E convert(const E& e, DType d) {
  if (e->dtype == d) return e;
  return make_apply(convert_element_type_p, std::make_shared<ConvertParams>(ConvertParams{d}), d,
                    {e});
}
std::int64_t integer(const E& e) {
  return by_dtype(e->dtype, [&](auto t) -> std::int64_t {
    using T = decltype(t);
    if constexpr (std::is_integral_v<T>) {
      T v;
      std::memcpy(&v, e->value.bits.data(), sizeof v);
      constexpr auto most = std::numeric_limits<std::int64_t>::max();
      if constexpr (std::is_same_v<T, std::uint64_t>)
        return v > std::uint64_t(most) ? most : std::int64_t(v);
      else
        return std::int64_t(v);
    } else {
      throw std::logic_error(std::string("loops: an index of type ") + name(e->dtype) + ".");
    }
  });
}
E nearest(DType d, std::int64_t v) {
  return by_dtype(d, [&](auto t) -> E {
    using T = decltype(t);
    if constexpr (std::is_integral_v<T>) {
      using L = std::numeric_limits<T>;
      T x = T(v);
      if constexpr (std::is_unsigned_v<T>) {
        if (v < 0) x = 0;
        if (v > 0 && std::uint64_t(v) > std::uint64_t(L::max())) x = L::max();
      } else {
        if (v < std::int64_t(L::min())) x = L::min();
        if (v > std::int64_t(L::max())) x = L::max();
      }
      return make_constant(Element::at(d, &x));
    } else {
      return constant(d, double(v));
    }
  });
}

namespace {
// The number that a computed subscript adds, as i64.
E clipped(const E& e, std::int64_t lo, std::int64_t hi) {
  return convert(operation(clamp_p, e->dtype, {nearest(e->dtype, lo), e, nearest(e->dtype, hi)}),
                 i64);
}
// A linear combination of subscripts.  One computed number may stand in a subscript as it is; several of them, or a
// multiple, are first combined in i64.
struct Sum {
  Affine at;
  E number;
  std::int64_t lo = 0, hi = 0;
  bool raw = false;  // `number` still has to be clipped

  void add(const Subscript& s, std::int64_t k) {
    at += s.at * k;
    if (!s.dynamic) return;
    if (!number && k == 1) {
      number = s.dynamic;
      lo = s.lo;
      hi = s.hi;
      raw = true;
      return;
    }
    number = clip();
    raw = false;
    E more = clipped(s.dynamic, s.lo, s.hi);
    if (k != 1) more = operation(mul_p, i64, {more, nearest(i64, k)});
    number = number ? operation(add_p, i64, {number, more}) : more;
    lo += k * (k < 0 ? s.hi : s.lo);
    hi += k * (k < 0 ? s.lo : s.hi);
  }
  E clip() const { return raw ? clipped(number, lo, hi) : number; }
};
int find(std::span<const Dim> from, Sym s) {
  for (std::size_t i = 0; i < from.size(); ++i)
    if (from[i].sym == s) return int(i);
  return -1;
}
Sum sum_of(const Affine& a, std::span<const Dim> from, std::span<const Subscript> to) {
  Sum sum;
  sum.at.c = a.c;
  for (const Affine::Term& t : a.terms) {
    const int i = find(from, t.sym);
    if (i < 0)
      sum.at += Affine::of(t.sym, t.k);
    else
      sum.add(to[std::size_t(i)], t.k);
  }
  return sum;
}
}  // namespace

Subscript substitute(const Subscript& s, std::span<const Dim> from, std::span<const Subscript> to) {
  Sum sum = sum_of(s.at, from, to);
  if (s.dynamic) sum.add({{}, substitute(s.dynamic, from, to), s.lo, s.hi}, 1);
  if (!sum.number) return sum.at;
  return {std::move(sum.at), std::move(sum.number), sum.lo, sum.hi};
}
E substitute(const E& e, std::span<const Dim> from, std::span<const Subscript> to) {
  if (from.empty()) return e;
  switch (e->kind) {
    case Expr::Kind::constant: return e;
    case Expr::Kind::index: {
      const Sum sum = sum_of(e->number, from, to);
      if (!sum.number) return make_index(e->dtype, sum.at);
      return convert(operation(add_p, i64, {make_index(i64, sum.at), sum.clip()}), e->dtype);
    }
    case Expr::Kind::read: {
      Subscripts at;
      at.reserve(e->at.size());
      for (const Subscript& s : e->at) at.push_back(substitute(s, from, to));
      return make_read(e->read, e->dtype, std::move(at));
    }
    case Expr::Kind::apply: break;
  }
  std::vector<E> args;
  args.reserve(e->args.size());
  for (const E& a : e->args) args.push_back(substitute(a, from, to));
  return make_apply(*e->op, e->params, e->dtype, std::move(args), e->result, e->results);
}

bool same(const E& a, const E& b) {
  if (a == b) return true;
  if (a->kind != b->kind || a->dtype != b->dtype || !(a->value == b->value) ||
      !(a->number == b->number) || a->read != b->read || a->op != b->op || a->params != b->params ||
      a->result != b->result)
    return false;
  return std::equal(a->args.begin(), a->args.end(), b->args.begin(), b->args.end(), same) &&
         std::equal(a->at.begin(), a->at.end(), b->at.begin(), b->at.end(),
                    [](const Subscript& x, const Subscript& y) {
                      if (!(x.at == y.at) || bool(x.dynamic) != bool(y.dynamic)) return false;
                      return !x.dynamic ||
                             (x.lo == y.lo && x.hi == y.hi && same(x.dynamic, y.dynamic));
                    });
}
bool mentions(const E& e, Sym s) {
  return (e->kind == Expr::Kind::index && e->number.coef(s) != 0) ||
         std::any_of(e->at.begin(), e->at.end(),
                     [&](const Subscript& i) {
                       return i.at.coef(s) != 0 || (i.dynamic && mentions(i.dynamic, s));
                     }) ||
         std::any_of(e->args.begin(), e->args.end(), [&](const E& a) { return mentions(a, s); });
}
bool reads(const E& e, int value) {
  bool found = false;
  each_read(e, [&](const Expr& r) { found |= r.read == value; });
  return found;
}

// ---- Driver
Program Builder::run() {
  Scope s = open(jaxpr_, f_.top);
  for (std::size_t i = 0; i < jaxpr_.invars.size(); ++i) {
    const Space q = space(s, jaxpr_.invars[i]);
    const DType d = jaxpr_.types[jaxpr_.invars[i]]->dtype;
    const int v = value(nullptr, d, q.shape());
    f_.values[std::size_t(v)].arg = int(i);
    bind(s, jaxpr_.invars[i], {q.params, q.parts, make_read(v, d, q.fine)});
  }
  equations(s);
  for (std::size_t i = 0; i < jaxpr_.outs.size(); ++i) output(s, jaxpr_.outs[i], int(i));
  f_.merge();
  return generate(f_, int(jaxpr_.invars.size()), int(jaxpr_.outs.size()));
}

Builder::Scope Builder::open(const JaxprBody& j, Region& region) {
  Scope s{.jaxpr = j,
          .region = &region,
          .id = int(finished_.size()),
          .env = std::vector<Variable>(j.types.size()),
          .order = {},
          .last = std::vector<std::uint32_t>(j.types.size()),
          .parts = choose_parts(j, &j != &jaxpr_)};
  finished_.push_back(false);
  // Equations that something needs.
  std::vector<char> needed(j.types.size());
  const auto need = [&](const Atom& a) {
    if (a.is_var()) needed[a.var()] = true;
  };
  for (const Atom& a : j.outs) need(a);
  for (std::size_t i = j.eqns.size(); i-- > 0;) {
    const Equation& e = j.eqns[i];
    bool live = false;
    for (Var v = e.out; v < e.out + e.n_out; ++v) live |= needed[v] != 0;
    if (!live && !has_effects(e)) continue;
    s.order.push_back(std::uint32_t(i));
    for (const Atom& a : e.in) need(a);
  }
  std::reverse(s.order.begin(), s.order.end());
  updates_last(j, s.order);
  for (std::size_t i = 0; i < s.order.size(); ++i)
    for (const Atom& a : j.eqns[s.order[i]].in)
      if (a.is_var()) s.last[a.var()] = std::uint32_t(i) + 1;
  for (const Atom& a : j.outs)
    if (a.is_var()) s.last[a.var()] = kEnd;
  return s;
}

void Builder::equations(Scope& s) {
  for (std::size_t i = 0; i < s.order.size(); ++i) {
    const Equation& e = s.jaxpr.eqns[s.order[i]];
    s.now = std::uint32_t(i) + 1;
    bool elements = e.n_out == 0 || has_effects(e);
    for (Var v = e.out; v < e.out + e.n_out; ++v) elements |= s.jaxpr.types[v]->size > 0;
    if (!elements) {
      for (Var v = e.out; v < e.out + e.n_out; ++v) bind(s, v, nothing(s.jaxpr.types[v]));
      continue;
    }
    std::size_t barrier = 0;
    for (const Atom& a : e.in)
      if (a.is_var()) barrier = std::max(barrier, s.env[a.var()].barrier);
    const std::size_t before = placed_.size();
    std::vector<Item*> outer = std::move(waits_);
    waits_.clear();
    if (barrier > 0) waits_.push_back(placed_[barrier - 1]);
    (this->*rule_of(*e.prim))(s, e);
    if (placed_.size() == before)
      for (Var v = e.out; v < e.out + e.n_out; ++v)
        s.env[v].barrier = std::max(s.env[v].barrier, barrier);
    waits_ = std::move(outer);
  }
}

Builder::Rule Builder::rule_of(const Primitive& p) {
  static const auto& rules = *new std::unordered_map<const Primitive*, Rule>{
#define UNARY(id, ...) {&id##_p, &Builder::elementwise},
#define BINARY(id, ...) {&id##_p, &Builder::elementwise},
#define COMPARE(id, ...) {&id##_p, &Builder::elementwise},
#include "jaxpp/ops/elementwise.def"
#undef UNARY
#undef BINARY
#undef COMPARE
      {&select_n_p, &Builder::elementwise},
      {&clamp_p, &Builder::elementwise},
      {&regularized_incomplete_beta_p, &Builder::elementwise},
      {&convert_element_type_p, &Builder::elementwise},
      {&integer_pow_p, &Builder::elementwise},
      {&round_p, &Builder::elementwise},
      {&reduce_precision_p, &Builder::elementwise},
      {&bitcast_convert_type_p, &Builder::elementwise},
      {&complex_p, &Builder::elementwise},
      {&real_p, &Builder::elementwise},
      {&imag_p, &Builder::elementwise},
      {&conj_p, &Builder::elementwise},
      {&random_gamma_p, &Builder::elementwise},
      {&threefry2x32_p, &Builder::threefry},
      {&stop_gradient_p, &Builder::identity},
      {&name_p, &Builder::identity},
      {&optimization_barrier_p, &Builder::barrier},
      {&device_put_p, &Builder::identity},
      {&broadcast_in_dim_p, &Builder::broadcast_in_dim},
      {&transpose_p, &Builder::transpose},
      {&squeeze_p, &Builder::squeeze},
      {&expand_dims_p, &Builder::expand_dims},
      {&slice_p, &Builder::slice},
      {&rev_p, &Builder::rev},
      {&split_p, &Builder::split},
      {&unstack_p, &Builder::unstack},
      {&tile_p, &Builder::tile},
      {&iota_p, &Builder::iota},
      {&iota_2x32_shape_p, &Builder::iota_2x32_shape},
      {&empty_p, &Builder::empty},
      {&reshape_p, &Builder::reshape},
      {&concatenate_p, &Builder::concatenate},
      {&stack_p, &Builder::stack},
      {&pad_p, &Builder::pad},
      {&reduce_sum_p, &Builder::reduce<Combine::add>},
      {&reduce_prod_p, &Builder::reduce<Combine::mul>},
      {&reduce_max_p, &Builder::reduce<Combine::max>},
      {&reduce_min_p, &Builder::reduce<Combine::min>},
      {&reduce_and_p, &Builder::reduce<Combine::and_>},
      {&reduce_or_p, &Builder::reduce<Combine::or_>},
      {&reduce_xor_p, &Builder::reduce<Combine::xor_>},
      {&argmax_p, &Builder::arg_extreme<Combine::max>},
      {&argmin_p, &Builder::arg_extreme<Combine::min>},
      {&reduce_p, &Builder::reduce_by_jaxpr},
      {&cumsum_p, &Builder::cumulative},
      {&cumprod_p, &Builder::cumulative},
      {&cummax_p, &Builder::cumulative},
      {&cummin_p, &Builder::cumulative},
      {&cumlogsumexp_p, &Builder::cumulative},
      {&dot_general_p, &Builder::dot_general},
      {&gather_p, &Builder::gather},
      {&scatter_p, &Builder::scatter},
      {&scatter_add_p, &Builder::scatter},
      {&scatter_sub_p, &Builder::scatter},
      {&scatter_mul_p, &Builder::scatter},
      {&scatter_min_p, &Builder::scatter},
      {&scatter_max_p, &Builder::scatter},
      {&dynamic_slice_p, &Builder::dynamic_slice},
      {&dynamic_update_slice_p, &Builder::dynamic_update_slice},
      {&add_slice_p, &Builder::add_slice},
      {&scan_p, &Builder::scan},
      {&while_p, &Builder::while_loop},
      {&cond_p, &Builder::cond},
  };
  const auto it = rules.find(&p);
  return it == rules.end() ? Rule(&Builder::call) : it->second;
}

bool Builder::is_elementwise(const Primitive& p) {
  const Rule r = rule_of(p);
  return r == &Builder::elementwise || r == &Builder::identity || r == &Builder::threefry;
}

// ---- Symbols, values, spaces
Sym Builder::fresh(std::int64_t extent) {
  const Sym s = f_.fresh();
  extents_.resize(std::size_t(s) + 1);
  extents_[std::size_t(s)] = extent;
  return s;
}
int Builder::value(const Scope* s, DType d, const Shape& shape) {
  const int v = f_.value(d, shape);
  owners_.resize(std::size_t(v) + 1);
  if (s) owners_[std::size_t(v)].scope = s->id;
  return v;
}
Shape Space::shape() const {
  Shape s;
  for (const Dim& d : params) s.push_back(d.extent);
  return s;
}
Space Builder::space(const Shape& shape, const std::vector<Dims>* digits) {
  Space q;
  const auto loop = [&](std::int64_t n) {
    const Dim d{fresh(n), n};
    q.params.push_back(d);
    if (n != 1) q.dims.push_back(d);
    q.fine.push_back(n == 1 ? Affine() : Affine::of(d.sym));
    return q.fine.back().at;
  };
  for (std::size_t i = 0; i < shape.size(); ++i) {
    if (!digits || (*digits)[i].empty()) {
      q.at.push_back(loop(shape[i]));
      if (digits) q.parts.push_back(1);
      continue;
    }
    Affine a;
    for (const std::int64_t n : (*digits)[i]) a = a * n + loop(n);
    q.at.push_back(std::move(a));
    q.parts.push_back(std::uint8_t((*digits)[i].size()));
  }
  return q;
}
Space Builder::space(const Scope& s, const Atom& a) {
  const auto it = a.is_var() ? s.parts.find(a.var()) : s.parts.end();
  return space(s.jaxpr.type(a)->shape, it == s.parts.end() ? nullptr : &it->second);
}
Space Builder::space(const Variable& like) {
  Shape shape;
  std::vector<Dims> split;
  auto d = like.params.begin();
  for (std::size_t i = 0; d != like.params.end(); ++i) {
    const int n = like.parts.empty() ? 1 : like.parts[i];
    Dims own;
    std::int64_t size = 1;
    for (int k = 0; k < n; ++k, ++d) {
      size *= d->extent;
      if (n > 1) own.push_back(d->extent);
    }
    shape.push_back(size);
    split.push_back(std::move(own));
  }
  return space(shape, like.parts.empty() ? nullptr : &split);
}

// ---- Variables
Variable Builder::whole(int v) {
  Space q = space(f_.values[std::size_t(v)].shape);
  return {std::move(q.params), {}, make_read(v, f_.values[std::size_t(v)].dtype, std::move(q.at))};
}
Variable Builder::nothing(Type t) { return {space(t->shape).params, {}, constant(t->dtype, 0)}; }
Variable Builder::literal(const Atom& a) {
  const Array x = a.value();
  if (x.size() != 1) return whole(constant_array(a));
  return {space(x.shape()).params, {}, make_constant(Element::at(x.dtype(), x.data<char>()))};
}
int Builder::constant_array(const Atom& a) {
  auto [it, added] = constants_.try_emplace(a.node(), -1);
  if (added) {
    const Array x = a.value();
    it->second = value(nullptr, x.dtype(), x.shape());
    f_.values[std::size_t(it->second)].constant = x;
  }
  return it->second;
}
// A scope knows which of its variables show a value that it may change.
void Builder::bind(Scope& s, Var var, Variable w) {
  each_read(w.e, [&](const Expr& r) {
    Owner& o = owners_[std::size_t(r.read)];
    if (o.scope >= 0 && finished_[std::size_t(o.scope)]) o = {s.id, {}};
    if (o.scope == s.id) o.shown.push_back(var);
  });
  s.env[var] = std::move(w);
}

// An index as digits.  False: it is not affine in each of them.
bool Builder::digits(const Subscript& s, std::span<const Dim> parts, Subscripts& out) const {
  if (parts.size() == 1) {
    out.push_back(s);
    return true;
  }
  if (s.dynamic) return false;
  Affine rest = s.at;
  const std::size_t first = out.size();
  out.resize(first + parts.size());
  for (std::size_t i = parts.size(); i-- > 1;) {
    const std::int64_t n = parts[i].extent;
    Affine low((rest.c % n + n) % n), high;
    high.c = (rest.c - low.c) / n;
    std::int64_t least = low.c, most = low.c;
    for (const Affine::Term& t : rest.terms)
      if (t.k % n == 0) {
        high += Affine::of(t.sym, t.k / n);
      } else {
        low += Affine::of(t.sym, t.k);
        (t.k < 0 ? least : most) += t.k * (extents_[std::size_t(t.sym)] - 1);
      }
    if (least < 0 || most >= n) return false;
    out[first + i] = std::move(low);
    rest = std::move(high);
  }
  out[first] = std::move(rest);
  return true;
}
std::optional<E> Builder::at(const Variable& w, const Subscripts& at) const {
  if (w.parts.empty()) return substitute(w.e, w.params, at);
  Subscripts fine;
  std::size_t k = 0;
  for (std::size_t i = 0; i < at.size(); k += w.parts[i++])
    if (!digits(at[i], std::span(w.params).subspan(k, w.parts[i]), fine)) return {};
  return substitute(w.e, w.params, fine);
}
E Builder::get(Scope& s, const Atom& a, const Subscripts& index) {
  if (!a.is_var()) return *at(literal(a), index);
  if (auto e = at(s.env[a.var()], index)) return *e;
  bind(s, a.var(), unsplit(s, s.env[a.var()]));
  return *at(s.env[a.var()], index);
}
E Builder::get(Scope& s, Variable& w, const Subscripts& index) {
  if (auto e = at(w, index)) return *e;
  w = unsplit(s, w);
  return *at(w, index);
}
E Builder::broadcast(Scope& s, const Atom& a, const Subscripts& at) {
  const Shape& shape = s.jaxpr.type(a)->shape;
  Subscripts own;
  for (std::size_t i = 0; i < shape.size(); ++i) own.push_back(shape[i] == 1 ? Subscript() : at[i]);
  return get(s, a, own);
}

// The elements of w in row-major order, if they lie so in memory, from some index of leading dimensions on.
std::optional<Item::Operand> Builder::rows(const Variable& w, Type type) const {
  if (!is_read(w.e)) return {};
  const Shape& shape = f_.values[std::size_t(w.e->read)].shape;
  std::size_t d = shape.size();
  for (std::size_t k = w.params.size(); k-- > 0;) {
    if (w.params[k].extent == 1) continue;
    while (d > 0 && shape[d - 1] == 1) --d;
    if (d == 0 || shape[d - 1] != w.params[k].extent || !w.e->at[d - 1].is(w.params[k].sym))
      return {};
    --d;
  }
  Item::Operand o{w.e->read, {}, type};
  bool everything = true;
  for (std::size_t i = 0; i < d; ++i) {
    everything &= shape[i] == 1;
    if (w.e->at[i].dynamic) return {};
    for (const Dim& p : w.params)
      if (w.e->at[i].at.coef(p.sym)) return {};
    o.at.push_back(w.e->at[i].at);
  }
  if (everything) o.at.clear();
  return o;
}
int Builder::materialise(Scope& s, const Variable& w) {
  const Space q = space(w);
  const int v = value(&s, w.e->dtype, q.shape());
  store(*s.region,
        {.value = v, .at = q.fine, .rhs = substitute(w.e, w.params, q.fine), .pinned = true},
        q.dims);
  return v;
}
// Every dimension gets one symbol again.  In memory, the last digit may run through all of them.
Variable Builder::unsplit(Scope& s, const Variable& w) {
  Variable r;
  std::vector<Subscript> to(w.params.size());  // in place of each digit
  bool in_order = true;
  std::size_t k = 0;
  for (const std::uint8_t n : w.parts) {
    Dim d{kNone, 1};
    std::optional<std::size_t> last;  // where the digit before is in the value
    std::size_t carrier = k;          // the digit that does
    for (const std::size_t end = k + n; k < end; ++k) {
      const Dim& p = w.params[k];
      d.extent *= p.extent;
      if (p.extent == 1) continue;
      carrier = k;
      if (!is_read(w.e)) continue;
      const Shape& shape = f_.values[std::size_t(w.e->read)].shape;
      std::optional<std::size_t> here;
      for (std::size_t i = 0; i < shape.size(); ++i) {
        if (w.e->at[i].is(p.sym) && !here)
          here = i;
        else
          in_order &= !w.e->at[i].at.coef(p.sym) &&
                      !(w.e->at[i].dynamic && mentions(w.e->at[i].dynamic, p.sym));
      }
      if (last) {
        in_order &= here && *last < *here && shape[*here] == p.extent;
        for (std::size_t i = *last + 1; here && i < *here; ++i) in_order &= shape[i] == 1;
      } else {
        in_order &= here.has_value();
      }
      last = here;
    }
    d.sym = fresh(d.extent);
    r.params.push_back(d);
    if (d.extent > 1) to[carrier] = Affine::of(d.sym);
  }
  in_order &= is_read(w.e);
  if (!in_order) {
    const int v = materialise(s, w);
    Variable copy = whole(v);
    copy.parts = w.parts;
    return unsplit(s, copy);
  }
  Value& v = f_.values[std::size_t(w.e->read)];
  v.whole = true;
  for (Item* def : v.defs) def->pinned = true;  // its index no longer is one of the definition
  r.e = substitute(w.e, w.params, to);
  return r;
}

// ---- Statements
void Builder::store(Region& region, Store x, std::vector<Dim> dims) {
  auto it = std::make_unique<Item>(Item::Kind::statement);
  it->value = x.value;
  it->at = std::move(x.at);
  it->combine = x.combine;
  it->onto = x.onto;
  it->rhs = std::move(x.rhs);
  it->guard = std::move(x.guard);
  it->pinned = x.pinned;
  place(region, std::move(it), std::move(dims));
}
void Builder::place(Region& region, ItemPtr it, std::vector<Dim> dims) {
  it->after.insert(it->after.end(), waits_.begin(), waits_.end());
  if (&region == &f_.top) placed_.push_back(it.get());
  f_.place(region, std::move(it), std::move(dims));
}
// A statement over those of dims that rhs depends on.  Its value, as a function of them.
E Builder::compute(Scope& s, const std::vector<Dim>& dims, const E& rhs) {
  std::vector<Dim> own;
  Shape shape;
  Subscripts at;
  for (const Dim& d : dims)
    if (mentions(rhs, d.sym)) {
      own.push_back(d);
      shape.push_back(d.extent);
      at.push_back(Affine::of(d.sym));
    }
  const int v = value(&s, rhs->dtype, shape);
  store(*s.region, {.value = v, .at = at, .rhs = rhs}, std::move(own));
  return make_read(v, rhs->dtype, std::move(at));
}
namespace {
// Views of views stay small: an element at a computed index is read by every reader anew.
bool is_light(const E& e, int& nodes, bool computed) {
  if (--nodes < 0) return false;
  for (const E& a : e->args)
    if (!is_light(a, nodes, computed)) return false;
  for (const Subscript& i : e->at)
    if (i.dynamic && (computed || !is_light(i.dynamic, nodes, true))) return false;
  return true;
}
bool is_view(const E& e) {
  int nodes = 12;
  return e->kind != Expr::Kind::apply && is_light(e, nodes, false);
}
}  // namespace
void Builder::define(Scope& s, Var var, const Space& q, const E& rhs) {
  bind(s, var, {q.params, q.parts, is_view(rhs) ? rhs : compute(s, q.dims, rhs)});
}

void Builder::elementwise(Scope& s, const Equation& e) {
  const DType d = s.jaxpr.types[e.out]->dtype;
  if (e.prim == &copy_p || (e.prim == &convert_element_type_p && s.jaxpr.type(e.in[0])->dtype == d))
    return identity(s, e);
  if (e.prim == &bitcast_convert_type_p && width(s.jaxpr.type(e.in[0])->dtype) != width(d))
    return call(s, e);
  const Space q = space(s, e.out);
  std::vector<E> args;
  for (const Atom& a : e.in) args.push_back(broadcast(s, a, q.at));
  const E known = of_indices(*e.prim, d, args);
  define(s, e.out, q, known ? known : make_apply(*e.prim, e.params_data, d, std::move(args)));
}
// Two results: both words are boxes of one value, so that the statements share a loop and the rounds are done once.
void Builder::threefry(Scope& s, const Equation& e) {
  int v = -1;
  for (int word : {0, 1}) {
    const Space q = space(s, e.out);
    std::vector<E> args;
    for (const Atom& a : e.in) args.push_back(broadcast(s, a, q.at));
    const E rhs = make_apply(threefry2x32_p, nullptr, u32, std::move(args), word, 2);
    Shape shape{2};
    Subscripts at{Affine(word)};
    std::vector<Dim> dims;
    for (const Dim& d : q.dims)
      if (mentions(rhs, d.sym)) {
        dims.push_back(d);
        shape.push_back(d.extent);
        at.push_back(Affine::of(d.sym));
      }
    if (v < 0) v = value(&s, u32, shape);
    store(*s.region, {.value = v, .at = at, .rhs = rhs}, std::move(dims));
    bind(s, e.out + Var(word), {q.params, q.parts, make_read(v, u32, std::move(at))});
  }
}
void Builder::identity(Scope& s, const Equation& e) {
  for (std::uint32_t i = 0; i < e.n_out; ++i) bind(s, e.out + i, variable(s, e.in[i]));
}
// What is computed again behind a barrier must not move in front of it: it would have to be kept.  The barrier is passed
// on with the variable, until something is computed from it.
void Builder::barrier(Scope& s, const Equation& e) {
  identity(s, e);
  if (s.region == &f_.top)
    for (std::uint32_t i = 0; i < e.n_out; ++i) s.env[e.out + i].barrier = placed_.size();
}

void Builder::output(Scope& s, const Atom& a, int k) {
  const Type type = s.jaxpr.type(a);
  const Variable w = variable(s, a);
  if (const auto o = rows(w, type); o && o->at.empty()) {
    Value& v = f_.values[std::size_t(o->value)];
    if (v.arg < 0 && v.out < 0 && !v.constant.defined()) {
      v.out = k;
      return;
    }
  }
  const Space q = space(w);
  const int v = value(&s, type->dtype, q.shape());
  store(*s.region, {.value = v, .at = q.fine, .rhs = substitute(w.e, w.params, q.fine)}, q.dims);
  f_.values[std::size_t(v)].out = k;
}

}  // namespace fusion
}  // namespace jaxpp::loops
