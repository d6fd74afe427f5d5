// broadcast.cc -- the rules that all elementwise operations share: types, tangents and cotangents
// across a broadcast, and batching.
//
// Operands of one operation have equal shapes, or rank 0, or equal ranks with sizes equal or 1:
// what JAX's own jaxprs contain.  Ranks are aligned above the primitives (operators.h).
#include "jaxpp/ops/elementwise.h"
#include "jaxpp/ops/rules.h"

namespace jaxpp::internal {
namespace {

[[noreturn]] void shapes_differ(const char* op, Type x, Type y) {
  std::string s = std::string(op) + ": shapes " + x->str() + " and " + y->str();
  if (x->shape.size() != y->shape.size()) rule_error(s + " differ in rank.");
  for (std::size_t i = 0; i < x->shape.size(); ++i) {
    auto n = x->shape[i], m = y->shape[i];
    if (n != m && n != 1 && m != 1)
      rule_error(s + " do not broadcast: axis " + std::to_string(i) + " has sizes " +
                 std::to_string(n) + " and " + std::to_string(m) + ".");
  }
  rule_error(s + " do not broadcast.");
}
void check_domain(const char* op, Domain domain, Type x) {
  if (!in_domain(domain, x->dtype)) [[unlikely]]
    rule_error(std::string(op) + ": not defined for " + x->str() + ".");
}

}  // namespace

Type checked_type(const char* op, Domain domain, Types x) {
  if (x.size() != 1) [[unlikely]]
    rule_error(std::string(op) + ": takes one operand.");
  check_domain(op, domain, x[0]);
  return x[0];
}
Type broadcasted_type(const char* op, Domain domain, Types x) {
  if (x.size() != 2) [[unlikely]]
    rule_error(std::string(op) + ": takes two operands.");
  const Type a = x[0], b = x[1];
  check_domain(op, domain, a);
  if (a->dtype != b->dtype) [[unlikely]]
    rule_error(std::string(op) + ": dtypes differ: " + a->str() + " and " + b->str() + ".");
  if (a == b || b->shape.empty()) return a;
  if (a->shape.empty()) return b;
  if (a->shape.size() != b->shape.size()) shapes_differ(op, a, b);
  Shape shape = a->shape;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] != b->shape[i] && shape[i] != 1 && b->shape[i] != 1) shapes_differ(op, a, b);
    if (shape[i] == 1) shape[i] = b->shape[i];
  }
  return make_type(a->dtype, shape);
}

Array fit(const Array& tangent, Type to) {
  if (!tangent.defined() || tangent.shape() == to->shape) [[likely]]
    return tangent;
  return lax::broadcast_in_dim(tangent, to->shape, iota_dims(tangent.shape().size()));
}
Array unbroadcast(const Array& ct, Type to) {
  if (ct.shape() == to->shape) [[likely]]
    return ct;
  if (to->shape.empty()) return lax::reduce_sum(ct, iota_dims(ct.shape().size()));
  Dims repeated;
  for (std::size_t i = 0; i < to->shape.size(); ++i)
    if (to->shape[i] == 1 && ct.shape()[i] != 1) repeated.push_back(std::int64_t(i));
  return lax::reshape(lax::reduce_sum(ct, repeated), to->shape);
}

void unary_batch(BatchRule& r) {
  r.prim.bind(r.x, r.params, r.y, Loc::current());
  *r.y_axis = r.axis[0];
}

// The batch goes where the first operand of full rank has it (0 if none has).  Unmapped operands
// get a dimension of size 1 there; a mapped rank-0 operand next to rank n becomes [1, ..., size,
// ..., 1], so that its elements never meet another dimension.
void broadcast_batch(BatchRule& r) {
  std::size_t rank = 0;
  for (std::size_t i = 0; i < r.x.size(); ++i)
    rank = std::max(rank, r.x[i].shape().size() - std::size_t(r.axis[i] >= 0));
  int at = -1;
  bool agree = true;  // nothing to move
  for (std::size_t i = 0; i < r.x.size(); ++i) {
    const std::size_t own = r.x[i].shape().size();
    if (r.axis[i] < 0) {
      agree &= own == 0;
      continue;
    }
    const bool full = own == rank + 1;
    if (full && at < 0) at = r.axis[i];
    agree &= full && r.axis[i] == at;
  }
  if (at < 0) at = 0;
  *r.y_axis = at;
  if (agree) return r.prim.bind(r.x, r.params, r.y, Loc::current());
  Results moved;
  for (std::size_t i = 0; i < r.x.size(); ++i) {
    const Array& x = r.x[i];
    if (r.axis[i] < 0) {
      moved.push_back(x.ndim() == 0 ? x : lax::expand_dims(x, {at}));
    } else if (x.shape().size() == rank + 1) {
      moved.push_back(lax::move_axis(x, r.axis[i], at));
    } else {
      Shape column(rank + 1, 1);
      column[std::size_t(at)] = r.size;
      moved.push_back(lax::reshape(x, column));
    }
  }
  r.prim.bind(args(moved), r.params, r.y, Loc::current());
}

}  // namespace jaxpp::internal
