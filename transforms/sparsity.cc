// sparsity.cc -- which elements of the results depend on which elements of the arguments: by walking the tangent program.
//
// Derivatives are defined by jvp rules, so the pattern of a Jacobian is that of the linear map dx -> dy they leave behind: f is
// traced with its tangents, and every element of every variable gets the set of the elements of dx it depends on.  What
// does not depend on dx is either known (made of constants: computed, so that indices, predicates and zeros are exact) or not.
// Sets have numbers (index_sets.h), so an operation that moves elements is run itself, on arrays of numbers; what remains to be
// said here is what operations that add or choose elements do.  An operation without a rule makes each of its results
// depend on all of its operands: a superset, never less.
//
// Not done: values that happen to be 0 at all points (x - x), or are 0 in an array that is not known.
#include <algorithm>
#include <unordered_map>
#include "jaxpp/ops/indexing.h"
#include "jaxpp/sparse.h"
#include "transforms/index_sets.h"
#include "transforms/transforms.h"

namespace jaxpp::internal {

void custom_lin_eval(const CustomLinParams&, Args in, Results& dy);  // transforms/custom.cc

namespace {

using Id = IndexSets::Id;

/// What is known of a variable.  Both null: a value that is not known and has no derivative.
struct Value {
  Type type = nullptr;
  Array known;  // the value itself
  Array sets;   // i32, of the same shape: the number of each element's set
};
using Values = std::vector<Value>;

// Unrolling a loop is exact; beyond so many elements it is a fixpoint.  And a fixpoint that still grows after some rounds is
// widened to everything.
constexpr std::int64_t kUnrolled = 50'000'000;
constexpr std::int64_t kOperation = 500;  // an operation costs as much as so many elements
constexpr int kRounds = 24;

bool is_known(const Value& v) { return v.known.defined(); }
bool has_sets(const Value& v) { return v.sets.defined(); }
Type sets_type(const Shape& shape) { return make_type(DType::i32, shape); }
Array filled(const Shape& shape, Id s) {
  Array a = Array::make(sets_type(shape));
  std::fill_n(a.data<Id>(), a.size(), s);
  return a;
}
Array sets_or_none(const Value& v) { return has_sets(v) ? v.sets : filled(v.type->shape, 0); }
std::span<const Id> ids(const Array& sets) { return sets.span<Id>(); }
bool all_empty(const Array& sets) {
  return std::ranges::all_of(ids(sets), [](Id s) { return s == 0; });
}
std::int64_t cost_of(const JaxprBody& j) {
  std::int64_t n = 0;
  for (Type t : j.types) n += t->size + kOperation;
  for (auto& e : j.eqns)
    for (auto& sub : sub_jaxprs(e)) n += cost_of(*sub);
  return n;
}

class Propagation {
 public:
  explicit Propagation(IndexSets& sets) : sets_(sets) {}
  void program(const JaxprBody& j, std::span<const Value> in, Values& out) {
    Values v(j.types.size());
    for (std::size_t i = 0; i < in.size(); ++i) v[j.invars[i]] = in[i];
    auto value = [&](const Atom& a) {
      if (a.is_var()) return v[a.var()];
      Value c{a.node()->type, {}, {}};
      if (a.value().concrete()) c.known = a.value();
      return c;
    };
    for (const Equation& e : j.eqns) {
      Values x;
      for (const Atom& a : e.in) x.push_back(value(a));
      Values y(e.n_out);
      for (std::uint32_t i = 0; i < e.n_out; ++i) y[i].type = j.types[e.out + i];
      equation(e, x, y);
      for (std::uint32_t i = 0; i < e.n_out; ++i) {
        if (y[i].sets.defined() && (!is_inexact(y[i].type->dtype) || all_empty(y[i].sets)))
          y[i].sets = Array();
        v[e.out + i] = std::move(y[i]);
      }
    }
    out.clear();
    for (const Atom& a : j.outs) out.push_back(value(a));
  }

 private:
  using Rule = void (Propagation::*)(const Equation&, const Values& x, Values& y);
  static const std::unordered_map<const Primitive*, Rule>& rules();

