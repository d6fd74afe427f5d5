// broadcast.cc -- the rules that all elementwise operations share: types, tangents and cotangents across a broadcast, and
// batching.
//
// Operands of one operation have equal shapes, or rank 0, or equal ranks with sizes equal or 1: what JAX's own jaxprs
// contain.  Ranks are aligned above the primitives (operators.h).
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
      rule_error(s + " do not broadcast: axis " + std::to_string(i) + " has sizes " + std::to_string(n) + " and " +
                 std::to_string(m) + ".");
  }
  rule_error(s + " do not broadcast.");
}
void check_domain(const char* op, Domain domain, Type x) {
  if (!in_domain(domain, x->dtype)) [[unlikely]]
    rule_error(std::string(op) + ": not defined for " + x->str() + ".");
}

}  // namespace

Type unary_type(const char* op, Domain domain, Types x) {
  need(x.size() == 1, op, "takes one operand.");
  check_domain(op, domain, x[0]);
  return x[0];
}
Type broadcast_type(const char* op, Type x, Type y) {
  if (x->shape == y->shape || y->shape.empty()) return x;
  if (x->shape.empty()) return y;
  if (x->shape.size() != y->shape.size()) shapes_differ(op, x, y);
  Shape shape = x->shape;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] != y->shape[i] && shape[i] != 1 && y->shape[i] != 1) shapes_differ(op, x, y);
    if (shape[i] == 1) shape[i] = y->shape[i];
  }
  return make_type(x->dtype, shape);
}
Type broadcast_type(const char* op, Domain domain, Types x) {
  need(x.size() == 2, op, "takes two operands.");
  check_domain(op, domain, x[0]);
  if (x[0] == x[1]) [[likely]]
    return x[0];
  if (x[0]->dtype != x[1]->dtype) [[unlikely]]
    rule_error(std::string(op) + ": dtypes differ: " + x[0]->str() + " and " + x[1]->str() + ".");
  return broadcast_type(op, x[0], x[1]);
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

// The batch goes where the first operand of full rank has it (0 if none has).  Unmapped operands get a dimension of size 1
// there; a mapped rank-0 operand next to rank n becomes [1, ..., size, ..., 1], so that its elements never meet another
// dimension.
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
