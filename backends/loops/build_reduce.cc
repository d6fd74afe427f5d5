// build_reduce.cc -- reductions, running sums, contractions.
//
// A reduction is a statement that combines into a value without the dimensions that are reduced.  Sums and products of
// halves are accumulated in f32 and rounded once.  argmax is a maximum, then the least index that attains it (or is NaN).
// A contraction is a sum of products; a large one is a call of the kernel, which is given transposed operands as they lie
// in memory.
#include <algorithm>
#include <functional>
#include "backends/loops/build.h"
#include "jaxpp/ops/primitives.h"
#include "jaxpp/ops/rules.h"

namespace jaxpp::loops::fusion {
namespace {

std::size_t sz(std::int64_t n) { return static_cast<std::size_t>(n); }
bool is_half(DType d) { return is_float(d) && width(d) == 2; }

// The dimensions of q in some order, as a space of their own: params, parts.
Variable part_of(const Space& q, const Dims& which) {
  Variable r;
  for (auto d : which) {
    std::size_t first = 0;
    for (std::size_t i = 0; i < sz(d); ++i) first += q.parts.empty() ? 1 : q.parts[i];
    const std::uint8_t n = q.parts.empty() ? std::uint8_t(1) : q.parts[sz(d)];
    r.params.insert(r.params.end(), q.params.begin() + std::ptrdiff_t(first),
                    q.params.begin() + std::ptrdiff_t(first + n));
    if (!q.parts.empty()) r.parts.push_back(n);
  }
  return r;
}
bool contains(const std::vector<Dim>& dims, Sym s) {
  return std::any_of(dims.begin(), dims.end(), [&](const Dim& d) { return d.sym == s; });
}
}  // namespace

// x combined over those of `loops` that are not among `kept`, as a function of `kept`.
E Builder::reduced(Scope& s, Combine c, const E& x, const std::vector<Dim>& kept,
                   const std::vector<Dim>& loops) {
  if (is_bool(x->dtype))
    c = c == Combine::max ? Combine::or_ : c == Combine::min ? Combine::and_ : c;
  const bool idempotent = c != Combine::add && c != Combine::mul && c != Combine::xor_;
  const bool wide = is_half(x->dtype) && !idempotent;
  std::vector<Dim> own;
  bool reduces = false;
  for (const Dim& d : loops) {
    if (d.extent == 1) continue;
    const bool stays = contains(kept, d.sym);
    if (!mentions(x, d.sym) && (stays || idempotent)) continue;
    own.push_back(d);
    reduces |= !stays;
  }
  if (!reduces) return x->kind == Expr::Kind::apply ? compute(s, own, x) : x;
  const E rhs = wide ? convert(x, f32) : x;
  Shape shape;
  Subscripts at;
  for (const Dim& d : kept)
    if (contains(own, d.sym)) {
      shape.push_back(d.extent);
      at.push_back(Affine::of(d.sym));
    }
  const int v = value(&s, rhs->dtype, shape);
  store(*s.region, {.value = v, .at = at, .rhs = rhs, .combine = c}, own);
  return converted(s, make_read(v, rhs->dtype, std::move(at)), kept, x->dtype);
}
// e, a function of `dims` that has loops already, in another type.
E Builder::converted(Scope& s, const E& e, const std::vector<Dim>& dims, DType d) {
  if (e->dtype == d) return e;
  std::vector<Dim> own;
  Subscripts to, back;
  for (const Dim& x : dims) {
    own.push_back({fresh(x.extent), x.extent});
    to.push_back(x.extent == 1 ? Affine() : Affine::of(own.back().sym));
    back.push_back(x.extent == 1 ? Affine() : Affine::of(x.sym));
  }
  return substitute(compute(s, own, convert(substitute(e, dims, to), d)), own, back);
}

template <Combine C>
void Builder::reduce(Scope& s, const Equation& e) {
  const Type x = s.jaxpr.type(e.in[0]);
  if (is_complex(x->dtype) && (C == Combine::max || C == Combine::min)) return call(s, e);
  if (x->size == 0) {
    Combine c = C;
    if (is_bool(x->dtype))
      c = C == Combine::max ? Combine::or_ : C == Combine::min ? Combine::and_ : C;
    return define(s, e.out, space(s, e.out), make_constant(loops::identity(c, x->dtype)));
  }
  const Space q = space(s, e.in[0]);
  Variable y = part_of(q, without(x->shape.size(), e.params().as<AxesParams>().axes));
  y.e = reduced(s, C, get(s, e.in[0], q.at), y.params, q.dims);
  bind(s, e.out, std::move(y));
}
template void Builder::reduce<Combine::add>(Scope&, const Equation&);
template void Builder::reduce<Combine::mul>(Scope&, const Equation&);
template void Builder::reduce<Combine::max>(Scope&, const Equation&);
template void Builder::reduce<Combine::min>(Scope&, const Equation&);
template void Builder::reduce<Combine::and_>(Scope&, const Equation&);
template void Builder::reduce<Combine::or_>(Scope&, const Equation&);
template void Builder::reduce<Combine::xor_>(Scope&, const Equation&);

template <Combine C>
void Builder::arg_extreme(Scope& s, const Equation& e) {
  const auto& p = e.params().as<ArgParams>();
  const Type x = s.jaxpr.type(e.in[0]);
  if (is_complex(x->dtype)) return call(s, e);
  const auto axis = sz(p.axes[0]);
  const std::int64_t n = x->shape[axis];
  const Dims kept = without(x->shape.size(), p.axes);
  Space q = space(s, e.in[0]);
  Variable extreme = part_of(q, kept);
  extreme.e = reduced(s, C, get(s, e.in[0], q.at), extreme.params, q.dims);

  q = space(s, e.in[0]);
  Subscripts at;
  for (auto d : kept) at.push_back(q.at[sz(d)]);
  const DType index = n <= std::numeric_limits<std::int32_t>::max() ? i32 : i64;
  const E v = get(s, e.in[0], q.at);
  E hit = operation(eq_p, b1, {v, *this->at(extreme, at)});
  if (is_float(x->dtype)) hit = operation(bitwise_or_p, b1, {hit, operation(ne_p, b1, {v, v})});
  const E first =
      operation(select_n_p, index, {hit, nearest(index, n), make_index(index, q.at[axis].at)});
  Variable y = part_of(q, kept);
  y.e = n == 1 ? constant(p.index_dtype, 0)
               : converted(s, reduced(s, Combine::min, first, y.params, q.dims), y.params,
                           p.index_dtype);
  bind(s, e.out, std::move(y));
}
template void Builder::arg_extreme<Combine::max>(Scope&, const Equation&);
template void Builder::arg_extreme<Combine::min>(Scope&, const Equation&);

// ---- Running sums: a serial loop along the axis, whose carry is the sum so far
namespace {
E log_sum_exp(const E& a, const E& x) {
  const DType d = x->dtype;
  const E delta = operation(sub_p, d, {a, x});
  const E size = operation(exp_p, d, {operation(neg_p, d, {operation(abs_p, d, {delta})})});
  const E sum = operation(add_p, d, {operation(max_p, d, {a, x}), operation(log1p_p, d, {size})});
  return operation(select_n_p, d,
                   {operation(ne_p, b1, {delta, delta}), sum, operation(add_p, d, {a, x})});
}
// Into how many segments a long axis is cut, where few others run beside it: a loop with its sum in a register waits for
// an addition at every step.
std::int64_t segments(std::int64_t n, std::int64_t others) {
  constexpr std::int64_t kLong = 1 << 16, kOthers = 8, kMost = 512, kFewest = 32;
  if (n < kLong || others > kOthers) return 1;
  for (std::int64_t parts = kMost; parts >= kFewest; --parts)
    if (n % parts == 0) return parts;
  return 1;
}
}  // namespace
void Builder::cumulative(Scope& s, const Equation& e) {
  const auto& p = e.params().as<CumParams>();
  const Type t = s.jaxpr.types[e.out];
  const auto axis = sz(p.axis);
  const std::int64_t n = t->shape[axis];
  if (n == 1) return identity(s, e);
  if (is_complex(t->dtype) && e.prim != &cumsum_p && e.prim != &cumprod_p) return call(s, e);
  const DType d = is_half(t->dtype) ? f32 : t->dtype;
  const Combine c = e.prim == &cumsum_p    ? Combine::add
                    : e.prim == &cumprod_p ? Combine::mul
                    : e.prim == &cummin_p  ? Combine::min
                                           : Combine::max;  // of nothing, log(sum(exp)) is -inf too
  const auto step = [&](const E& a, const E& x) {
    return e.prim == &cumlogsumexp_p ? log_sum_exp(a, x) : operation(*combiner(c), d, {a, x});
  };
  // The sums along dimension `k` of an array, of x as a function of the index there, from `start`, a function of the index
  // without k.  `exclusive`: without x itself.
  using At = std::function<E(const Subscripts&)>;
  const auto run = [&](Shape shape, std::size_t k, const At& start, const At& x, DType type,
                       bool exclusive) {
    ItemPtr loop = structured(Item::Kind::scan);
    const std::int64_t steps = shape[k];
    loop->var = fresh(steps);
    loop->extent = steps;
    const Affine time = p.reverse ? Affine::of(loop->var, -1) + (steps - 1) : Affine::of(loop->var);
    const auto in_time = [&](Subscripts at) {
      at.insert(at.begin() + std::ptrdiff_t(k), time);
      return at;
    };
    const int out = value(&s, type, shape);
    shape.erase(k);
    const int sum = value(nullptr, d, shape);
    f_.values[std::size_t(sum)].mut = true;
    const auto keep = [&](int v) {
      const Space q = space(shape);
      const E y = convert(make_read(v, d, q.at), type);
      store(*loop->body, {.value = out, .at = in_time(q.at), .rhs = y, .pinned = true}, q.dims);
    };
    Space q = space(shape);
    store(*loop->init, {.value = sum, .at = q.at, .rhs = start(q.at), .pinned = true}, q.dims);
    if (exclusive) keep(sum);
    const int next = value(nullptr, d, shape);
    q = space(shape);
    const E step_of_x = step(make_read(sum, d, q.at), convert(x(in_time(q.at)), d));
    store(*loop->body, {.value = next, .at = q.at, .rhs = step_of_x, .pinned = true}, q.dims);
    q = space(shape);
    store(*loop->body, {.value = sum, .at = q.at, .rhs = make_read(next, d, q.at), .pinned = true},
          q.dims);
    if (!exclusive) keep(next);
    finish(*s.region, std::move(loop));
    return out;
  };
  const At nothing = [&](const Subscripts&) { return make_constant(loops::identity(c, d)); };
  const std::int64_t parts =
      e.prim == &cumlogsumexp_p ? 1 : segments(n, t->size / std::max<std::int64_t>(n, 1));
  if (parts == 1) {
    const At x = [&](const Subscripts& at) { return get(s, e.in[0], at); };
    return bind(s, e.out, whole(run(t->shape, axis, nothing, x, t->dtype, false)));
  }
  // A long axis: the sums of its segments, what is before each of them, and then all segments side by side.
  Shape digits = t->shape;
  digits[axis] = parts;
  const Shape by_part = digits;
  digits.insert(axis + 1, n / parts);
  const At x = [&](Subscripts at) {
    at[axis].at = at[axis].at * (n / parts) + at[axis + 1].at;
    at.erase(at.begin() + p.axis + 1);
    return get(s, e.in[0], at);
  };
  const auto read = [&](int v) {
    return [=](const Subscripts& at) { return make_read(v, d, at); };
  };
  const int totals = value(&s, d, by_part);
  const Space q = space(digits);
  Subscripts part = q.at;
  part.erase(part.begin() + p.axis + 1);
  store(*s.region,
        {.value = totals, .at = std::move(part), .rhs = convert(x(q.at), d), .combine = c}, q.dims);
  const int before = run(by_part, axis, nothing, read(totals), d, true);
  const int out = run(digits, axis + 1, read(before), x, t->dtype, false);
  bind(s, e.out, reshaped(s, whole(out), t->shape));
}

// ---- dot_general
namespace {
// What a product is computed in: halves in float, integers in the signed type of 4 or 8 bytes, which wraps alike.
DType computing(DType d) {
  if (is_inexact(d)) return is_half(d) ? f32 : d;
  return width(d) == 8 ? i64 : i32;
}
std::int64_t size(const Shape& s, const Dims& which) {
  std::int64_t n = 1;
  for (auto d : which) n *= s[sz(d)];
  return n;
}
}  // namespace
void Builder::dot_general(Scope& s, const Equation& e) {
  const DotDims& d = e.params().as<DotParams>().dimension_numbers;
  const Type l = s.jaxpr.type(e.in[0]), r = s.jaxpr.type(e.in[1]), t = s.jaxpr.types[e.out];
  const Dims l_free = without(l->shape.size(), d.lhs_contracting, d.lhs_batch),
             r_free = without(r->shape.size(), d.rhs_contracting, d.rhs_batch);
  const std::int64_t k = size(l->shape, d.lhs_contracting);
  if (k == 0) return define(s, e.out, space(s, e.out), constant(t->dtype, 0));
  // A kernel for what is large in all three dimensions, and for long sums into a narrow matrix, which as statements have
  // parts of their own or go through memory.
  constexpr std::int64_t kLarge = 16, kSmall = 8, kLong = 32, kMuch = std::int64_t(1) << 18;
  const std::int64_t m = size(l->shape, l_free), n = size(r->shape, r_free),
                     narrow = std::min(m, n), wide = std::max(m, n);
  const bool large = std::min(k, narrow) >= kLarge,
             sums = std::min(k, wide) >= kLong && narrow >= kSmall && k * m * n >= kMuch;
  if (large || sums) return dot_call(s, e);

  // Dimensions of the right operand that the left one has too are those of the left one.
  const Space ql = space(s, e.in[0]), qr = space(s, e.in[1]);
  Subscripts r_at = qr.at;
  for (std::size_t i = 0; i < d.lhs_batch.size(); ++i)
    r_at[sz(d.rhs_batch[i])] = ql.at[sz(d.lhs_batch[i])];
  for (std::size_t i = 0; i < d.lhs_contracting.size(); ++i)
    r_at[sz(d.rhs_contracting[i])] = ql.at[sz(d.lhs_contracting[i])];
  const Variable batch = part_of(ql, d.lhs_batch), left = part_of(ql, l_free),
                 contracted = part_of(ql, d.lhs_contracting), right = part_of(qr, r_free);
  Variable y;
  const bool split = !ql.parts.empty() || !qr.parts.empty();
  for (const Variable* v : {&batch, &left, &right}) {
    y.params.insert(y.params.end(), v->params.begin(), v->params.end());
    if (split && v->parts.empty()) y.parts.insert(y.parts.end(), v->params.size(), 1);
    y.parts.insert(y.parts.end(), v->parts.begin(), v->parts.end());
  }
  // The free dimensions of the larger operand run outside: they are the batch of a small product of matrix and vector.
  std::vector<Dim> loops = batch.params;
  const bool right_first = r->size > l->size;
  for (const Variable* v :
       {right_first ? &right : &left, right_first ? &left : &right, &contracted})
    loops.insert(loops.end(), v->params.begin(), v->params.end());
  const DType in = computing(promote_types(promote_types(l->dtype, r->dtype), t->dtype));
  E product = operation(mul_p, in,
                        {convert(get(s, e.in[0], ql.at), in), convert(get(s, e.in[1], r_at), in)});
  // A sum of one product starts from 0.0 like any other: -0.0 becomes 0.0.
  if (k == 1 && is_inexact(in)) product = operation(add_p, in, {product, constant(in, 0)});
  y.e = converted(s, reduced(s, Combine::add, product, y.params, loops), y.params, t->dtype);
  bind(s, e.out, std::move(y));
}

namespace {
// w with its dimensions in the order that they have in memory; order[i]: the dimension that is now i.
Variable in_memory_order(const Variable& w, Dims& order) {
  struct Axis {
    std::int64_t dim;
    std::size_t first, n, at;  // its digits, and where the first of them is in the value
  };
  std::vector<Axis> axes;
  std::size_t first = 0, dims = w.parts.empty() ? w.params.size() : w.parts.size();
  for (std::size_t i = 0; i < dims; ++i) {
    Axis a{std::int64_t(i), first, w.parts.empty() ? 1u : w.parts[i], 0};
    for (std::size_t k = a.first; k < a.first + a.n && is_read(w.e); ++k)
      for (std::size_t j = 0; j < w.e->at.size(); ++j)
        if (!a.at && w.e->at[j].is(w.params[k].sym)) a.at = j + 1;
    first += a.n;
    axes.push_back(a);
  }
  std::stable_sort(axes.begin(), axes.end(),
                   [](const Axis& a, const Axis& b) { return a.at < b.at; });
  Variable r;
  r.e = w.e;
  for (const Axis& a : axes) {
    order.push_back(a.dim);
    r.params.insert(r.params.end(), w.params.begin() + std::ptrdiff_t(a.first),
                    w.params.begin() + std::ptrdiff_t(a.first + a.n));
    if (!w.parts.empty()) r.parts.push_back(std::uint8_t(a.n));
  }
  return r;
}
}  // namespace
void Builder::dot_call(Scope& s, const Equation& e) {
  DotParams p = e.params().as<DotParams>();
  DotDims& d = p.dimension_numbers;
  std::vector<Item::Operand> in;
  Dims free[2];  // where the free dimensions of the operands as they are given were
  for (std::size_t i : {0, 1}) {
    const Type t = s.jaxpr.type(e.in[i]);
    Dims &contracting = i ? d.rhs_contracting : d.lhs_contracting,
         &batch = i ? d.rhs_batch : d.lhs_batch;
    const Dims old_free = without(t->shape.size(), contracting, batch);
    Dims order;
    const Variable w = in_memory_order(variable(s, e.in[i]), order);
    if (auto o = rows(w, make_type(t->dtype, pick(t->shape, order)))) {
      const Dims now = inverse(order);
      contracting = pick(now, contracting);
      batch = pick(now, batch);
      in.push_back(std::move(*o));
    } else {
      order = iota_dims(t->shape.size());
      in.push_back(array(s, e.in[i]));
    }
    for (auto f : without(t->shape.size(), contracting, batch))
      free[i].push_back(position(old_free, order[sz(f)]));
  }
  // The result's dimensions, in the order in which the kernel has them.
  const Type t = s.jaxpr.types[e.out];
  const auto batches = std::int64_t(d.lhs_batch.size());
  Dims from = iota_dims(sz(batches));
  for (auto f : free[0]) from.push_back(batches + f);
  for (auto f : free[1]) from.push_back(batches + std::int64_t(free[0].size()) + f);
  const Space q = space(s, e.out);
  const Variable moved = part_of(q, from);
  Shape shape;
  Subscripts at;
  for (const Dim& x : moved.params) {
    shape.push_back(x.extent);
    at.push_back(x.extent == 1 ? Affine() : Affine::of(x.sym));
  }
  const int v = value(&s, t->dtype, shape);
  call(s, e, std::make_shared<DotParams>(std::move(p)), std::move(in),
       {{v, {}, make_type(t->dtype, pick(t->shape, from))}});
  bind(s, e.out, {q.params, q.parts, make_read(v, t->dtype, std::move(at))});
}

// The transpose of a product that nothing else has read is the product of its operands in the other order.
bool Builder::commute(Scope& s, const Equation& e) {
  if (!e.in[0].is_var() || s.last[e.in[0].var()] != s.now) return false;
  const Variable& w = s.env[e.in[0].var()];
  if (!is_read(w.e)) return false;
  Value& v = f_.values[std::size_t(w.e->read)];
  const Owner& owner = owners_[std::size_t(w.e->read)];
  if (owner.scope != s.id || owner.shown.size() != 1 || v.defs.size() != 1 || !v.readers.empty() ||
      v.mut || v.defs[0]->prim != &dot_general_p)
    return false;
  Item& product = *v.defs[0];
  if (product.out[0].type != s.jaxpr.type(e.in[0]) || !rows(w, product.out[0].type)) return false;
  DotParams p = *static_cast<const DotParams*>(product.params.get());
  DotDims& d = p.dimension_numbers;
  const std::size_t rank = product.out[0].type->shape.size(), batch = d.lhs_batch.size(),
                    left = product.in[0].type->shape.size() - batch - d.lhs_contracting.size();
  Dims swapped = iota_dims(rank);
  std::rotate(swapped.begin() + batch, swapped.begin() + batch + left, swapped.end());
  if (e.params().as<TransposeParams>().permutation != swapped) return false;
  std::swap(d.lhs_contracting, d.rhs_contracting);
  std::swap(d.lhs_batch, d.rhs_batch);
  std::swap(product.in[0], product.in[1]);
  product.params = std::make_shared<DotParams>(std::move(p));
  product.out[0].type = s.jaxpr.types[e.out];
  const Space q = space(s, e.out);
  v.shape = q.shape();
  bind(s, e.out, {q.params, q.parts, make_read(w.e->read, v.dtype, q.fine)});
  return true;
}

}  // namespace jaxpp::loops::fusion