  void equation(const Equation& e, const Values& x, Values& y) {
    const bool depends = std::ranges::any_of(x, has_sets);
    if (!depends && std::ranges::all_of(x, is_known) && !has_effects(e)) return compute(e, x, y);
    if (auto rule = rules().find(e.prim); rule != rules().end() && (depends || is_call(e)))
      (this->*rule->second)(e, x, y);
    else if (depends && e.prim->lower)
      lowered(e, x, y);
    else if (depends)
      everything(e, x, y);
  }
  static bool is_call(const Equation& e) {
    return e.prim == &jit_p || e.prim == &remat_p || e.prim == &cond_p || e.prim == &scan_p ||
           e.prim == &custom_jvp_call_p || e.prim == &custom_vjp_call_p;
  }

  // ---- Constants
  void compute(const Equation& e, const Values& x, Values& y) {
    std::vector<Array> in, out(y.size());
    for (auto& v : x) in.push_back(v.known);
    e.prim->bind(in, e.params(), out.data(), e.loc);
    for (std::size_t i = 0; i < y.size(); ++i) y[i].known = out[i];
  }

  // ---- Everything depends on everything
  Id all_of(const Values& x) {
    std::vector<Id> all;
    for (auto& v : x)
      if (has_sets(v)) all.push_back(sets_.unite(ids(v.sets)));
    return sets_.unite(all);
  }
  void everything(const Equation&, const Values& x, Values& y) {
    const Id all = all_of(x);
    for (auto& v : y) v.sets = filled(v.type->shape, all);
  }
  /// A value whose elements depend on all that those with equal indices outside of `axes` depended on.
  Array smeared(const Array& sets, const Dims& axes) {
    const Shape& shape = sets.shape();
    const Array reduced = united(sets, axes);
    return lax::broadcast_in_dim(reduced, shape, without(shape.size(), axes));
  }
  /// Unions over `axes`.
  Array united(const Array& sets, const Dims& axes) {
    const Shape& shape = sets.shape();
    Dims order = without(shape.size(), axes);
    const auto sizes = pick(shape, order);
    const Shape kept(sizes.begin(), sizes.end());
    order.append(axes.begin(), axes.end());
    const Array rows = lax::transpose(sets, order);
    Array y = Array::make(sets_type(kept));
    const std::size_t n = y.size() ? std::size_t(sets.size() / y.size()) : 0;
    const auto from = ids(rows);
    for (std::size_t i = 0; i < std::size_t(y.size()); ++i)
      y.data<Id>()[i] = sets_.unite(from.subspan(i * n, n));
    return y;
  }
  Array unite(const Array& a, const Array& b) {
    if (!a.defined()) return b;
    if (!b.defined() || a.node() == b.node()) return a;
    Array y = Array::make(a.type());
    const Id *p = a.data<Id>(), *q = b.data<Id>();
    for (std::int64_t i = 0; i < y.size(); ++i) y.data<Id>()[i] = sets_.unite(p[i], q[i]);
    return y;
  }
  /// Empty where `factor`, which is known, is 0.
  static Array masked(const Array& sets, const Array& factor) {
    const Array zero = lax::eq(factor, lax::zeros_like(factor));
    return lax::select_n(zero, std::array{sets, filled(sets.shape(), 0)});
  }

  // ---- Elementwise
  static Array fitted(const Array& x, const Shape& shape) {
    if (x.shape() == shape) return x;
    return lax::broadcast_in_dim(x, shape, x.ndim() ? iota_dims(shape.size()) : Dims{});
  }
  void elementwise(const Equation&, const Values& x, Values& y) {
    Array all;
    for (auto& v : x)
      if (has_sets(v)) all = unite(all, fitted(v.sets, y[0].type->shape));
    y[0].sets = all;
  }
  void product(const Equation& e, const Values& x, Values& y) {
    elementwise(e, x, y);
    for (auto& v : x)
      if (is_known(v)) y[0].sets = masked(y[0].sets, fitted(v.known, y[0].type->shape));
  }
  void choice(const Equation& e, const Values& x, Values& y) {
    if (is_known(x[0])) return moved(e, x, y);
    elementwise(e, x, y);
  }

