// simplify.cc -- algebraic identities that hold for every value, NaN, infinities and signed zeros included.
//
// Left out because they do not: x + 0.0 is not x for x = -0.0, x * 0 is not 0 for NaN, x - x, x / x.  (x + -0.0 and
// x - 0.0 are x.)  The table at the end names every pattern; a pattern looks at one equation and the equations that made
// its operands, and says what value to use instead.
#include <algorithm>
#include <optional>
#include "backends/passes/passes.h"
#include "backends/passes/rewriter.h"
#include "jaxpp/core/rewrite.h"
#include "jaxpp/ops/primitives.h"

namespace jaxpp::passes {
namespace {
// One equation of the old program, its operands already in the new one.
struct Match {
  const Equation& e;
  Type type;  // of the result
  SmallVec<Atom, 2> in;
  Rewriter& r;
  const std::vector<std::uint32_t>&
      maker;  // of each variable of the new program: index of its equation + 1

  Type in_type(std::size_t i) const { return r.to.type(in[i]); }
  template <class P>
  const P& params() const {
    return e.params().as<P>();
  }
  /// The equation that made operand i, if it is of that primitive.
  const Equation* made_by(std::size_t i, const Primitive& p) const {
    if (!in[i].is_var() || !maker[in[i].var()]) return nullptr;
    const Equation& d = r.to.eqns[maker[in[i].var()] - 1];
    return d.prim == &p ? &d : nullptr;
  }
  /// Operand i, if it is the number v in every element (-0.0 is not 0.0); rank 0, or a broadcast of it.
  bool is_number(std::size_t i, double v) const {
    const Atom* a = &in[i];
    if (const Equation* b = made_by(i, broadcast_in_dim_p)) a = &b->in[0];
    if (a->is_var() || a->is_zero()) return false;
    const Array x = a->value();
    if (!x.concrete() || x.ndim() || is_bool(x.dtype()) || is_complex(x.dtype())) return false;
    const double w = x.item<double>();
    return w == v && std::signbit(w) == std::signbit(v) &&
           (is_inexact(x.dtype()) || std::abs(w) < 1e9);
  }
  /// Operand i as the result: only if no broadcasting happened.
  std::optional<Atom> operand(std::size_t i) const {
    if (in_type(i) != type) return {};
    return in[i];
  }
  /// A new equation in place of this one.
  Atom make(const Primitive& p, std::shared_ptr<const void> data, SmallVec<Atom, 2> x) const {
    return Atom::var(r.emit(p, std::move(data), std::move(x), {&type, 1}, e.loc));
  }
};
using Result = std::optional<Atom>;

template <int K, int V>  // operand K is the number V: the other one
Result neutral(const Match& m) {
  return m.is_number(K, V) ? m.operand(1 - K) : Result();
}
template <int K>  // adding -0.0, the true zero of addition; any zero of integers
Result minus_zero(const Match& m) {
  const bool zero = m.is_number(K, -0.0) || (is_integer(m.type->dtype) && m.is_number(K, 0));
  return zero ? m.operand(1 - K) : Result();
}
template <const Primitive& P>  // f(f(x)) = x
Result involution(const Match& m) {
  const Equation* d = m.made_by(0, P);
  return d && m.r.to.type(d->in[0]) == m.type ? Result(d->in[0]) : Result();
}
Result same_type(const Match& m) { return m.operand(0); }
Result power_one(const Match& m) { return m.params<PowParams>().y == 1 ? m.operand(0) : Result(); }

// Every value of `from` is a value of `to`.
bool exact(DType from, DType to) {
  if (from == to) return true;
  if (is_bool(from)) return true;
  if (is_integer(from) && is_integer(to))
    return is_signed(from)
               ? is_signed(to) && width(to) >= width(from)
               : width(to) > width(from) || (is_unsigned(to) && width(to) == width(from));
  if (is_integer(from) && is_float(real_of(to))) {
    const int mantissa = real_of(to) == DType::f64   ? 53
                         : real_of(to) == DType::f32 ? 24
                         : real_of(to) == DType::f16 ? 11
                                                     : 8;
    return int(8 * width(from)) <= (real_of(to) == DType::f16 ? 8 : mantissa);
  }
  if (is_float(from) && is_float(real_of(to)))
    return real_of(to) == DType::f64 || (real_of(to) == DType::f32 && from != DType::f64);
  return is_complex(from) && is_complex(to) && width(to) >= width(from);
}
Result convert_of_convert(const Match& m) {
  const Equation* d = m.made_by(0, convert_element_type_p);
  if (!d) return {};
  const DType from = m.r.to.type(d->in[0])->dtype, via = m.in_type(0)->dtype;
  if (is_bool(m.type->dtype) || !exact(from, via)) return {};
  if (m.r.to.type(d->in[0]) == m.type) return d->in[0];
  return m.make(convert_element_type_p, m.e.params_data, {d->in[0]});
}
Result transpose_of_transpose(const Match& m) {
  const Equation* d = m.made_by(0, transpose_p);
  if (!d) return {};
  const Dims &outer = m.params<TransposeParams>().permutation,
             &inner = d->params().as<TransposeParams>().permutation;
  auto p = std::make_shared<TransposeParams>();
  bool identity = true;
  for (std::size_t i = 0; i < outer.size(); ++i) {
    p->permutation.push_back(inner[std::size_t(outer[i])]);
    identity &= p->permutation[i] == std::int64_t(i);
  }
  return identity ? d->in[0] : m.make(transpose_p, p, {d->in[0]});
}
Result identity_transpose(const Match& m) {
  const Dims& p = m.params<TransposeParams>().permutation;
  for (std::size_t i = 0; i < p.size(); ++i)
    if (p[i] != std::int64_t(i)) return {};
  return m.operand(0);
}
Result plain_reshape(const Match& m) {
  return m.params<ReshapeParams>().dimensions ? Result() : m.operand(0);
}
// The inner one may also be a squeeze or expand_dims: the elements stay in order.
Result reshape_of_reshape(const Match& m) {
  if (m.params<ReshapeParams>().dimensions) return {};
  const Equation* d = m.made_by(0, reshape_p);
  if (d && d->params().as<ReshapeParams>().dimensions) return {};
  if (!d) d = m.made_by(0, squeeze_p);
  if (!d) d = m.made_by(0, expand_dims_p);
  if (!d) return {};
  return m.r.to.type(d->in[0]) == m.type ? d->in[0]
                                         : m.make(reshape_p, m.e.params_data, {d->in[0]});
}
Result broadcast_of_broadcast(const Match& m) {
  const Equation* d = m.made_by(0, broadcast_in_dim_p);
  if (!d) return {};
  const auto &outer = m.params<BroadcastParams>(), &inner = d->params().as<BroadcastParams>();
  auto p = std::make_shared<BroadcastParams>(outer);
  p->broadcast_dimensions = {};
  for (auto i : inner.broadcast_dimensions)
    p->broadcast_dimensions.push_back(outer.broadcast_dimensions[std::size_t(i)]);
  return m.make(broadcast_in_dim_p, p, {d->in[0]});
}
// Same shape: each dimension goes to itself.
Result identity_broadcast(const Match& m) { return m.operand(0); }
Result select_known(const Match& m) {
  if (m.in[0].is_var() || m.in[0].is_zero() || m.in_type(0)->size != 1) return {};
  const Array which = m.in[0].value();
  if (!which.concrete()) return {};
  const auto k =
      std::clamp<std::int64_t>(which.item<std::int64_t>(), 0, std::int64_t(m.in.size()) - 2);
  return m.operand(std::size_t(k) + 1);
}
Result select_equal(const Match& m) {
  for (std::size_t i = 2; i < m.in.size(); ++i)
    if (!m.in[i].is_var() || !m.in[1].is_var() || m.in[i].var() != m.in[1].var()) return {};
  return m.operand(1);
}
template <const Primitive& P>
Result one_operand(const Match& m) {
  return m.in.size() == 1 ? m.operand(0) : Result();
}
Result no_axes(const Match& m) {
  return m.params<AxesParams>().axes.empty() ? m.operand(0) : Result();
}
Result whole_slice(const Match& m) {
  const auto& s = m.params<SliceParams>();
  const bool forward = !s.strides || std::all_of(s.strides->begin(), s.strides->end(),
                                                 [](auto v) { return v == 1; });
  return forward ? m.operand(0) : Result();  // of equal type: nothing is cut off
}

struct Pattern {
  const Primitive* prim;
  const char* what;
  Result (*apply)(const Match&);
};
const Pattern kPatterns[] = {
    {&mul_p, "1 * x = x", neutral<0, 1>},
    {&mul_p, "x * 1 = x", neutral<1, 1>},
    {&div_p, "x / 1 = x", neutral<1, 1>},
    {&pow_p, "x ** 1 = x", neutral<1, 1>},
    {&integer_pow_p, "x ** 1 = x", power_one},
    {&sub_p, "x - 0 = x", neutral<1, 0>},
    {&add_p, "-0 + x = x", minus_zero<0>},
    {&add_p, "x + -0 = x", minus_zero<1>},
    {&add_any_p, "-0 + x = x", minus_zero<0>},
    {&add_any_p, "x + -0 = x", minus_zero<1>},
    {&add_any_p, "0 + x = x: a sum of cotangents, in which a zero stands for nothing",
     neutral<0, 0>},
    {&add_any_p, "x + 0 = x", neutral<1, 0>},
    {&neg_p, "-(-x) = x", involution<neg_p>},
    {&bitwise_not_p, "~~x = x", involution<bitwise_not_p>},
    {&conj_p, "conj(conj(x)) = x", involution<conj_p>},
    {&copy_p, "copy x = x", same_type},
    {&convert_element_type_p, "to its own type", same_type},
    {&convert_element_type_p, "through a wider type", convert_of_convert},
    {&transpose_p, "identity", identity_transpose},
    {&transpose_p, "of a transpose", transpose_of_transpose},
    {&reshape_p, "to its own shape", plain_reshape},
    {&reshape_p, "of a reshape", reshape_of_reshape},
    {&broadcast_in_dim_p, "to its own shape", identity_broadcast},
    {&broadcast_in_dim_p, "of a broadcast", broadcast_of_broadcast},
    {&squeeze_p, "of nothing", same_type},
    {&expand_dims_p, "by nothing", same_type},
    {&slice_p, "the whole", whole_slice},
    {&concatenate_p, "of one", one_operand<concatenate_p>},
    {&select_n_p, "of a known case", select_known},
    {&select_n_p, "of equal cases", select_equal},
    {&reduce_sum_p, "over no axes", no_axes},
    {&reduce_max_p, "over no axes", no_axes},
    {&reduce_min_p, "over no axes", no_axes},
    {&reduce_prod_p, "over no axes", no_axes},
};
}  // namespace

JaxprPtr simplify(const JaxprBody& j) {
  Rewriter r(j);
  std::vector<std::uint32_t> maker;
  auto note_makers = [&] {
    maker.resize(r.to.types.size());
    if (r.to.eqns.empty()) return;
    const Equation& e = r.to.eqns.back();
    for (Var v = e.out; v < e.out + e.n_out; ++v) maker[v] = std::uint32_t(r.to.eqns.size());
  };
  note_makers();
  for (const Equation& e : j.eqns) {
    Result found;
    if (e.n_out == 1) {
      Match m{e, j.types[e.out], {}, r, maker};
      for (auto& a : e.in) m.in.push_back(r.get(a));
      for (const Pattern& p : kPatterns)
        if (p.prim == e.prim && (found = p.apply(m))) break;
    }
    if (found)
      r.set(e.out, std::move(*found));
    else
      r.copy(e, map_sub_jaxprs(
                    e, [](const JaxprPtr& s) { return on_nested("simplify", simplify, s); }));
    note_makers();
  }
  return dce(*r.finish());
}

}  // namespace jaxpp::passes
