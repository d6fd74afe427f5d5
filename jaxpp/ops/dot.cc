// dot.cc -- dot_general: a sum of products over any pairs of axes, with batch axes.
//
//   result axes = batch, the left operand's free axes, the right one's free axes
//
// Operands of different types are promoted, or computed in preferred_element_type.  Bilinear: the
// transpose with respect to one operand is a dot_general of the cotangent with the other.  No
// operand is moved in memory for batching: a batch axis is named where it stands.
#include <algorithm>
#include "jaxpp/ops/rules.h"

namespace jaxpp {
namespace {

using namespace internal;
using std::to_string;

std::string text(const DotDims& d) {
  return "contracting " + to_string(d.lhs_contracting) + " with " + to_string(d.rhs_contracting) +
         ", batch " + to_string(d.lhs_batch) + " with " + to_string(d.rhs_batch);
}
void check_pairs(const char* what, Type x, Type y, const Dims& a, const Dims& b) {
  if (a.size() != b.size()) [[unlikely]]
    rule_error(std::string("dot_general: ") + what + " axes come in pairs, got " + to_string(a) +
               " and " + to_string(b) + ".");
  for (std::size_t i = 0; i < a.size(); ++i) {
    auto m = x->shape[std::size_t(a[i])], n = y->shape[std::size_t(b[i])];
    if (m != n) [[unlikely]]
      rule_error(std::string("dot_general: ") + what + " dimensions differ: " + x->str() + " has " +
                 to_string(m) + " on axis " + to_string(a[i]) + ", " + y->str() + " has " +
                 to_string(n) + " on axis " + to_string(b[i]) + ".");
  }
}
void check_operand(Type x, const char* what, const Dims& contracting, const Dims& batch) {
  check_dims(contracting, x->shape.size(), "dot_general", what, x);
  check_dims(batch, x->shape.size(), "dot_general", what, x);
  for (auto b : batch)
    if (position(contracting, b) >= 0) [[unlikely]]
      rule_error(std::string("dot_general: ") + what + " " + to_string(b) +
                 " is both a batch and a contracting one, operand " + x->str() + ".");
}
void append_free(Shape& s, Type x, const Dims& contracting, const Dims& batch) {
  for (std::size_t i = 0; i < x->shape.size(); ++i)
    if (position(contracting, std::int64_t(i)) < 0 && position(batch, std::int64_t(i)) < 0)
      s.push_back(x->shape[i]);
}
void dot_shape(Types x, Params p, Type* y) {
  const auto& q = p.as<DotParams>();
  const DotDims& d = q.dimension_numbers;
  check_operand(x[0], "left axis", d.lhs_contracting, d.lhs_batch);
  check_operand(x[1], "right axis", d.rhs_contracting, d.rhs_batch);
  check_pairs("contracting", x[0], x[1], d.lhs_contracting, d.rhs_contracting);
  check_pairs("batch", x[0], x[1], d.lhs_batch, d.rhs_batch);
  Shape s = pick(x[0]->shape, d.lhs_batch);
  append_free(s, x[0], d.lhs_contracting, d.lhs_batch);
  append_free(s, x[1], d.rhs_contracting, d.rhs_batch);
  const DType both =
      x[0]->dtype == x[1]->dtype ? x[0]->dtype : promote_types(x[0]->dtype, x[1]->dtype);
  *y = make_type(q.preferred_element_type.value_or(both), s);
}
void dot_jvp(JvpRule& r) {
  r.prim.bind(r.x, r.params, r.y, Loc::current());
  if (!has_tangent(r.y->type())) return;
  for (std::size_t i : {0, 1})
    if (r.dx[i].defined()) {
      const Array &a = i == 0 ? r.dx[0] : r.x[0], &b = i == 0 ? r.x[1] : r.dx[1];
      *r.dy = add_tangents(*r.dy, r.prim.apply(r.params, Loc::current(), a, b));
    }
}
void dot_transpose(TransposeRule& r) {
  const DotDims& d = r.params.as<DotParams>().dimension_numbers;
  const bool left = r.linear(0);
  if (r.linear(0) && r.linear(1))
    rule_error("dot_general: it is linear in one operand only while the other is known (" +
               text(d) + ").");
  const std::size_t i = left ? 0 : 1;
  Array other = r.x[1 - i];
  const Dims &my_k = left ? d.lhs_contracting : d.rhs_contracting,
             &my_b = left ? d.lhs_batch : d.rhs_batch,
             &other_k = left ? d.rhs_contracting : d.lhs_contracting,
             &other_b = left ? d.rhs_batch : d.lhs_batch;
  const std::size_t rank = r.x_types[i]->shape.size(), nb = my_b.size();
  Dims my_free = without(rank, my_k, my_b),
       other_free = without(other.shape().size(), other_k, other_b), ct_other;
  for (std::size_t k = 0; k < other_free.size(); ++k)
    ct_other.push_back(std::int64_t(nb + k + (left ? my_free.size() : 0)));
  other = lax::convert_element_type(other, r.ct[0].dtype());
  // Axes of the product: batch, my free ones, my contracted ones in the order they have in `other`.
  Array ct = lax::dot_general(r.ct[0], other, {ct_other, other_free, iota_dims(nb), other_b});
  Dims order = my_b, sorted = other_k;
  order.append(my_free.begin(), my_free.end());
  std::sort(sorted.begin(), sorted.end());
  for (auto c : sorted) order.push_back(my_k[std::size_t(position(other_k, c))]);
  r.add(i, lax::convert_element_type(lax::transpose(ct, inverse(order)), r.x_types[i]->dtype));
}
void dot_batch(BatchRule& r) {
  auto p = r.params.as<DotParams>();
  DotDims& d = p.dimension_numbers;
  int a = r.axis[0], b = r.axis[1];
  if (a >= 0) {
    d.lhs_contracting = shifted(d.lhs_contracting, a);
    d.lhs_batch = shifted(d.lhs_batch, a);
  }
  if (b >= 0) {
    d.rhs_contracting = shifted(d.rhs_contracting, b);
    d.rhs_batch = shifted(d.rhs_batch, b);
  }
  const auto nb = std::int64_t(d.lhs_batch.size());
  std::size_t left_rank = r.x[0].shape().size(), right_rank = r.x[1].shape().size();
  std::int64_t at = 0;
  if (a >= 0 && b >= 0) {
    d.lhs_batch.insert(0, a);
    d.rhs_batch.insert(0, b);
  } else if (a >= 0) {  // one more free axis of the left operand
    at = nb + position(without(left_rank, d.lhs_contracting, d.lhs_batch), a);
  } else {
    at = std::int64_t(left_rank - d.lhs_contracting.size()) +
         position(without(right_rank, d.rhs_contracting, d.rhs_batch), b);
  }
  *r.y = r.prim.apply(p, Loc::current(), r.x[0], r.x[1]);
  *r.y_axis = int(at);
}

}  // namespace

const Primitive dot_general_p = {.name = "dot_general",
                                 .operands = {2, 2},
                                 .shape = dot_shape,
                                 .jvp = dot_jvp,
                                 .transpose = dot_transpose,
                                 .batch = dot_batch,
                                 .params = &params_ops<DotParams>};

Array lax::dot_general(const Array& x, const Array& y, const DotDims& dims,
                       std::optional<DType> preferred_element_type, Loc loc) {
  return dot_general_p.apply(DotParams{dims, preferred_element_type}, loc, x, y);
}

}  // namespace jaxpp