  // ---- Operations that move elements: run on the numbers of sets
  static bool carries(const Value& v) { return is_inexact(v.type->dtype); }
  bool indices_known(const Values& x) const {
    return std::ranges::all_of(x, [](auto& v) { return carries(v) || is_known(v); });
  }
  void moved(const Equation& e, const Values& x, Values& y, Params params) {
    std::vector<Array> in, out(y.size());
    for (auto& v : x) in.push_back(carries(v) ? sets_or_none(v) : v.known);
    e.prim->bind(in, params, out.data(), e.loc);
    for (std::size_t i = 0; i < y.size(); ++i) y[i].sets = out[i];
  }
  void moved(const Equation& e, const Values& x, Values& y) { moved(e, x, y, e.params()); }
  /// Identities, of one operand or several.
  void passed_on(const Equation&, const Values& x, Values& y) {
    for (std::size_t i = 0; i < y.size(); ++i) {
      y[i].sets = x[i].sets;
      y[i].known = x[i].known;
    }
  }
  /// With positions that are not known: anything along the axes that they choose from.
  void gathered(const Equation& e, const Values& x, Values& y) {
    GatherParams p = e.params().as<GatherParams>();
    p.fill_value = Number(std::int64_t(0));
    Values in = x;
    if (!is_known(x[1])) {
      in[0].sets = smeared(x[0].sets, p.dimension_numbers.start_index_map);
      in[1].known = lax::full(x[1].type, 0);
      p.mode = IndexMode::CLIP;
    }
    moved(e, in, y, Params(p));
  }
  void sliced(const Equation& e, const Values& x, Values& y) {
    Values in = x;
    for (std::size_t i = 1; i < x.size(); ++i)
      if (!is_known(x[i])) {
        in[0].sets = smeared(in[0].sets, Dims{std::int64_t(i) - 1});
        in[i].known = lax::full(x[i].type, 0);
      }
    moved(e, in, y);
  }
  void updated(const Equation& e, const Values& x, Values& y) {
    if (indices_known(x)) return moved(e, x, y);
    const Shape& shape = x[0].type->shape;
    const Id any = has_sets(x[1]) ? sets_.unite(ids(x[1].sets)) : 0;
    y[0].sets = unite(sets_or_none(x[0]), filled(shape, any));
  }

  // ---- Sums
  void reduced(const Equation& e, const Values& x, Values& y) {
    y[0].sets = united(x[0].sets, e.params().as<AxesParams>().axes);
  }
  void cumulative(const Equation& e, const Values& x, Values& y) {
    const auto& p = e.params().as<CumParams>();
    const Shape& shape = x[0].type->shape;
    std::int64_t inner = 1;
    for (std::size_t i = std::size_t(p.axis) + 1; i < shape.size(); ++i) inner *= shape[i];
    const std::int64_t n = shape[std::size_t(p.axis)];
    Array sums = Array::make(sets_type(shape));
    const Id* from = x[0].sets.data<Id>();
    Id* to = sums.data<Id>();
    for (std::int64_t line = 0; n && line < sums.size() / n; ++line) {
      const std::int64_t first = line / inner * n * inner + line % inner;
      Id so_far = 0;
      for (std::int64_t k = 0; k < n; ++k) {
        const std::int64_t at = first + (p.reverse ? n - 1 - k : k) * inner;
        to[at] = so_far = sets_.unite(so_far, from[at]);
      }
    }
    y[0].sets = sums;
  }
  /// y = x, plus the elements of an update at the positions `target` (1 + index in x; 0: dropped).
  Array added_at(const Value& x, const Value& update, const Array& target) {
    const Array base = sets_or_none(x);
    if (!has_sets(update)) return base;
    Array y = Array::make(base.type());
    std::copy_n(base.data<Id>(), base.size(), y.data<Id>());
    const auto to = ids(target), from = ids(update.sets);
    for (std::size_t i = 0; i < to.size(); ++i)
      if (to[i] > 0) {
        Id& at = y.data<Id>()[to[i] - 1];
        at = sets_.unite(at, from[i]);
      }
    return y;
  }
  static Array positions(const Shape& shape) {
    Array a = Array::make(sets_type(shape));
    for (std::int64_t i = 0; i < a.size(); ++i) a.data<Id>()[i] = Id(i + 1);
    return a;
  }
  void slice_added(const Equation& e, const Values& x, Values& y) {
    const auto& p = e.params().as<SliceParams>();
    const Array target = lax::slice(positions(x[0].type->shape), p.start_indices, p.limit_indices,
                                    p.strides.value_or(Dims{}));
    y[0].sets = added_at(x[0], x[1], target);
  }
  /// Where a scatter writes is what the gather that is its transpose reads.
  void scatter_added(const Equation& e, const Values& x, Values& y) {
    if (!is_known(x[1])) return written_anywhere(x, y);
    const auto& p = e.params().as<ScatterParams>();
    const Shape &shape = x[0].type->shape, &updates = x[2].type->shape;
    GatherParams g{.dimension_numbers = gather_dims(p.dimension_numbers),
                   .fill_value = Number(std::int64_t(0)),
                   .mode = p.mode == IndexMode::CLIP ? IndexMode::CLIP : IndexMode::FILL_OR_DROP,
                   .slice_sizes = window_sizes(p.dimension_numbers, shape, updates)};
    y[0].sets = added_at(x[0], x[2], lax::gather(positions(shape), x[1].known, g));
  }
  void scattered(const Equation& e, const Values& x, Values& y) {
    if (!is_known(x[1])) return written_anywhere(x, y);
    if (e.params().as<ScatterParams>().unique_indices) return moved(e, x, y);
    scatter_added(e, x, y);  // which of several updates wins is not said
  }
  void written_anywhere(const Values& x, Values& y) {
    const Id any = has_sets(x[2]) ? sets_.unite(ids(x[2].sets)) : 0;
    y[0].sets = unite(sets_or_none(x[0]), filled(x[0].type->shape, any));
  }

  // ---- Products: operands as [batch, free, contracted]
  struct Matrix {
    std::int64_t batch = 1, free = 1, inner = 1;
    Array values;
  };
  static Matrix matrix(const Array& x, const Dims& batch, const Dims& contracted) {
    const Dims rest = without(x.shape().size(), batch, contracted);
    Dims order = batch;
    order.append(rest.begin(), rest.end());
    order.append(contracted.begin(), contracted.end());
    Matrix m;
    for (auto d : pick(x.shape(), batch)) m.batch *= d;
    for (auto d : pick(x.shape(), rest)) m.free *= d;
    for (auto d : pick(x.shape(), contracted)) m.inner *= d;
    m.values = lax::transpose(x, order);
    return m;
  }
  void dotted(const Equation& e, const Values& x, Values& y) {
    const DotDims& d = e.params().as<DotParams>().dimension_numbers;
    for (int side = 0; side < 2; ++side) {
      const Value &v = x[std::size_t(side)], &w = x[std::size_t(1 - side)];
      if (!has_sets(v)) continue;
      const Dims& batch = side ? d.rhs_batch : d.lhs_batch;
      const Dims& inner = side ? d.rhs_contracting : d.lhs_contracting;
      const Dims& other_batch = side ? d.lhs_batch : d.rhs_batch;
      const Dims& other_inner = side ? d.lhs_contracting : d.rhs_contracting;
      const Matrix a = matrix(v.sets, batch, inner);
      const Array factor = is_known(w) ? lax::ne(w.known, lax::zeros_like(w.known))
                                       : lax::full(make_type(DType::b1, w.type->shape), 1);
      const Matrix b = matrix(factor, other_batch, other_inner);
      y[0].sets = unite(y[0].sets, product_sets(a, b, side == 0, !is_known(w), y[0].type->shape));
    }
  }
  /// [batch, a.free, b.free], or with the last two exchanged.
  Array product_sets(const Matrix& a, const Matrix& b, bool a_first, bool full,
                     const Shape& shape) {
    Array y = Array::make(sets_type(shape));
    const Id* from = a.values.data<Id>();
    const bool* wanted = b.values.data<bool>();
    const std::int64_t n = a.inner;
    std::vector<Id> some;
    for (std::int64_t s = 0; s < a.batch; ++s)
      for (std::int64_t i = 0; i < a.free; ++i) {
        const Id* row = from + (s * a.free + i) * n;
        const Id all = full ? sets_.unite(std::span(row, std::size_t(n))) : 0;
        for (std::int64_t k = 0; k < b.free; ++k) {
          Id united = all;
          if (!full) {
            const bool* w = wanted + (s * b.free + k) * n;
            some.clear();
            for (std::int64_t l = 0; l < n; ++l)
              if (w[l] && row[l]) some.push_back(row[l]);
            united = sets_.unite(some);
          }
          const std::int64_t at = a_first ? i * b.free + k : k * a.free + i;
          y.data<Id>()[s * a.free * b.free + at] = united;
        }
      }
    return y;
  }
  /// A convolution is a sum over the elements of its kernel: with a kernel of a single 1 it moves elements, so it is run
  /// itself, on the numbers of sets, once for each place in the window and each feature.
  void convolved(const Equation& e, const Values& x, Values& y) {
    if (has_sets(x[1])) return everything(e, x, y);
    const ConvDims& d = e.params().as<ConvParams>().dimension_numbers;
    const Shape kernel = x[1].type->shape;
    const auto out_axis = std::size_t(d.rhs_spec[0]);
    const Array numbers = x[0].sets.astype(DType::f64);
    Shape taps = kernel;
    taps[out_axis] = 1;
    const Array at = positions(taps);
    ConvParams p = e.params().as<ConvParams>();
    p.preferred_element_type = {};
    for (std::int64_t tap = 0; tap < at.size(); ++tap) {
      Array one = lax::eq(fitted(at, kernel), Array(std::int32_t(tap + 1)));
      if (is_known(x[1]))
        one = lax::bitwise_and(one, lax::ne(x[1].known, lax::zeros_like(x[1].known)));
      const Array term = lax::conv_general_dilated(numbers, one.astype(DType::f64), p);
      y[0].sets = unite(y[0].sets, term.astype(DType::i32));
    }
    if (!y[0].sets.defined()) y[0].sets = filled(y[0].type->shape, 0);
  }
  /// Unions over windows: padded, then a strided slice for each place in the window.
  template <class P>
  void windowed(const Equation& e, const Values& x, Values& y) {
    const P& p = e.params().as<P>();
    const Shape& shape = y[0].type->shape;
    if (y[0].type->size == 0) return;
    std::vector<Dims> low_high_interior;
    Dims stride = p.window_strides, at(shape.size(), 0);
    for (std::size_t i = 0; i < shape.size(); ++i)
      low_high_interior.push_back(
          {p.padding[i][0], p.padding[i][1], p.base_dilation.empty() ? 0 : p.base_dilation[i] - 1});
    const Array padded = lax::pad(x[0].sets, Array(std::int32_t(0)), low_high_interior);
    for (bool more = true; more;) {
      Dims start, limit;
      for (std::size_t i = 0; i < shape.size(); ++i) {
        const auto dilation = p.window_dilation.empty() ? 1 : p.window_dilation[i];
        start.push_back(at[i] * dilation);
        limit.push_back(start[i] + (shape[i] - 1) * stride[i] + 1);
      }
      y[0].sets = unite(y[0].sets, lax::slice(padded, start, limit, stride));
      more = false;
      for (std::size_t i = shape.size(); i-- > 0 && !more;) {
        more = ++at[i] < p.window_dimensions[i];
        if (!more) at[i] = 0;
      }
    }
  }
  /// Operations on the last `inner` dimensions, for every index of those before.
  void batched_everything(const Values& x, Values& y, std::size_t inner) {
    const std::size_t batch = y[0].type->shape.size() - inner;
    Array all;
    for (auto& v : x) {
      if (!has_sets(v)) continue;
      Dims axes;
      for (std::size_t i = batch; i < v.type->shape.size(); ++i) axes.push_back(std::int64_t(i));
      all = unite(all, united(v.sets, axes));
    }
    for (auto& v : y) v.sets = lax::broadcast_in_dim(all, v.type->shape, iota_dims(batch));
  }
  void transformed(const Equation& e, const Values& x, Values& y) {
    batched_everything(x, y, e.params().as<FftParams>().fft_lengths.size());
  }
  void solved(const Equation&, const Values& x, Values& y) { batched_everything(x, y, 2); }

  // ---- Programs
  void lowered(const Equation& e, const Values& x, Values& y) {
    auto f = [&](Args in, Results& out) {
      out.resize(y.size());
      e.prim->lower(in, e.params(), out.data());
    };
    inner_program(flat(f), x, y);
  }
  void transposed(const Equation& e, const Values& x, Values& y) {
    auto f = [&](Args in, Results& out) {
      custom_lin_eval(e.params().as<CustomLinParams>(), in, out);
    };
    inner_program(flat(f), x, y);
  }
  void inner_program(FlatFn f, const Values& x, Values& y) {
    std::vector<Type> types;
    for (auto& v : x) types.push_back(v.type);
    const Closed c = trace_to_jaxpr(types, f);
    Values in;
    for (auto& a : c.consts) in.push_back({a.type(), a.concrete() ? a : Array(), {}});
    in.insert(in.end(), x.begin(), x.end());
    program(*c.jaxpr, in, y);
  }
  template <class P>
  void called(const Equation& e, const Values& x, Values& y) {
    program(*e.params().as<P>().jaxpr, x, y);
  }
  void custom_called(const Equation& e, const Values& x, Values& y) {
    program(*e.params().as<CustomParams>().call_jaxpr, x, y);
  }
  void join(Values& y, const Values& other) {
    for (std::size_t i = 0; i < y.size(); ++i) {
      y[i].known = Array();
      y[i].sets = unite(y[i].sets, other[i].sets);
    }
  }
  void branched(const Equation& e, const Values& x, Values& y) {
    const auto& branches = e.params().as<CondParams>().branches;
    const std::span<const Value> operands = std::span(x).subspan(1);
    if (is_known(x[0]) && x[0].type->size == 1) {  // more: one for each lane of a batch
      const auto index = std::clamp<std::int64_t>(x[0].known.item<std::int64_t>(), 0,
                                                  std::int64_t(branches.size()) - 1);
      return program(*branches[std::size_t(index)], operands, y);
    }
    Values one;
    for (auto& b : branches) {
      program(*b, operands, one);
      join(y, one);
    }
  }

  static Value row(const Value& v, std::int64_t i) {
    Value r{
        make_type(v.type->dtype, Shape(v.type->shape.begin() + 1, v.type->shape.end())), {}, {}};
    auto cut = [&](const Array& a) {
      return lax::squeeze(lax::slice_in_dim(a, i, i + 1, 0), Dims{0});
    };
    if (is_known(v)) r.known = cut(v.known);
    if (has_sets(v)) r.sets = cut(v.sets);
    return r;
  }
  void scanned(const Equation& e, const Values& x, Values& y) {
    const auto& p = e.params().as<ScanParams>();
    const auto consts = std::size_t(p.num_consts), carried = std::size_t(p.num_carry);
    if (cost_of(*p.jaxpr) > kUnrolled / std::max<std::int64_t>(1, p.length))
      return scan_fixpoint(p, x, y);
    Values in(x.begin(), x.begin() + std::ptrdiff_t(consts + carried)), out;
    in.resize(x.size());
    std::vector<std::vector<Value>> stacked(y.size() - carried);
    for (auto& s : stacked) s.resize(std::size_t(p.length));
    for (std::int64_t t = 0; t < p.length; ++t) {
      const std::int64_t i = p.reverse ? p.length - 1 - t : t;
      for (std::size_t k = consts + carried; k < x.size(); ++k) in[k] = row(x[k], i);
      program(*p.jaxpr, in, out);
      std::copy_n(out.begin(), carried, in.begin() + std::ptrdiff_t(consts));
      for (std::size_t k = carried; k < y.size(); ++k)
        stacked[k - carried][std::size_t(i)] = out[k];
    }
    for (std::size_t k = 0; k < carried; ++k) {
      y[k].known = in[consts + k].known;
      y[k].sets = in[consts + k].sets;
    }
    for (std::size_t k = carried; k < y.size(); ++k) stack(stacked[k - carried], y[k]);
  }
  static void stack(const std::vector<Value>& rows, Value& y) {
    if (rows.empty()) return;
    if (std::ranges::all_of(rows, is_known)) {
      std::vector<Array> known;
      for (auto& r : rows) known.push_back(r.known);
      y.known = lax::stack(known, 0);
    }
    if (std::ranges::none_of(rows, has_sets)) return;
    y.sets = filled(y.type->shape, 0);
    Id* to = y.sets.data<Id>();
    for (auto& r : rows) {
      if (has_sets(r)) std::copy_n(r.sets.data<Id>(), r.type->size, to);
      to += r.type->size;
    }
  }
  /// The least sets that an iteration leaves as they are.  body(carry, next) runs one.
  template <class Body>
  void fixpoint(Values& carry, Id everything_in, Body body) {
    for (int round = 0;; ++round) {
      Values next;
      body(carry, next);
      bool grown = false;
      for (std::size_t k = 0; k < carry.size(); ++k) {
        carry[k].known = Array();
        if (!has_sets(next[k])) continue;
        const Array before = sets_or_none(carry[k]);
        Array now = unite(before, next[k].sets);
        if (std::ranges::equal(ids(before), ids(now))) continue;
        grown = true;
        carry[k].sets = round < kRounds ? now : filled(carry[k].type->shape, everything_in);
      }
      if (!grown && round > 0) return;  // the first round saw values that were known
    }
  }
  void scan_fixpoint(const ScanParams& p, const Values& x, Values& y) {
    const auto consts = std::size_t(p.num_consts), carried = std::size_t(p.num_carry);
    Values in(x), out;
    for (std::size_t k = consts + carried; k < x.size(); ++k) {
      Value& v = in[k];
      v.known = Array();
      if (has_sets(v)) v.sets = united(v.sets, Dims{0});
      v.type = row(Value{v.type, {}, {}}, 0).type;
    }
    Values carry(in.begin() + std::ptrdiff_t(consts),
                 in.begin() + std::ptrdiff_t(consts + carried));
    fixpoint(carry, all_of(x), [&](const Values& now, Values& next) {
      std::ranges::copy(now, in.begin() + std::ptrdiff_t(consts));
      program(*p.jaxpr, in, out);
      next.assign(out.begin(), out.begin() + std::ptrdiff_t(carried));
    });
    for (std::size_t k = 0; k < carried; ++k) y[k].sets = carry[k].sets;
    std::ranges::copy(carry, in.begin() + std::ptrdiff_t(consts));
    // What is stacked depends on that carry, and on its own row of x: all rows at once.
    Mask by_row(x.size(), false), stacked(y.size(), false);
    for (std::size_t k = consts + carried; k < x.size(); ++k) by_row[k] = true;
    for (std::size_t k = carried; k < y.size(); ++k) stacked[k] = true;
    std::copy(x.begin() + std::ptrdiff_t(consts + carried), x.end(),
              in.begin() + std::ptrdiff_t(consts + carried));
    program(*batch_jaxpr(*p.jaxpr, p.length, "", by_row, stacked)->jaxpr, in, out);
    for (std::size_t k = carried; k < y.size(); ++k) y[k].sets = out[k].sets;
  }

  /// As long as the condition is known the loop is run; where it is not, any number of iterations may follow.
  void repeated(const Equation& e, const Values& x, Values& y) {
    const auto& p = e.params().as<WhileParams>();
    const auto first = x.begin() + std::ptrdiff_t(p.cond_nconsts);
    const Values cond_consts(x.begin(), first), body_consts(first, first + p.body_nconsts);
    Values carry(first + p.body_nconsts, x.end());
    auto with = [](Values consts, const Values& now) {
      consts.insert(consts.end(), now.begin(), now.end());
      return consts;
    };
    auto body = [&](const Values& now, Values& next) {
      program(*p.body_jaxpr, with(body_consts, now), next);
    };
    const std::int64_t cost = cost_of(*p.body_jaxpr) + cost_of(*p.cond_jaxpr);
    bool done = false;
    for (std::int64_t left = kUnrolled; !done; left -= cost) {
      Values holds, next;
      program(*p.cond_jaxpr, with(cond_consts, carry), holds);
      if (!is_known(holds[0]) || holds[0].type->size != 1 || left < 0) break;
      done = !holds[0].known.item<bool>();
      if (done) break;
      body(carry, next);
      carry = next;
    }
    if (!done) {
      Values all = carry;
      all.insert(all.end(), body_consts.begin(), body_consts.end());
      fixpoint(carry, all_of(all), body);
    }
    y = carry;
  }

  IndexSets& sets_;
};

const std::unordered_map<const Primitive*, Propagation::Rule>& Propagation::rules() {
  static const auto table =
      [] {  // of operations that are linear in an operand: others never see a tangent
        using P = Propagation;
        std::unordered_map<const Primitive*, Rule> t;
        auto add = [&](Rule rule, std::initializer_list<const Primitive*> prims) {
          for (auto* p : prims) t[p] = rule;
        };
        add(&P::elementwise, {&add_p, &add_any_p, &sub_p, &neg_p, &div_p, &complex_p, &real_p,
                              &imag_p, &conj_p, &convert_element_type_p, &reduce_precision_p});
        add(&P::product, {&mul_p});
        add(&P::choice, {&select_n_p});
        const Rule moved = &P::moved;
        add(moved,
            {&broadcast_in_dim_p, &reshape_p, &transpose_p, &squeeze_p, &expand_dims_p,
             &concatenate_p, &stack_p, &unstack_p, &split_p, &tile_p, &slice_p, &pad_p, &rev_p});
        add(&P::passed_on, {&name_p, &optimization_barrier_p, &device_put_p, &copy_p});
        add(&P::gathered, {&gather_p});
        add(&P::sliced, {&dynamic_slice_p});
        add(&P::updated, {&dynamic_update_slice_p});
        add(&P::reduced, {&reduce_sum_p});
        add(&P::cumulative, {&cumsum_p});
        add(&P::slice_added, {&add_slice_p});
        add(&P::scatter_added,
            {&scatter_add_p, &scatter_sub_p, &scatter_mul_p, &scatter_min_p, &scatter_max_p});
        add(&P::scattered, {&scatter_p});
        add(&P::dotted, {&dot_general_p});
        add(&P::convolved, {&conv_general_dilated_p});
        add(&P::windowed<WindowParams>, {&reduce_window_sum_p});
        add(&P::windowed<SelectAndGatherParams>, {&select_and_gather_add_p});
        add(&P::transformed, {&fft_p});
        add(&P::solved, {&triangular_solve_p, &tridiagonal_solve_p});
        add(&P::called<CallParams>, {&jit_p});
        add(&P::called<RematParams>, {&remat_p});
        add(&P::custom_called, {&custom_jvp_call_p, &custom_vjp_call_p});
        add(&P::transposed, {&custom_lin_p});
        add(&P::branched, {&cond_p});
        add(&P::scanned, {&scan_p});
        add(&P::repeated, {&while_p});
        return t;
      }();
  return table;
}

/// Sets by rows as a pattern by columns.
SparsityPattern by_columns(const IndexSets& sets, std::span<const Id> rows, std::int64_t cols) {
  SparsityPattern p;
  p.rows = std::int64_t(rows.size());
  p.cols = cols;
  std::size_t entries = 0;
  for (Id s : rows) entries += sets.size(s);
  if (entries > IndexSets::kMost) throw IndexSets::Full();
  p.start.assign(std::size_t(cols) + 1, 0);
  for (Id s : rows)
    for (auto j : sets.elements(s)) ++p.start[std::size_t(j) + 1];
  for (std::size_t j = 0; j < std::size_t(cols); ++j) p.start[j + 1] += p.start[j];
  p.row.resize(std::size_t(p.start.back()));
  std::vector<std::int64_t> next(p.start.begin(), p.start.end() - 1);
  for (std::size_t i = 0; i < rows.size(); ++i)
    for (auto j : sets.elements(rows[i]))
      p.row[std::size_t(next[std::size_t(j)]++)] = std::int32_t(i);
  return p;
}

}  // namespace

SparsityPattern sparsity_flat(FlatFn f, Types x, std::span<const int> wrt, const char* who,
                              Loc loc) {
  TrailFrame frame(who, loc);
  std::vector<Type> types(x.begin(), x.end());
  std::int64_t cols = 0;
  for (int i : wrt) {
    types.push_back(x[std::size_t(i)]);
    cols += x[std::size_t(i)]->size;
  }
  auto tangents = [&](Args in, Results& dy) {
    std::vector<Array> dx(x.size());
    for (std::size_t k = 0; k < wrt.size(); ++k) dx[std::size_t(wrt[k])] = in[x.size() + k];
    Results y;
    jvp_flat(f, in.first(x.size()), dx, y, dy, loc);
    for (std::size_t i = 0; i < y.size(); ++i) {
      if (!is_float(y[i].dtype()))
        fail(std::string(who) + ": needs real floating-point results; there is " +
                 y[i].type()->str() + ".",
             loc, "E18", "Use jvp or vjp.");
      dy[i] = instantiate(dy[i], y[i].type());
    }
  };
  const Closed c = trace_to_jaxpr(types, flat(tangents));
  Scope none(nullptr);  // numbers of sets are computed now, whatever is being traced
  IndexSets sets(cols);
  Values in, out;
  for (auto& a : c.consts) in.push_back({a.type(), a.concrete() ? a : Array(), {}});
  for (Type t : x) in.push_back({t, {}, {}});
  Id next = 1;
  for (int i : wrt) {
    Value v{x[std::size_t(i)], {}, {}};
    v.sets = Array::make(sets_type(v.type->shape));
    for (std::int64_t k = 0; k < v.type->size; ++k) v.sets.data<Id>()[k] = next++;
    in.push_back(v);
  }
  try {
    Propagation(sets).program(*c.jaxpr, in, out);
    std::vector<Id> rows;
    for (auto& v : out) {
      const Array s = sets_or_none(v);
      rows.insert(rows.end(), ids(s).begin(), ids(s).end());
    }
    return by_columns(sets, rows, cols);
  } catch (IndexSets::Full) {
    fail<Error>(
        std::string(who) +
            ": the patterns of the results, or of what they are made from, have more than " +
            std::to_string(IndexSets::kMost / 1'000'000) + " million entries.",
        loc, "E180",
        "Nearly everything depends on everything: take jacobian, or products with it (jvp, vjp); "
        "or give "
        "the pattern (SparseOptions::pattern).");
  }
}

}  // namespace jaxpp::internal
